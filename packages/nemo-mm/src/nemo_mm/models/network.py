"""A process's part of a language model that is given more than text.

It is the engine's model and, on the first pipeline stage, the reader, whose embeddings replace those of the tokens that
keep their places.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nemo_core.errors import DataError
from nemo_llm.models.gpt import GPT
from nemo_llm.models.gpt import build_chunks as build_language

if TYPE_CHECKING:
    from nemo_llm.megatron.layout import Layout
    from nemo_mm.models.multimodal_config import MultimodalConfig

__all__ = ["Media", "MediaGPT", "build_chunks", "places_of"]


@dataclass(frozen=True)
class Media:
    """What a micro-batch has besides text.

    Attributes:
        index: (B, S), which of its row's embeddings stands in each place, -1 for text; of this process's share of the
            sequence.
        total: (B,), how many places each whole row has.
        values: What the reader is given, by name.
    """

    index: Tensor
    total: Tensor
    values: Mapping[str, Tensor]


def places_of(tokens: Tensor, media_token: int) -> tuple[Tensor, Tensor]:
    """Return ``index`` (B, S) and ``total`` (B,) of :class:`Media`, for whole rows of tokens (B, S).

    >>> index, total = places_of(torch.tensor([[5, 9, 9, 7], [9, 5, 5, 5]]), media_token=9)
    >>> index.tolist(), total.tolist()
    ([[-1, 0, 1, -1], [0, -1, -1, -1]], [2, 1])
    """
    here = tokens == media_token
    index = torch.where(here, here.cumsum(1) - 1, -1)
    return index, here.sum(1)


class MediaGPT(GPT):
    """The engine's model with a reader.

    ``model(tokens, position_ids, attention_mask, media=None, labels=None)``, otherwise as
    :class:`~nemo_llm.models.gpt.GPT`.

    Attributes:
        reader: On the first pipeline stage the reader, elsewhere None.
    """

    _media: Media | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.reader: nn.Module | None = None

    def forward(self, *args: Any, media: Media | None = None, **options: Any) -> Any:
        """Run; see the class."""
        self._media = media
        try:
            return super().forward(*args, **options)
        finally:
            self._media = None

    def train(self, mode: bool = True) -> MediaGPT:
        """Set the mode; parts of the reader that are not trained stay in evaluation mode."""
        super().train(mode)
        for part in self.reader.children() if self.reader is not None else ():
            trained = [weight.requires_grad for weight in part.parameters()]
            if trained and not any(trained):
                part.eval()
        return self

    def amend(self, hidden: Tensor) -> Tensor:
        """Put the reader's embeddings in the places of those of the tokens that keep them."""
        if self.reader is not None and self._media is not None:
            hidden = self._with_media(hidden, self._media)
        recomputes = self.config.recompute_granularity is not None
        if recomputes and torch.is_grad_enabled() and not hidden.requires_grad:
            hidden.requires_grad_()  # recomputed layers get gradients only through what goes into them
        return hidden

    def _with_media(self, hidden: Tensor, media: Media) -> Tensor:
        assert self.reader is not None
        embeddings, counts = self.reader(**media.values)
        if not torch.equal(counts.to(media.total), media.total):
            _refuse(counts, media.total)
        if len(embeddings) == 0:
            return hidden + _nothing_of(self.reader, hidden)
        first = media.total.cumsum(0) - media.total  # of each row, among all embeddings
        index = torch.where(media.index >= 0, media.index + first[:, None], -1).t()  # (S, B)
        if self.config.sequence_parallel:
            index = index.chunk(self.config.tensor_model_parallel_size)[self.pg_collection.tp.rank()]
        flat = index.flatten()
        (places,) = torch.nonzero(flat >= 0, as_tuple=True)
        embeddings = embeddings.to(hidden.dtype)
        chosen = embeddings.index_select(0, flat[places])
        return hidden.flatten(0, 1).index_copy(0, places, chosen).view_as(hidden)


def _refuse(counts: Tensor, total: Tensor) -> None:
    row = int(torch.nonzero(counts.to(total) != total)[0])
    raise DataError(
        f"row {row} of a micro-batch has {int(total[row])} places for embeddings of media, and its media give "
        f"{int(counts[row])}",
        hint="each image or sound takes as many tokens as the reader makes of it; was the row cut?",
    )


def _nothing_of(reader: nn.Module, like: Tensor) -> Tensor:
    """Return a zero that depends on all weights that are trained: all processes must have gradients, or none."""
    weights = [weight for weight in reader.parameters() if weight.requires_grad]
    if not weights or not torch.is_grad_enabled():
        return like.new_zeros(())
    return torch.stack([weight.sum().to(like.dtype) * 0 for weight in weights]).sum()


def _loss_share(config: Any) -> float | Tensor:
    """Return what a loss of the reader is multiplied by: its share, where gradients of several processes are summed."""
    alike = config.context_parallel_size * (config.tensor_model_parallel_size if config.sequence_parallel else 1)
    scale = getattr(config, "grad_scale_func", None)
    return 1.0 / alike if scale is None else scale(torch.ones(())) / alike


def build_chunks(
    config: MultimodalConfig,
    layout: Layout | None = None,
    dtype: torch.dtype = torch.float32,
    *,
    seed: int | None = 0,
    **options: Any,
) -> list[MediaGPT]:
    """Build all of this process's parts of the model; the engine must run.

    Args:
        config: The model.
        layout: How the language model is divided; the reader is whole in each process of the first stage.
        dtype: Of the weights.
        seed: Of new weights, which do not depend on the layout; None: they are to be loaded.
        options: Of :func:`nemo_llm.models.gpt.build_gpt`.
    """
    chunks: list[Any] = build_language(config.language, layout, dtype, seed=seed, kind=MediaGPT, **options)
    for chunk in chunks:
        if chunk.pre_process:
            weight = next(chunk.parameters())
            state = torch.get_rng_state()
            torch.default_generator.manual_seed(seed or 0)
            chunk.reader = config.make_reader().to(device=weight.device, dtype=dtype)
            chunk.reader.share = functools.partial(_loss_share, chunk.config)
            torch.set_rng_state(state)
            if chunk.config.sequence_parallel:
                for each in chunk.reader.parameters():
                    # Each process has the places of its part of the sequence; the engine adds their gradients up.
                    each.sequence_parallel = True
    return chunks
