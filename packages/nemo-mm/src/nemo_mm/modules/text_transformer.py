"""Transformers that make one vector of a text, as CLIP and SigLIP have them."""

from __future__ import annotations

import functools
from typing import Literal

import torch
from torch import Tensor, nn

from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule
from nemo_core.types import Lengths, NeuralType, TokenIndex, typed
from nemo_mm.elements import Embedding
from nemo_mm.modules.transformer import Activation, Transformer, initialise

__all__ = ["TextTransformer"]


class TextTransformer(NeuralModule):
    """Tokens through a transformer, to one vector.

    ``causal=True, pool="end"`` is CLIP's (Radford et al., 2021), ``pool="final", sees_padding=True`` SigLIP's (Zhai et
    al., 2023), which also has a linear layer at the end (``head=True``).

    Args:
        vocabulary: Number of tokens.
        max_length: Most tokens of a text, its end token included.
        width: Features per token.
        layers: Number of layers.
        heads: Heads of the attention.
        inner: Features inside the feed-forward networks; four times ``width`` if not given.
        causal: Whether no token looks ahead.
        pool: What stands for the text. ``end``: its last token; ``final``: the last place of the padded text; ``mean``:
            the mean of its tokens.
        sees_padding: Whether padding takes part in the attention; all texts must be padded to ``max_length`` then.
        head: Whether there is a linear layer at the end.
        activation: quick_gelu, gelu or gelu_tanh.
        eps: Of the layer norms.
        dropout: Of attention weights.
        recompute: Compute layers again on the way back instead of keeping what they held.

    Example:
        >>> encoder = TextTransformer(50, max_length=9, width=16, layers=2, heads=2)
        >>> tokens, length = torch.randint(50, (3, 7)), torch.tensor([7, 4, 2])
        >>> encoder(tokens=tokens, length=length).shape
        torch.Size([3, 16])
    """

    def __init__(
        self,
        vocabulary: int = 49408,
        max_length: int = 77,
        width: int = 512,
        layers: int = 12,
        heads: int = 8,
        inner: int | None = None,
        *,
        causal: bool = True,
        pool: Literal["end", "final", "mean"] = "end",
        sees_padding: bool = False,
        head: bool = False,
        activation: Activation = "gelu",
        eps: float = 1e-5,
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if pool not in ("end", "final", "mean"):
            raise ConfigError(f"pool is {pool!r}", hint="end, final or mean")
        if sees_padding != (pool == "final"):
            raise ConfigError("pool=final and sees_padding go together: the last place of a padded text is padding")
        self.vocabulary, self.max_length, self.width = vocabulary, max_length, width
        self.causal, self.pool, self.sees_padding = causal, pool, sees_padding
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(max_length, width) * 0.01)
        self.transformer = Transformer(layers, width, heads, inner, activation, eps, dropout, recompute)
        self.norm = nn.LayerNorm(width, eps)
        self.head = nn.Linear(width, width) if head else None
        nn.init.normal_(self.tokens.weight, std=0.02)
        initialise(self.transformer)

    @functools.cached_property
    def input_types(self) -> dict[str, NeuralType]:
        """``tokens`` (B, T) and ``length`` (B,)."""
        return {
            "tokens": NeuralType(("B", "T"), TokenIndex()),
            "length": NeuralType(("B",), Lengths()),
        }

    @functools.cached_property
    def output_types(self) -> dict[str, NeuralType]:
        """``embedding`` (B, D)."""
        return {"embedding": NeuralType(("B", f"D:{self.width}"), Embedding())}

    @typed
    def forward(self, tokens: Tensor, length: Tensor) -> Tensor:
        """Return one vector (B, D) for each text."""
        steps = tokens.shape[1]
        if steps > self.max_length or (self.sees_padding and steps != self.max_length):
            raise ConfigError(
                f"texts of {steps} tokens, and the encoder {'is' if steps > self.max_length else 'was'} made for "
                f"{self.max_length}",
                hint=f"let mm.TextTokens cut and pad them: max_length={self.max_length}"
                + (", pad_to_max=true" if self.sees_padding else ""),
            )
        if not self.sees_padding and tokens.device.type == "cpu":
            # What is behind the longest text changes nothing. On a GPU, asking for its length would make the host wait.
            steps = int(length.max())
            tokens = tokens[:, :steps]
        x = self.tokens(tokens) + self.positions[:steps]
        x = self.norm(self._pooled(x, length))
        return x if self.head is None else self.head(x)

    def _pooled(self, x: Tensor, length: Tensor) -> Tensor:
        if self.sees_padding:
            return self.transformer.of_one(x, x.shape[1] - 1, causal=self.causal)
        inside = torch.arange(x.shape[1], device=x.device) < length[:, None]
        seen = inside[:, None, None, :]
        # What is behind the end of a text cannot be seen from within it where no token looks ahead.
        mask = None if self.causal else seen
        if self.pool == "end":
            return self.transformer.of_one(x, length - 1, mask, self.causal, seen)
        x = self.transformer(x, mask, self.causal)
        return (x * inside[:, :, None]).sum(1) / length[:, None]
