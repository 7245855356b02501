"""Rotary position embedding (Su et al., 2021, arXiv:2104.09864) with everything that stretches it to longer texts.

It works from explicit positions: the one table of a forward pass is computed from ``position_ids`` where they are
given (packed documents, ragged batches, new tokens behind a cache), or from the place in the sequence. The table is a
single tensor, since that is what survives the engine's activation recomputation.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from nemo_llm.models.config import ModelConfig, Rope
from nemo_llm.models.layers.context import positions_of

__all__ = ["RotaryEmbedding", "by_section", "frequencies", "rotate"]


def frequencies(rope: Rope, dim: int, *, length: int, max_length: int, local: bool = False) -> tuple[Tensor, float]:
    """Return the angle per position of each pair of dimensions, and what sine and cosine are multiplied by.

    Args:
        rope: The settings.
        dim: Dimensions that are rotated.
        length: Tokens of the text at hand (``longrope`` and ``ntk`` depend on it).
        max_length: Tokens of the longest text that the model is made for.
        local: Whether it is for layers with a sliding window.

    Returns:
        ``(dim / 2,)``, float32; and the temperature.

    >>> angles, temperature = frequencies(Rope(), 4, length=8, max_length=8)
    >>> angles.tolist(), temperature
    ([1.0, 0.009999999776482582], 1.0)
    """
    base = rope.local_base if local and rope.local_base is not None else rope.base
    powers = torch.arange(0, dim, 2, dtype=torch.int64).float() / dim
    scaling = "none" if local and not rope.scale_local else rope.scaling
    original = rope.original_length or max_length
    if scaling == "ntk":  # the base grows with the text, from the trained length on
        stretch = rope.factor * max(length, original) / original - (rope.factor - 1)
        return 1.0 / (base * stretch ** (dim / (dim - 2))) ** powers, 1.0
    plain = 1.0 / base**powers
    if scaling == "linear":
        return plain / rope.factor, 1.0
    if scaling == "llama3":
        return _by_wavelength(plain, rope, original), 1.0
    if scaling == "yarn":
        return _yarn(plain, rope, dim, base, original), _yarn_temperature(rope)
    if scaling == "longrope":
        factors = rope.long_factors if length > original else rope.short_factors
        if factors is None:
            raise ValueError("longrope needs short_factors and long_factors")
        return 1.0 / (torch.tensor(factors) * base**powers), _long_temperature(rope, original, max_length)
    return plain, 1.0


def _by_wavelength(plain: Tensor, rope: Rope, original: int) -> Tensor:
    turns = original * plain / (2 * math.pi)  # of each pair over the original length
    blend = ((turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)).clamp(0.0, 1.0)
    return (1 - blend) * plain / rope.factor + blend * plain


def _yarn(plain: Tensor, rope: Rope, dim: int, base: float, original: int) -> Tensor:
    def dimension(turns: float) -> float:
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    if low == high:
        high += 0.001
    stretched = ((torch.arange(dim // 2, dtype=torch.float32) - low) / (high - low)).clamp(0.0, 1.0)
    return plain / rope.factor * stretched + plain * (1 - stretched)


def yarn_mscale(factor: float, mscale: float = 1.0) -> float:
    """Return the temperature of YaRN (arXiv:2309.00071, eq. 22) for a stretching by ``factor``."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def _yarn_temperature(rope: Rope) -> float:
    if rope.attention_factor is not None:
        return rope.attention_factor
    if rope.mscale and rope.mscale_all_dim:
        return yarn_mscale(rope.factor, rope.mscale) / yarn_mscale(rope.factor, rope.mscale_all_dim)
    return yarn_mscale(rope.factor)


def _long_temperature(rope: Rope, original: int, max_length: int) -> float:
    if rope.attention_factor is not None:
        return rope.attention_factor
    factor = rope.factor if rope.factor != 1.0 else max_length / original
    return 1.0 if factor <= 1.0 else math.sqrt(1 + math.log(factor) / math.log(original))


def by_section(turned: Tensor, sections: tuple[int, ...]) -> Tensor:
    """Return the angles of each pair of dimensions from those of the part of the position that it turns with.

    Args:
        turned: ``(..., 3, R / 2)``, angles for time, height and width.
        sections: How many pairs turn with each, ``R / 2`` together.

    >>> by_section(torch.tensor([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0]]), (1, 1, 1)).tolist()
    [1.0, 2.0, 3.0]
    """
    parts = turned.split(list(sections), -1)
    return torch.cat([part[..., place, :] for place, part in enumerate(parts)], -1)


class RotaryEmbedding(nn.Module):
    """The table of sines and cosines of one forward pass.

    Args:
        config: The model.

    Shape of the table: ``(K, 2, S, B, 1, R / 2)``, or 1 for B where all rows have the same positions: cosine and sine
    for each of K kinds of layers (a second one for those with a sliding window, where they differ: Gemma 3).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.rope = config.rope
        self.max_length = config.max_length
        self.dim = config.rotary_dim
        self.local = config.window is not None and (
            config.rope.local_base is not None or (config.rope.scaling != "none" and not config.rope.scale_local)
        )
        self._kept: tuple[Any, Tensor] | None = None
        self._angles: dict[tuple[bool, torch.device], tuple[Tensor, float]] = {}

    def kind_of(self, window: int | None) -> int:
        """Return which of the K kinds a layer with this sliding window uses."""
        return int(self.local and window is not None)

    def forward(self, positions: Tensor, dtype: torch.dtype, length: int | None = None) -> Tensor:
        """Compute the table.

        Args:
            positions: ``(B, S)``, or ``(S,)`` where all rows have the same; whole numbers. Of models with
                ``rope.sections`` also ``(B, S, 3)``: time, height and width.
            dtype: Of the table.
            length: Tokens of the whole text, where only a part of it is at hand.
        """
        if length is None:
            length = int(positions.max()) + 1 if self.rope.scaling in ("ntk", "longrope") else self.max_length
        times = positions.float()[..., None]  # (B, S, 1) or (S, 1)
        kinds = []
        for local in (False, True) if self.local else (False,):
            angles, temperature = self._frequencies(length, local, times.device)
            turned = times * angles
            if positions.dim() == 3:
                turned = by_section(turned, self.rope.sections or ())
            kinds.append(torch.stack([turned.cos(), turned.sin()]) * temperature)
        table = torch.stack(kinds).to(dtype)
        return table[:, :, :, None, None] if positions.dim() == 1 else table.transpose(2, 3)[:, :, :, :, None]

    def _frequencies(self, length: int, local: bool, device: torch.device) -> tuple[Tensor, float]:
        """Return :func:`frequencies`, kept where they do not depend on the text: a GPU waits for each copy."""
        key = (local, device)
        if key in self._angles:
            return self._angles[key]
        with torch.inference_mode(False):
            angles, temperature = frequencies(
                self.rope, self.dim, length=length, max_length=self.max_length, local=local
            )
            found = angles.to(device), temperature
        if self.rope.scaling not in ("ntk", "longrope"):
            self._angles[key] = found
        return found

    def of_sequence(
        self, length: int, dtype: torch.dtype, device: torch.device, part: tuple[int, int] = (0, 1)
    ) -> Tensor:
        """Return the table of positions ``0 .. length - 1``, kept from one call to the next.

        Args:
            length: Tokens of the whole sequence.
            dtype: Of the table.
            device: Where it is needed.
            part: Rank and number of the processes that it is divided among (:mod:`nemo_llm.models.layers.context`);
                only this one's rows are returned.
        """
        key = (length, dtype, device, part)
        if self._kept is None or self._kept[0] != key:
            with torch.inference_mode(False):  # training will want what validation has left here
                positions = positions_of(*part, length // part[1], device)
                self._kept = key, self(positions, dtype, length)
        return self._kept[1]


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor, interleaved: bool) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        ctx.interleaved = interleaved
        return _turn(x, cosine, sine, 1.0, interleaved)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        cosine, sine = ctx.saved_tensors
        return _turn(grad, cosine, sine, -1.0, ctx.interleaved), None, None, None


def _turn(x: Tensor, cosine: Tensor, sine: Tensor, direction: float, interleaved: bool) -> Tensor:
    half = cosine.shape[-1]
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    if interleaved:
        first, second = slice(0, 2 * half, 2), slice(1, 2 * half, 2)
    else:
        first, second = slice(0, half), slice(half, 2 * half)
    a, b = x[..., first], x[..., second]
    torch.mul(a, cosine, out=out[..., first]).addcmul_(b, sine, value=-direction)
    torch.mul(b, cosine, out=out[..., second]).addcmul_(a, sine, value=direction)
    if 2 * half < x.shape[-1]:
        out[..., 2 * half :] = x[..., 2 * half :]
    return out


def rotate(x: Tensor, table: Tensor, *, interleaved: bool = False) -> Tensor:
    """Rotate the pairs of dimensions of each head.

    Args:
        x: ``(S, B, H, D)``.
        table: ``(2, S, B or 1, 1, R / 2)``, cosine and sine; the dimensions behind the first R are left as they are.
        interleaved: Whether neighbouring dimensions are a pair, and not those half of R apart.

    >>> x = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    >>> quarter = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1, 1)
    >>> rotate(x, quarter).flatten().tolist()
    [0.0, 1.0]
    """
    return _Rotate.apply(x, table[0], table[1], interleaved)
