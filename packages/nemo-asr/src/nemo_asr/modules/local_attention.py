"""Attention to near frames, and to a few that all may see: time and memory grow with the length, not its square."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_asr.modules.relative_attention import RelativeAttention
from nemo_core.errors import ConfigError

__all__ = ["LocalAttention"]

_NEVER = -1e4


class LocalAttention(RelativeAttention):
    """Relative attention to ``context`` frames on each side, and to global tokens (Beltagy et al., arXiv:2004.05150).

    Frames are taken in blocks, each with the keys within its reach. Global tokens are attended to by all frames, and
    attend to all themselves.

    Args:
        d_model: Features per frame.
        n_heads: Number of heads.
        dropout: Probability of a dropped attention weight.
        use_bias: Whether the linear layers have biases.
        context: How many frames to the left and right a frame attends to.
        global_tokens: How many frames are global.
        global_tokens_spacing: How far apart they are.
        global_attn_separate: Whether they have queries, keys and values of their own.

    Example:
        >>> attention = LocalAttention(16, 4, context=(3, 2), global_tokens=1).eval()
        >>> x, inside = torch.randn(2, 50, 16), torch.arange(50) < torch.tensor([[50], [30]])
        >>> attention(x, None, inside, torch.randn(1, 6, 16)).shape
        torch.Size([2, 50, 16])
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        *,
        context: tuple[int, int],
        global_tokens: int = 0,
        global_tokens_spacing: int = 1,
        global_attn_separate: bool = False,
    ) -> None:
        super().__init__(d_model, n_heads, dropout, use_bias)
        if min(context) < 0 or max(context) == 0:
            raise ConfigError(
                f"encoder: att_context_size {list(context)} is no reach for local attention", hint="such as [128, 128]"
            )
        if global_tokens < 0 or global_tokens_spacing < 1:
            raise ConfigError("encoder: global_tokens must not be negative, global_tokens_spacing must be positive")
        self.context = context
        self.global_tokens = global_tokens
        self.global_tokens_spacing = global_tokens_spacing
        self.separate = global_attn_separate and global_tokens > 0
        if self.separate:
            self.global_q = nn.Linear(d_model, d_model, bias=use_bias)
            self.global_k = nn.Linear(d_model, d_model, bias=use_bias)
            self.global_v = nn.Linear(d_model, d_model, bias=use_bias)

    def forward(self, x: Tensor, mask: Tensor | None, inside: Tensor, positions: Tensor) -> Tensor:
        """Return what each frame gathers from the others.

        Args:
            x: Frames (B, T, D).
            mask: Not used: the context says who attends to whom.
            inside: Which frames are not padding (B, T).
            positions: Encodings of the distances left ... -right, (1, left + right + 1, D).
        """
        query, key, value = (self._heads(layer(x)) for layer in (self.linear_q, self.linear_k, self.linear_v))
        distances = self._heads(self.linear_pos(positions.to(x.dtype)))
        near = (query + self.pos_bias_v.unsqueeze(1)) @ distances.transpose(2, 3) / math.sqrt(self.d_head)
        biased = query + self.pos_bias_u.unsqueeze(1)
        tokens = torch.arange(x.shape[1], device=x.device)[:: self.global_tokens_spacing][: self.global_tokens]
        if len(tokens) == 0:
            gathered = self._attend_near(biased, key, value, near, inside)
        else:
            of_all = query, key, value
            if self.separate:
                of_all = self._heads(self.global_q(x)), self._heads(self.global_k(x)), self._heads(self.global_v(x))
            gathered = self._attend_near(biased, key, value, near, inside, (of_all[0], of_all[1], tokens))
            gathered = gathered.index_copy(2, tokens, self._attend_all(*of_all, tokens, inside).to(gathered.dtype))
        gathered = gathered * inside[:, None, :, None]  # padding gathers nothing
        return self.linear_out(gathered.transpose(1, 2).flatten(2))

    def _attend_near(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        near: Tensor,
        inside: Tensor,
        globals_: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return what each frame (B, H, T, D/H) gathers from those in reach, and from the global ones.

        ``near`` (B, H, T, left + right + 1) are the scores of distances.
        """
        batch, _, frames, _ = query.shape
        left, right = self.context
        block = left + right  # so large that half of the work is of use, and so small that memory stays linear
        rest = -frames % block
        reach = block + left + right

        bias = _skew(_blocks(F.pad(near, (0, 0, 0, rest)), block), reach)
        keys, values = (_windows(F.pad(each, (0, 0, left, right + rest)), reach, block) for each in (key, value))
        visible = F.pad(inside, (left, right + rest)).unfold(1, reach, block).flatten(0, 1)
        bias = bias.masked_fill(~visible[:, None, None, :], _NEVER)
        if globals_ is not None:
            # Columns for the global tokens come first. Their whole score is in the bias, since their queries may be
            # others than those of the near frames; the keys are zero.
            global_query, global_key, tokens = globals_
            scores = global_query @ global_key[:, :, tokens].transpose(2, 3) / math.sqrt(self.d_head)
            scores = scores.masked_fill(~inside[:, None, None, tokens], _NEVER)
            bias = torch.cat((_blocks(F.pad(scores, (0, 0, 0, rest)), block), bias), dim=3)
            repeats = keys.shape[0] // batch
            shared = value[:, :, tokens].repeat_interleave(repeats, dim=0)
            keys = torch.cat((torch.zeros_like(shared), keys), dim=2)
            values = torch.cat((shared, values), dim=2)
        queries = _blocks(F.pad(query, (0, 0, 0, rest)), block)
        gathered = self._sdpa(queries, keys, values, bias)
        return gathered.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2, 3)[:, :, :frames]

    def _attend_all(self, query: Tensor, key: Tensor, value: Tensor, tokens: Tensor, inside: Tensor) -> Tensor:
        bias = torch.zeros_like(inside, dtype=query.dtype).masked_fill(~inside, _NEVER)[:, None, None, :]
        return self._sdpa(query[:, :, tokens], key, value, bias)

    def _sdpa(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype), dropout_p=dropout)


def _blocks(x: Tensor, size: int) -> Tensor:
    """Return ``x`` (B, H, n * size, D) in blocks (B * n, H, size, D)."""
    return x.unflatten(2, (-1, size)).transpose(1, 2).flatten(0, 1)


def _windows(x: Tensor, size: int, step: int) -> Tensor:
    """Return the overlapping windows (B * n, H, size, D) of ``x`` (B, H, T, D)."""
    return x.unfold(2, size, step).permute(0, 2, 1, 4, 3).flatten(0, 1)


def _skew(near: Tensor, reach: int) -> Tensor:
    """Return scores (N, H, block, reach) by key of scores (N, H, block, L) by distance; never, where there are none.

    Row i of the block has its distances from column i on: rows that are one too long, read as rows of ``reach``.
    """
    rows = near.shape[2]
    padded = F.pad(near, (0, reach + 1 - near.shape[3]), value=_NEVER)
    return padded.flatten(2)[..., : rows * reach].unflatten(2, (rows, reach))
