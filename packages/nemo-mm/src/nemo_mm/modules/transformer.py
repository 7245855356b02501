"""The transformer that vision and text towers share: pre-norm, one product for all projections, fused attention."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from nemo_core.errors import ConfigError

__all__ = ["Activation", "Attention", "Layer", "Transformer", "activate", "initialise"]

Activation = Literal["quick_gelu", "gelu", "gelu_tanh"]

#: quick_gelu(x) = x sigmoid(1.702 x), which is silu(1.702 x) / 1.702.
_QUICK = 1.702


def activate(x: Tensor, name: str) -> Tensor:
    """Return the activation of ``x``: quick_gelu (CLIP), gelu, or gelu_tanh (SigLIP).

    >>> activate(torch.tensor([0.0, 1.0]), "quick_gelu")
    tensor([0.0000, 0.8458])
    """
    if name == "quick_gelu":
        return F.silu(_QUICK * x) / _QUICK
    return F.gelu(x, approximate="tanh" if name == "gelu_tanh" else "none")


class Attention(nn.Module):
    """Multi-head attention of a sequence to itself.

    Args:
        width: Features per token.
        heads: Into how many parts they are split.
        dropout: Of attention weights, in training.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"{width} features do not divide among {heads} heads")
        self.width, self.heads, self.dropout = width, heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Return (B, T, D) of ``x`` (B, T, D); ``mask`` (B, 1, T or 1, T) is true where attention may look."""
        # In three chunks rather than one tensor of three: on the way back they are then put together in one copy.
        query, key, value = (self._heads(part) for part in self.qkv(x).chunk(3, -1))
        return self._attend(query, key, value, mask, causal)

    def of_one(self, at: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return (B, 1, D): what the tokens ``at`` (B, 1, D) of ``x`` (B, T, D) find; no other asks."""
        weight, bias = self.qkv.weight, self.qkv.bias
        query = self._heads(F.linear(at, weight[: self.width], bias[: self.width]))
        both = F.linear(x, weight[self.width :], bias[self.width :])
        key, value = (self._heads(part) for part in both.chunk(2, -1))
        return self._attend(query, key, value, mask, False)

    def _heads(self, x: Tensor) -> Tensor:
        """Return (B, H, T, D / H) of (B, T, D)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal)
        return self.out(found.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Attention and a feed-forward network, each on what is normalised and added to what came in.

    Args:
        width: Features per token.
        heads: Of the attention.
        inner: Features inside the feed-forward network.
        activation: quick_gelu, gelu or gelu_tanh.
        eps: Of the layer norms.
        dropout: Of attention weights.
    """

    def __init__(
        self, width: int, heads: int, inner: int, activation: str = "gelu", eps: float = 1e-5, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if activation not in ("quick_gelu", "gelu", "gelu_tanh"):
            raise ConfigError(f"activation is {activation!r}", hint="quick_gelu, gelu or gelu_tanh")
        self.activation = activation
        self.norm1 = nn.LayerNorm(width, eps)
        self.attention = Attention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width, eps)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Return (B, T, D) of ``x`` (B, T, D)."""
        x = x + self.attention(self.norm1(x), mask, causal)
        return x + self._feed(x)

    def of_one(self, x: Tensor, place: Tensor | int, mask: Tensor | None = None) -> Tensor:
        """Return (B, D): what ``forward`` gives at one place of each sequence, at a fraction of its cost.

        Args:
            x: (B, T, D).
            place: Which token, for all or for each (B,).
            mask: (B, 1, 1, T), true where that token may look.
        """
        normed = self.norm1(x)
        at = x[:, place] if isinstance(place, int) else x[torch.arange(len(x), device=x.device), place]
        asking = normed[:, place] if isinstance(place, int) else normed[torch.arange(len(x), device=x.device), place]
        at = at + self.attention.of_one(asking[:, None], normed, mask)[:, 0]
        return at + self._feed(at)

    def _feed(self, x: Tensor) -> Tensor:
        x = self.norm2(x)
        if self.activation != "quick_gelu":
            return self.fc2(activate(self.fc1(x), self.activation))
        # The factors of quick_gelu cost nothing in the products before and behind it: what remains of it is silu, one
        # pass over the widest tensor there is, and one on the way back.
        inner = torch.addmm(self.fc1.bias, x.flatten(0, -2), self.fc1.weight.t(), beta=_QUICK, alpha=_QUICK)
        found = torch.mm(F.silu(inner), self.fc2.weight.t())
        return torch.add(self.fc2.bias, found, alpha=1 / _QUICK).view_as(x)


class Transformer(nn.Module):
    """A stack of layers.

    Args:
        layers: How many.
        width: Features per token.
        heads: Of the attention.
        inner: Features inside the feed-forward networks; four times ``width`` if not given.
        activation: quick_gelu, gelu or gelu_tanh.
        eps: Of the layer norms.
        dropout: Of attention weights.
        recompute: Keep only what enters each layer, and compute the rest again on the way back: memory for time.

    Example:
        >>> stack = Transformer(2, width=8, heads=2)
        >>> x = torch.randn(3, 5, 8)
        >>> torch.allclose(stack(x)[:, 0], stack.of_one(x, 0), atol=1e-6)
        True
    """

    def __init__(
        self,
        layers: int,
        width: int,
        heads: int,
        inner: int | None = None,
        activation: str = "gelu",
        eps: float = 1e-5,
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ConfigError(f"layers is {layers}", hint="give at least 1")
        self.width, self.recompute = width, recompute
        self.layers = nn.ModuleList(
            Layer(width, heads, inner or 4 * width, activation, eps, dropout) for _ in range(layers)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False, last: int | None = None) -> Tensor:
        """Return (B, T, D) of ``x`` (B, T, D), behind all layers or the first ``last`` of them."""
        for layer in self.layers[:last]:
            x = self._through(layer, x, mask, causal)
        return x

    def of_one(
        self,
        x: Tensor,
        place: Tensor | int,
        mask: Tensor | None = None,
        causal: bool = False,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Return (B, D): what ``forward`` gives at one place of each sequence. The last layer works for that one alone.

        Args:
            x: (B, T, D).
            place: Which token, for all or for each (B,).
            mask: What every token may look at; see :meth:`Attention.forward`.
            causal: Whether no token looks ahead.
            seen: (B, 1, 1, T), true where the one token may look; ``mask`` if not given.
        """
        x = self(x, mask, causal, last=-1)
        last = self.layers[-1]
        assert isinstance(last, Layer)
        return last.of_one(x, place, mask if seen is None else seen)

    def _through(self, layer: nn.Module, x: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        if self.recompute and self.training and torch.is_grad_enabled():
            return checkpoint(layer, x, mask, causal, use_reentrant=False)
        return layer(x, mask, causal)


def initialise(transformer: Transformer) -> None:
    """Draw weights as CLIP does (Radford et al., 2021, arXiv:2103.00020): less for what is added up over the layers."""
    width, depth = transformer.width, len(transformer.layers)
    for layer in transformer.layers:
        assert isinstance(layer, Layer)
        nn.init.normal_(layer.attention.qkv.weight, std=width**-0.5)
        nn.init.normal_(layer.attention.out.weight, std=width**-0.5 * (2 * depth) ** -0.5)
        nn.init.normal_(layer.fc1.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(layer.fc2.weight, std=width**-0.5 * (2 * depth) ** -0.5)
        for linear in (layer.attention.qkv, layer.attention.out, layer.fc1, layer.fc2):
            nn.init.zeros_(linear.bias)
