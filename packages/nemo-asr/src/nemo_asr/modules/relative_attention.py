"""Self-attention with relative or absolute positions, and what may attend to what."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core.errors import ConfigError
from nemo_core.modules.dropout import dropout

__all__ = [
    "MultiHeadAttention",
    "RelativeAttention",
    "attend",
    "attention_mask",
    "relative_positions",
    "shift_relative",
    "sinusoids",
]


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention of several heads (Vaswani et al., 2017, arXiv:1706.03762).

    Args:
        d_model: Features per frame.
        n_heads: Number of heads.
        dropout: Probability of a dropped attention weight.
        use_bias: Whether the linear layers have biases.
    """

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0, use_bias: bool = True) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ConfigError(f"encoder: d_model {d_model} cannot be divided among {n_heads} heads")
        self.n_heads = n_heads
        self.d_head = d_model // n_heads
        self.dropout = dropout
        self.linear_q = nn.Linear(d_model, d_model, bias=use_bias)
        self.linear_k = nn.Linear(d_model, d_model, bias=use_bias)
        self.linear_v = nn.Linear(d_model, d_model, bias=use_bias)
        self.linear_out = nn.Linear(d_model, d_model, bias=use_bias)

    def forward(self, x: Tensor, mask: Tensor, inside: Tensor, positions: Tensor) -> Tensor:
        """Return what each frame gathers from the others.

        Args:
            x: Frames (B, T, D).
            mask: Zero where a frame may attend to another, else very negative, (B or 1, 1, T or 1, T).
            inside: Which frames are not padding (B, T).
            positions: Not used: the frames have their positions in them.
        """
        return self._attend(self._heads(self.linear_q(x)), x, mask, inside)

    def _attend(self, query: Tensor, x: Tensor, bias: Tensor, inside: Tensor) -> Tensor:
        key, value = self._heads(self.linear_k(x)), self._heads(self.linear_v(x))
        gathered = attend(query, key, value, bias.to(query.dtype), self.dropout if self.training else 0.0)
        gathered = gathered * inside[:, None, :, None]  # padding gathers nothing
        return self.linear_out(gathered.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.n_heads, self.d_head)).transpose(1, 2)


class RelativeAttention(MultiHeadAttention):
    """Attention that also depends on how far apart two frames are (Dai et al., 2019, arXiv:1901.02860).

    The score of frames i and j is ``(q_i + u) k_j + (q_i + v) p_{i-j}``. The second term goes into
    :func:`~torch.nn.functional.scaled_dot_product_attention` as an additive mask.

    Args:
        d_model: Features per frame.
        n_heads: Number of heads.
        dropout: Probability of a dropped attention weight.
        use_bias: Whether the linear layers have biases.
        biases: ``u`` and ``v`` (H, D / H) to share with other layers; by default the layer has its own.

    Example:
        >>> attention = RelativeAttention(16, 4).eval()
        >>> x, length = torch.randn(2, 10, 16), torch.tensor([10, 6])
        >>> mask, inside = attention_mask(length, 10)
        >>> attention(x, mask, inside, relative_positions(10, 16)).shape
        torch.Size([2, 10, 16])
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        biases: tuple[nn.Parameter, nn.Parameter] | None = None,
    ) -> None:
        super().__init__(d_model, n_heads, dropout, use_bias)
        self.linear_pos = nn.Linear(d_model, d_model, bias=False)
        self.pos_bias_u, self.pos_bias_v = biases or self.new_biases(d_model, n_heads)

    @staticmethod
    def new_biases(d_model: int, n_heads: int) -> tuple[nn.Parameter, nn.Parameter]:
        """Return ``u`` and ``v`` (H, D / H), zero."""
        shape = (n_heads, d_model // n_heads)
        return nn.Parameter(torch.zeros(shape)), nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor, mask: Tensor, inside: Tensor, positions: Tensor) -> Tensor:
        """Return what each frame gathers from the others.

        Args:
            x: Frames (B, T, D).
            mask: Zero where a frame may attend to another, else very negative, (B or 1, 1, T or 1, T).
            inside: Which frames are not padding (B, T).
            positions: Encodings of the distances T-1 ... -(T-1), (1, 2T - 1, D).
        """
        query = self._heads(self.linear_q(x))
        distances = self._heads(self.linear_pos(positions.to(x.dtype)))
        scores = (query + self.pos_bias_v.unsqueeze(1)) @ distances.transpose(2, 3)
        bias = shift_relative(scores) * (1 / math.sqrt(self.d_head)) + mask
        return self._attend(query + self.pos_bias_u.unsqueeze(1), x, bias, inside)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, probability: float = 0.0) -> Tensor:
    """Return :func:`~torch.nn.functional.scaled_dot_product_attention` of heads (B, H, T, D), in (B, H, T, D).

    With dropout torch has no kernel of its own for a CPU: it takes the steps one by one, and so does this, with a
    cheaper dropout and without the steps that only other masks need.

    Args:
        query: (B, H, T, D).
        key: (B, H, S, D).
        value: (B, H, S, D).
        bias: What is added to the scores, (B or 1, H or 1, T or 1, S).
        probability: Of an attention weight to be dropped.

    Example:
        >>> heads = torch.randn(3, 2, 4, 5, 8)
        >>> attend(*heads, torch.zeros(1, 1, 1, 5)).shape
        torch.Size([2, 4, 5, 8])
    """
    if not probability or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=probability)
    shape = (*query.shape[:3], key.shape[2])
    scores = torch.baddbmm(
        bias.expand(shape).flatten(0, 1),
        query.flatten(0, 1),
        key.flatten(0, 1).transpose(1, 2),
        alpha=1 / math.sqrt(query.shape[3]),
    )
    weights = dropout(scores.softmax(-1), probability)
    return (weights @ value.flatten(0, 1)).view(*query.shape[:3], -1)


def shift_relative(scores: Tensor) -> Tensor:
    """Return scores (B, H, T, T) by frame of scores (B, H, T, 2T - 1) by distance T-1 ... -(T-1); a view.

    Row i starts T - 1 - i columns in, which is a window of one column less in the flattened rows.

    Example:
        >>> shift_relative(torch.tensor([[[[1, 0, -1], [1, 0, -1]]]]))  # distances i - j
        tensor([[[[ 0, -1],
                  [ 1,  0]]]])
    """
    frames = scores.shape[2]
    width = max(2 * frames - 2, 1)
    flat = scores.flatten(2)[..., frames - 1 : frames - 1 + frames * width]
    return flat.unflatten(2, (frames, width))[..., :frames]


def sinusoids(positions: Tensor, d_model: int) -> Tensor:
    """Return the encodings (1, N, D) of ``positions`` (N,): sines and cosines of falling frequency in turn.

    Example:
        >>> sinusoids(torch.tensor([0.0]), 4)
        tensor([[[0., 1., 0., 1.]]])
    """
    rates = torch.exp(torch.arange(0, d_model, 2, device=positions.device) * -(math.log(10000.0) / d_model))
    angles = positions.float().unsqueeze(1) * rates
    return torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)[:, :d_model].unsqueeze(0)


def relative_positions(frames: int, d_model: int, device: torch.device | None = None) -> Tensor:
    """Return the encodings (1, 2T - 1, D) of the distances T-1 ... -(T-1).

    Example:
        >>> relative_positions(3, 4).shape
        torch.Size([1, 5, 4])
    """
    return sinusoids(torch.arange(frames - 1, -frames, -1, device=device), d_model)


def attention_mask(
    length: Tensor, frames: int, context: Sequence[int] = (-1, -1), *, chunked: bool = False
) -> tuple[Tensor, Tensor]:
    """Return what to add to the scores of attention, and which frames are not padding.

    Args:
        length: Frames of each utterance (B,).
        frames: Frames of the batch, T.
        context: How many frames to the left and to the right each frame attends to; -1 for all.
        chunked: Whether frames come in chunks of ``context[1] + 1``, each of which attends to all of itself and to the
            ``context[0]`` frames of the chunks before.

    Returns:
        The mask (B, 1, T or 1, T): zero where a frame may attend to another, else very negative; and (B, T).

    Example:
        >>> mask, inside = attention_mask(torch.tensor([3]), 4, (1, 0))
        >>> (mask[0, 0] == 0).int()
        tensor([[1, 0, 0, 0],
                [1, 1, 0, 0],
                [0, 1, 1, 0],
                [0, 0, 1, 0]], dtype=torch.int32)
    """
    place = torch.arange(frames, device=length.device)
    inside = place < length.unsqueeze(1)
    allowed = inside[:, None, None, :]
    left, right = context
    if chunked and right >= 0:
        chunk = torch.div(place, right + 1, rounding_mode="floor")
        back = chunk.unsqueeze(1) - chunk
        allowed = allowed & (back >= 0)
        if left >= 0:
            allowed = allowed & (back <= left // (right + 1))
    else:
        back = place.unsqueeze(1) - place
        if left >= 0:
            allowed = allowed & (back <= left)
        if right >= 0 and not chunked:
            allowed = allowed & (back >= -right)
    # Not infinite: where a frame of padding may attend to nothing at all, that would give no number.
    return torch.zeros_like(allowed, dtype=torch.float).masked_fill(~allowed, -1e4), inside
