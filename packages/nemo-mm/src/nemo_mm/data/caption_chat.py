"""Pictures and captions as conversations: what a vision-language model learns to describe pictures from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError
from nemo_llm.data.chat import ChatEncoder, Conversation
from nemo_llm.data.module import LanguageDataModule
from nemo_llm.data.packing import packed_row
from nemo_mm.data.captions import Captions, open_pairs
from nemo_mm.data.conversations import expanded
from nemo_mm.data.tiled_pictures import IMAGE, Picture
from nemo_mm.evaluation.captions import Captioned

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer
    from nemo_mm.data.pairs import Pair
    from nemo_mm.models.vision_config import VisionLanguageConfig

__all__ = ["CaptionChat", "CaptionParts"]

_log = logging.getLogger(__name__)


class CaptionParts(Configured):
    r"""One part of captioned pictures that come without a division of their own: whole pictures are held out.

    Args:
        files: As of :class:`~nemo_mm.data.Captions`; or a folder with a ``captions.jsonl``.
        part: ``train``, ``validation`` or ``test``.
        held_out: Pictures of the test, by a draw that is always the same.
        validation: Pictures of the validation, likewise.

    Raises:
        ConfigError: No file is given, or nothing would be left to train on.

    Example:
        >>> import json, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> lines = [json.dumps({"image": f"{n}.png", "caption": f"number {n}"}) for n in range(10)]
        >>> _ = (folder / "captions.jsonl").write_text("\n".join(lines))
        >>> [len(CaptionParts(folder, part, 3, 2)) for part in ("train", "validation", "test")]
        [5, 2, 3]
    """

    def __init__(
        self,
        files: str | Path | Sequence[str | Path] | None,
        part: Literal["train", "validation", "test"],
        held_out: int = 20,
        validation: int = 8,
    ) -> None:
        if files is None:
            raise ConfigError(
                "no pictures with captions are given",
                hint="folder=PATH of a folder with captions.jsonl; or data.train=FILE data.test=FILE",
            )
        if isinstance(files, str | Path) and Path(files).is_dir():
            files = Path(files, "captions.jsonl")
        self.pairs = Captions(files)
        parts = np.split(np.random.default_rng(0).permutation(len(self.pairs)), [held_out, held_out + validation])
        if len(parts[2]) == 0:
            raise ConfigError(
                f"{files}: {len(self.pairs)} pictures, and {held_out} and {validation} are held out",
                hint="lower held_out and validation",
            )
        self.places = np.sort(parts[("test", "validation", "train").index(part)])

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Pair:
        """Return a picture and its captions."""
        return self.pairs[int(self.places[index])]


class CaptionChat(LanguageDataModule):
    """Pictures with captions, each a conversation: a picture and a prompt, answered by a caption.

    Each of ``train``, ``validation`` and ``test`` is a data set of :class:`~nemo_mm.data.Pair`, or the files of one
    (:class:`~nemo_mm.data.Captions`, :class:`~nemo_mm.data.TarPairs`). Of several captions training draws one, in each
    epoch anew; validation takes the first. A model's test writes captions of its own, which are compared with all of
    people's (:meth:`captioned`).

    Batches are those of :class:`~nemo_mm.data.conversations.VisionConversations`.

    Args:
        train: What to train on.
        validation: What to validate on.
        test: What to test on.
        architecture: That of the model (its configuration or values of it): how pictures are read.
        tokenizer: What makes the tokens; it knows ``<image>``, and how conversations are written.
        prompts: What is asked for; of several training draws one, and evaluation takes the first.
        keep: Hold pictures in memory once they were read and scaled: for small sets.
        sequence_length: Most tokens of a row, those of the picture included; longer captions are cut.
        on_bad_record: ``raise`` an error that names file and line, or ``skip`` what cannot be read, log why and count.
        global_batch_size, eval_global_batch_size, shuffle, drop_last, num_workers, prefetch, seed: See
            :class:`~nemo_llm.data.module.LanguageDataModule`.

    Raises:
        ConfigError: Settings do not fit each other.
        DataError: A record cannot be used; the message says which.
    """

    def __init__(
        self,
        train: Any = None,
        validation: Any = None,
        test: Any = None,
        *,
        architecture: VisionLanguageConfig | Mapping[str, Any],
        tokenizer: Tokenizer,
        prompts: str | Sequence[str] = "Describe the picture.",
        keep: bool = False,
        sequence_length: int = 512,
        on_bad_record: Literal["raise", "skip"] = "raise",
        global_batch_size: int = 32,
        eval_global_batch_size: int | None = None,
        shuffle: bool = True,
        drop_last: bool = True,
        num_workers: int = 0,
        prefetch: int = 2,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            sequence_length=sequence_length,
            global_batch_size=global_batch_size,
            eval_global_batch_size=eval_global_batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            num_workers=num_workers,
            prefetch=prefetch,
            seed=seed,
        )
        from nemo_mm.models.vision_config import VisionLanguageConfig

        if on_bad_record not in ("raise", "skip"):
            raise ConfigError(f"data.on_bad_record is {on_bad_record!r}", hint="raise or skip")
        self.architecture = VisionLanguageConfig.reading(architecture)
        self.pictures = self.architecture.pictures()
        self.tokenizer = tokenizer
        self.prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        given = architecture.get("media_token", IMAGE) if isinstance(architecture, Mapping) else IMAGE
        self.mark_text = str(given) if isinstance(given, str) else tokenizer.id_to_token(int(given))
        mark = tokenizer.special_tokens.get(self.mark_text)
        if mark is None:
            raise ConfigError(
                f"the tokenizer has no special token {self.mark_text}, which stands where a picture is",
                hint="add it, or name one that it has: model.architecture.media_token=...",
            )
        self.mark, self.keep, self.on_bad_record = mark, keep, on_bad_record
        self.encoder = ChatEncoder(tokenizer, pairs="chat")
        self._splits = {"train": train, "validation": validation, "test": test}

    @property
    def pad_id(self) -> int:
        """The token that rows are filled up with; it counts for nothing."""
        return next((each for each in (self.tokenizer.pad_id, self.tokenizer.eos_id) if each is not None), 0)

    def pairs(self, split: str) -> Any:
        """Return the pictures and captions of ``split``, or None."""
        given = self._splits.get(split)
        return None if given is None else open_pairs(given, on_bad_shard=self.on_bad_record)

    def dataset(self, split: str) -> Any:
        """Return the rows of ``split``, or None."""
        pairs = self.pairs(split)
        return None if pairs is None else _Rows(pairs, self)

    def captioned(self, split: str) -> Captioned | None:
        """Return the pictures of ``split``, what to ask about them, and people's captions; None if there are none."""
        pairs = self.pairs(split)
        if pairs is None:
            return None
        found = []
        for index in range(len(pairs)):
            try:
                pair = pairs[index]
                captions = captions_of(pair)
                self.pictures.open(pair.first)
            except DataError:
                if self.on_bad_record == "raise":
                    raise
                continue
            found.append((pair.first, captions))
        return Captioned(self.prompts[0], [image for image, _ in found], [several for _, several in found])

    def collate(self, items: list[Any]) -> dict[str, torch.Tensor]:
        """Return the batch made of ``items``, padded to the longest."""
        length = -(-(max(len(item["tokens"]) for item in items) - 1) // 8) * 8
        length = min(length, self.sequence_length)
        rows = [
            packed_row([item["tokens"]], length, loss_masks=[item["loss_mask"]], pad_id=self.pad_id) for item in items
        ]
        skipped = torch.tensor([item["skipped"] for item in items])
        pictures = self.pictures.collate([item["pictures"] for item in items])
        return {**super().collate(rows), "skipped": skipped, **pictures}

    def filler(self, item: Any) -> Any:
        """Return an item like ``item`` that counts for nothing."""
        return {**item, "loss_mask": item["loss_mask"] * 0, "skipped": 0}

    def row(self, picture: Picture, prompt: str, caption: str, name: str) -> dict[str, Any]:
        """Return the tokens of a picture, a prompt and a caption."""
        said = [
            {"role": "user", "content": self.mark_text + prompt},
            {"role": "assistant", "content": caption.strip()},
        ]
        ids, mask = self.encoder.encode([Conversation(name, said)])[0]
        tokens, learned = expanded(np.asarray(ids), np.asarray(mask), [picture.count], self.mark)
        if picture.count + 1 >= self.sequence_length:
            raise ConfigError(
                f"data.sequence_length is {self.sequence_length}, and a picture takes {picture.count}",
                hint="raise it",
            )
        end = self.sequence_length + 1
        return {"tokens": tokens[:end], "loss_mask": learned[:end], "pictures": [picture], "skipped": 0}


class _Rows:
    """Conversations about pictures; in training with another caption each time."""

    def __init__(self, pairs: Any, data: CaptionChat) -> None:
        self.pairs, self.data = pairs, data
        self._kept: dict[int, Picture] = {}
        for name in ("groups", "window"):  # how the order of what lies in archives is drawn
            if hasattr(pairs, name):
                setattr(self, name, getattr(pairs, name))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._read(index, None)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return the row of a picture with one of its captions."""
        return self._read(index, rng)

    def _read(self, index: int, rng: np.random.Generator | None) -> dict[str, Any]:
        try:
            pair = self.pairs[index]
            captions, prompts = captions_of(pair), self.data.prompts
            caption = captions[0 if rng is None else int(rng.integers(len(captions)))]
            prompt = prompts[0 if rng is None else int(rng.integers(len(prompts)))]
            return self.data.row(self._picture(index, pair), prompt, caption, pair.name)
        except DataError as error:
            if self.data.on_bad_record == "raise":
                hint = error.hint or "mend or leave it out; data.on_bad_record=skip leaves out all such records"
                raise DataError(error.message, hint=hint) from error
            _log.warning("skipped: %s", error.message)
            nothing = np.zeros(2, np.int64)
            return {"tokens": nothing, "loss_mask": nothing, "pictures": [], "skipped": 1}

    def _picture(self, index: int, pair: Pair) -> Picture:
        if index in self._kept:
            return self._kept[index]
        found = self.data.pictures.open(pair.first, name=pair.name or None)
        if self.data.keep:
            self._kept[index] = found
        return found


def captions_of(pair: Pair) -> list[str]:
    """Return the captions of a picture.

    Raises:
        DataError: It has none, or one is no text.

    >>> from nemo_mm.data import Pair
    >>> captions_of(Pair("a.png", "a cat"))
    ['a cat']
    """
    given = [pair.second] if isinstance(pair.second, str) else pair.second
    if not isinstance(given, Sequence) or not all(isinstance(each, str) for each in given):
        raise DataError(f"{pair.name}: the caption is {pair.second!r}, not a text")
    found = [each for each in given if each.strip()]
    if not found:
        raise DataError(f"{pair.name}: has no caption")
    return found
