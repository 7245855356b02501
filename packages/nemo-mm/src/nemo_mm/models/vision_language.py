"""Vision-language models: pictures and text in, text out (LLaVA: Liu et al., 2023, arXiv:2304.08485)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from nemo_core import types as nt
from nemo_core.errors import ConfigError, DataError
from nemo_mm.evaluation.answers import score_answers
from nemo_mm.models.multimodal import MultimodalLanguageModel
from nemo_mm.models.vision_config import VisionLanguageConfig

if TYPE_CHECKING:
    from nemo_llm.generation.decoder import Replaced
    from nemo_llm.megatron.schedule import Batch

__all__ = ["VisionLanguageModel", "positions_of"]

logger = logging.getLogger(__name__)

IMAGE = "<image>"


class VisionLanguageModel(MultimodalLanguageModel):
    """A language model that sees: a vision transformer's features, projected, among the embeddings of its tokens.

    A batch is what :class:`~nemo_mm.data.conversations.VisionConversations` makes: ``tokens``, ``labels``,
    ``loss_mask`` (B, S); ``pixels`` (B, M, C, H, W) uint8 and ``pixel_counts`` (B,), with tiles also ``image_sizes``
    (B, I, 2) and ``image_counts`` (B,).

    Args:
        architecture: A :class:`~nemo_mm.models.vision_config.VisionLanguageConfig`, or its values; ``language`` may be
            left to ``init_from``, and all of it.
        tokenizer: Text to tokens and back.
        peft: Train a small addition to the language model; see :mod:`nemo_llm.peft`.
        freeze: Parts that are not trained: ``language``, ``reader.encoder``, ``reader.projector``, or patterns.
        seed: Of new weights.

    Example:
        >>> from nemo_llm.megatron import engine
        >>> model = VisionLanguageModel({
        ...     "language": {"vocab_size": 65, "hidden_size": 32, "num_layers": 1, "num_heads": 2}, "media_token": 64,
        ...     "vision": {"image_size": 28, "width": 16, "layers": 2, "heads": 2}})
        >>> with engine(), torch.no_grad():
        ...     model.build()
        ...     tokens = torch.tensor([[5, 64, 64, 64, 64, 7]])  # a picture has four places
        ...     pixels = torch.zeros(1, 1, 3, 28, 28, dtype=torch.uint8)
        ...     model(tokens=tokens, pixels=pixels, pixel_counts=torch.tensor([1])).shape
        torch.Size([1, 6, 65])
    """

    config_class: ClassVar[type[VisionLanguageConfig]] = VisionLanguageConfig

    def __init__(
        self,
        architecture: VisionLanguageConfig | Mapping[str, Any] | None = None,
        tokenizer: Any = None,
        peft: str | Mapping[str, Any] | None = None,
        freeze: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(architecture, tokenizer, peft, freeze, seed)

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``tokens`` (B, T), ``pixels`` (B, M, C, H, W), ``pixel_counts`` (B,); with tiles sizes and counts."""
        return {
            "tokens": nt.NeuralType(("B", "T"), nt.TokenIndex()),
            "pixels": nt.NeuralType(("B", "T", "D", "H", "W"), nt.ImageValue(), optional=True),
            "pixel_counts": nt.NeuralType(("B",), nt.Lengths(), optional=True),
            "image_sizes": nt.NeuralType(("B", "T", "D"), nt.Index(), optional=True),
            "image_counts": nt.NeuralType(("B",), nt.Lengths(), optional=True),
            "segment_ids": nt.NeuralType(("B", "T"), nt.Index(), optional=True),
        }

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``logits`` (B, T, V)."""
        return {"logits": nt.NeuralType(("B", "T", "D"), nt.Logits())}

    @nt.typed
    def forward(
        self,
        tokens: Tensor,
        pixels: Tensor | None = None,
        pixel_counts: Tensor | None = None,
        image_sizes: Tensor | None = None,
        image_counts: Tensor | None = None,
        segment_ids: Tensor | None = None,
    ) -> Tensor:
        """Return the logits (B, T, V) of the token after each; for a model that is whole in this process."""
        given = {
            "tokens": tokens,
            "pixels": pixels,
            "pixel_counts": pixel_counts,
            "image_sizes": image_sizes,
            "image_counts": image_counts,
            "segment_ids": segment_ids,
        }
        return self.logits({name: value for name, value in given.items() if value is not None})

    def prepare(self, batch: Batch) -> Batch:
        """Note which embedding stands where and, where the language model wants them, positions of three parts."""
        batch = super().prepare(batch)
        if self.config.language.rope.sections is None:
            return batch
        positions = positions_of(batch["media_index"], self.config.grid, batch.get("segment_ids"))
        return {**batch, "position_ids": positions}

    def embeddings_of(self, prompts: Sequence[Sequence[int]], media: Mapping[str, Tensor]) -> list[Replaced]:
        """Return what stands in the places of pictures, and positions of three parts where there are such."""
        found = super().embeddings_of(prompts, media)
        if self.config.language.rope.sections is None:
            return found
        from nemo_mm.models.network import places_of

        token = self.config.media_token
        indices = [places_of(torch.tensor([list(prompt)]), token)[0] for prompt in prompts]
        return [
            each._replace(positions=positions_of(index, self.config.grid)[0])
            for each, index in zip(found, indices, strict=True)
        ]

    def ask(
        self,
        questions: Sequence[str | Sequence[Mapping[str, Any]]],
        images: Sequence[Sequence[Any]],
        *,
        max_tokens: int = 64,
        greedy: bool = True,
        batch_size: int = 64,
        **options: Any,
    ) -> list[str]:
        """Answer questions about pictures.

        Args:
            questions: Of each: a text, or a conversation (``role`` and ``content``) that the answer goes on. Where
                nobody says where the pictures stand (``<image>``), it is before the first message of the user.
            images: For each question its pictures: paths, contents of files, pixels or Pillow images.
            max_tokens: Of an answer at most.
            greedy: Always take the likeliest token.
            batch_size: Questions that are computed together.
            options: More of :func:`nemo_llm.generation.generate`.

        Raises:
            ConfigError: The tokenizer has no chat template.
            DataError: A picture cannot be read, or marks and pictures are not as many.
        """
        if len(questions) != len(images):
            raise DataError(f"{len(questions)} questions have pictures for {len(images)}")
        answers = []
        for start in range(0, len(questions), batch_size):
            asked = questions[start : start + batch_size]
            prompts, media = self.prompts(asked, images[start : start + batch_size])
            found = self.generate(prompts, media, max_tokens=max_tokens, greedy=greedy, **options)
            answers += [each.text.strip() for each in found]
        return answers

    def describe(
        self, images: Sequence[Any], prompt: str = "Describe the picture.", *, max_tokens: int = 40, **options: Any
    ) -> list[str]:
        """Write a caption for each picture.

        Args:
            images: Paths, contents of files, pixels or Pillow images.
            prompt: What is asked for: what the model was trained with.
            max_tokens: Of a caption at most.
            options: Of :meth:`ask`.
        """
        return self.ask([prompt] * len(images), [[each] for each in images], max_tokens=max_tokens, **options)

    def prompts(
        self, questions: Sequence[str | Sequence[Mapping[str, Any]]], images: Sequence[Sequence[Any]]
    ) -> tuple[list[list[int]], dict[str, Tensor]]:
        """Return the tokens of questions, each picture as many as it has embeddings, and what the reader is given."""
        if self.tokenizer is None:
            raise ConfigError("the model has no tokenizer", hint="give one: tokenizer=load_tokenizer(folder)")
        import numpy as np

        from nemo_mm.data.conversations import expanded

        opener = self.config.pictures()
        mark, token = self.config.media_token, self.tokenizer.id_to_token(self.config.media_token)
        opened: dict[int, Any] = {}
        prompts, rows = [], []
        for number, (question, sources) in enumerate(zip(questions, images, strict=True), 1):
            for source in sources:  # many questions about one picture open it once
                if id(source) not in opened:
                    opened[id(source)] = opener.open(source)
            pictures = [opened[id(source)] for source in sources]
            messages = _with_marks(question, len(sources))
            for message in messages:
                message["content"] = str(message.get("content") or "").replace(IMAGE, token)
            tokens = np.array(self.tokenizer.encode_chat(messages, True))
            marks = int((tokens == mark).sum())
            if marks != len(pictures):
                raise DataError(
                    f"question {number} has {marks} marks {IMAGE} and {len(pictures)} pictures",
                    hint="each picture has a mark where it stands, or none has",
                )
            counts = [picture.count for picture in pictures]
            prompts.append(expanded(tokens, tokens, counts, mark)[0].tolist())
            rows.append(pictures)
        return prompts, opener.collate(rows)

    def on_test_epoch_end(self) -> None:
        """Log the loss; and where the data has questions to answer, how many answers are exactly right, by kind.

        Logged are ``test_exact`` and ``test_majority`` (what the most frequent answer of each kind gets), and both for
        each kind.
        """
        super().on_test_epoch_end()
        self._test_captions()
        examination = getattr(getattr(self.trainer, "datamodule", None), "examination", None)
        if examination is None:
            return
        if any(isinstance(weight, DTensor) for weight in self.parameters()):
            logger.warning("questions are not answered: FSDP has divided the weights; load the model to ask it")
            return
        asked = examination("test")
        scores = score_answers(
            self.ask([each.question for each in asked], [each.images for each in asked], max_tokens=8),
            [each.answer for each in asked],
            [each.kind for each in asked],
        )
        for kind, score in scores.items():
            name = "" if kind == "all" else f"_{kind.replace(' ', '_')}"
            logger.info("%s: %.1f %% of %d exact (majority %.1f %%)", kind, 100 * score.exact, score.questions,
                        100 * score.majority)  # fmt: skip
            self.log(f"test_exact{name}", score.exact)
            self.log(f"test_majority{name}", score.majority)

    def _test_captions(self) -> None:
        """Where the data has pictures that people have captioned, write captions of them, and log how good these are.

        Logged are ``test_cider``, ``test_cider_same`` (what the same caption for all pictures gets), and
        ``test_cider_people``; and ``train_cider``, of as many pictures that were trained on.
        """
        captioned = getattr(getattr(self.trainer, "datamodule", None), "captioned", None)
        found = None if captioned is None else captioned("test")
        if captioned is None or found is None or not found.images:
            return
        if any(isinstance(weight, DTensor) for weight in self.parameters()):
            logger.warning("pictures are not described: FSDP has divided the weights; nemo mm caption does it")
            return
        from nemo_mm.evaluation.captions import cider, score_captions

        score = score_captions(self.describe(found.images, found.prompt), found.references)
        logger.info("CIDEr-D of %d pictures: %.3f (same for all %.3f)", len(found.images), score.cider, score.same)
        self.log("test_cider", score.cider)
        self.log("test_cider_same", score.same)
        if score.people is not None:
            self.log("test_cider_people", score.people)
        seen = captioned("train")
        if seen is not None and seen.images:
            count = len(found.images)
            texts = self.describe(seen.images[:count], seen.prompt)
            self.log("train_cider", cider(texts, seen.references[:count])[0])

    def load_reader(self, readers: list[nn.Module], path: Path) -> None:
        """Read the reader's weights from a model of this kind, or the encoder's from an archive that has one.

        Args:
            readers: The reader of this process, if it has one.
            path: A model folder; or an archive (``.nemo``) of a model with a vision transformer, such as CLIP.
        """
        if path.suffix != ".nemo":
            super().load_reader(readers, path)
            return
        from nemo_core.models import restore
        from nemo_mm.modules.vit import VisionTransformer

        found = next((part for part in restore(path).modules() if isinstance(part, VisionTransformer)), None)
        if found is None:
            raise ConfigError(f"init_from.reader: {path} has no vision transformer")
        for reader in readers:
            encoder: Any = reader.encoder
            try:
                state, headless = found.state_dict(), encoder.head is None
                kept = {name: each for name, each in state.items() if not (headless and name.startswith("head."))}
                encoder.load_state_dict(kept)
            except RuntimeError as error:
                raise ConfigError(
                    f"init_from.reader: the vision transformer of {path} is another one: {str(error).splitlines()[-1]}",
                    hint="give model.architecture.vision the sizes of that one",
                ) from None


def positions_of(index: Tensor, grid: tuple[int, int], segments: Tensor | None = None) -> Tensor:
    """Return positions of three parts, time, height and width, (B, S, 3) (Qwen2-VL, arXiv:2409.12191).

    Text goes on in all three alike. All of a picture is at one time, and down and across it positions count from there;
    the text behind goes on after the largest.

    Args:
        index: (B, S), number of the picture's feature in each place among all of its row, -1 for text.
        grid: Features of a picture, down and across.
        segments: (B, S) of packed rows: positions begin anew in each.

    >>> positions_of(torch.tensor([[-1, 0, 1, 2, 3, 4, 5, -1]]), (2, 3))[0].t().tolist()
    [[0, 1, 1, 1, 1, 1, 1, 4], [0, 1, 1, 1, 2, 2, 2, 4], [0, 1, 2, 3, 1, 2, 3, 4]]
    """
    rows, columns = grid
    seen = index >= 0
    text = (~seen).long()
    pictures = (seen.cumsum(1) - seen.long()) // (rows * columns)  # that are whole before each place
    start = text.cumsum(1) - text + pictures * max(rows, columns)
    if segments is not None:
        places = torch.arange(index.shape[1], device=index.device).expand_as(index)
        begins = torch.ones_like(seen)
        begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
        start = start - start.gather(1, torch.where(begins, places, 0).cummax(1).values)
    place = index.clamp(min=0) % (rows * columns)
    down, across = place // columns * seen, place % columns * seen
    return torch.stack([start, start + down, start + across], -1)


def _with_marks(question: str | Sequence[Mapping[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return a conversation with marks for its pictures.

    >>> _with_marks("What is it?", 1)
    [{'role': 'user', 'content': '<image>What is it?'}]
    """
    messages = (
        [{"role": "user", "content": question}] if isinstance(question, str) else [dict(each) for each in question]
    )
    if not any(IMAGE in str(message.get("content")) for message in messages):
        for message in messages:
            if message.get("role") == "user":
                message["content"] = IMAGE * count + str(message.get("content") or "")
                break
    return messages
