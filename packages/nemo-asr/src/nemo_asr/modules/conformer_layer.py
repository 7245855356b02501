"""The layer of the Conformer: half a feed-forward, attention, a convolution, the other half."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_asr.modules.relative_attention import MultiHeadAttention
from nemo_core.errors import ConfigError
from nemo_core.modules.dropout import Dropout

__all__ = ["ConformerConvolution", "ConformerLayer", "FeedForward", "MaskedGroupNorm"]


class FeedForward(nn.Module):
    """Two linear layers with a Swish between them.

    Args:
        d_model: Features per frame.
        d_ff: Features between the two.
        dropout: Probability of a dropped activation.
        use_bias: Whether the layers have biases.
    """

    def __init__(self, d_model: int, d_ff: int, dropout: float = 0.0, use_bias: bool = True) -> None:
        super().__init__()
        self.linear1 = nn.Linear(d_model, d_ff, bias=use_bias)
        self.linear2 = nn.Linear(d_ff, d_model, bias=use_bias)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the transformed frames (B, T, D)."""
        return self.linear2(self.dropout(F.silu(self.linear1(x))))


class MaskedGroupNorm(nn.GroupNorm):
    """Group norm over the frames of an utterance, without those of its padding.

    Example:
        >>> norm = MaskedGroupNorm(1, 2)
        >>> y = norm(torch.tensor([[[1.0, 3.0, 99.0], [1.0, 3.0, 99.0]]]), torch.tensor([[True, True, False]]))
        >>> y[0, 0, :2].detach().round(decimals=2)
        tensor([-1.,  1.])
    """

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:  # type: ignore[override]
        """Return the normalised (B, D, T); ``inside`` (B, T) says which frames are not padding."""
        weights = inside[:, None, None, :]
        grouped = x.unflatten(1, (self.num_groups, -1))
        count = weights.sum(dim=(2, 3), keepdim=True).clamp(min=1) * grouped.shape[2]
        mean = (grouped * weights).sum(dim=(2, 3), keepdim=True) / count
        centred = grouped - mean
        variance = (centred * weights).square().sum(dim=(2, 3), keepdim=True) / count
        x = (centred * torch.rsqrt(variance + self.eps)).flatten(1, 2)
        return x if self.weight is None else x * self.weight[:, None] + self.bias[:, None]


class ConformerConvolution(nn.Module):
    """Pointwise convolution with a gate, depthwise convolution, norm, Swish, pointwise convolution.

    Args:
        d_model: Features per frame.
        kernel_size: Frames that the depthwise convolution sees.
        context: How many of them are to the left and to the right of the present one.
        norm: ``batch_norm``, ``layer_norm``, ``instance_norm``, or ``group_norm`` with the number of groups after it.
        use_bias: Whether the convolutions have biases.
        gated: Whether there is a gate; without one there is a Swish, and the depthwise convolution is twice as wide, as
            in the Squeezeformer.
    """

    def __init__(
        self,
        d_model: int,
        kernel_size: int,
        context: tuple[int, int],
        norm: str = "batch_norm",
        use_bias: bool = True,
        gated: bool = True,
    ) -> None:
        super().__init__()
        self.context = context
        self.gated = gated
        width = d_model if gated else 2 * d_model
        self.pointwise_conv1 = nn.Conv1d(d_model, 2 * d_model, 1, bias=use_bias)
        self.depthwise_conv = nn.Conv1d(width, width, kernel_size, groups=width, bias=use_bias)
        self.batch_norm = _make_norm(norm, width)  # whatever the kind, this is its name in NVIDIA's checkpoints
        self.pointwise_conv2 = nn.Conv1d(width, d_model, 1, bias=use_bias)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """Return the convolved frames (B, T, D); ``inside`` (B, T) says which are not padding."""
        x = self.pointwise_conv1(x.transpose(1, 2))
        x = F.glu(x, dim=1) if self.gated else F.silu(x)
        x = x * inside.unsqueeze(1)
        x = self.depthwise_conv(F.pad(x, self.context))
        if isinstance(self.batch_norm, nn.LayerNorm):
            x = self.batch_norm(x.transpose(1, 2)).transpose(1, 2)
        elif isinstance(self.batch_norm, MaskedGroupNorm):
            x = self.batch_norm(x, inside)
        else:
            x = self.batch_norm(x)
        return self.pointwise_conv2(F.silu(x)).transpose(1, 2)


class ConformerLayer(nn.Module):
    """One layer of the Conformer (Gulati et al., 2020, arXiv:2005.08100).

    Args:
        d_model: Features per frame.
        d_ff: Features inside the feed-forward modules.
        attention: Takes frames, mask, what is no padding, and encodings of positions.
        convolution: Takes frames and what is no padding.
        dropout: Probability of a dropped activation.
        use_bias: Whether the linear layers have biases.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        attention: MultiHeadAttention,
        convolution: ConformerConvolution,
        dropout: float = 0.0,
        use_bias: bool = True,
    ) -> None:
        super().__init__()
        self.norm_feed_forward1 = nn.LayerNorm(d_model)
        self.feed_forward1 = FeedForward(d_model, d_ff, dropout, use_bias)
        self.norm_self_att = nn.LayerNorm(d_model)
        self.self_attn = attention
        self.norm_conv = nn.LayerNorm(d_model)
        self.conv = convolution
        self.norm_feed_forward2 = nn.LayerNorm(d_model)
        self.feed_forward2 = FeedForward(d_model, d_ff, dropout, use_bias)
        self.norm_out = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, inside: Tensor, positions: Tensor) -> Tensor:
        """Return the layer's output (B, T, D) for frames ``x`` (B, T, D)."""
        x = x.add(self.dropout(self.feed_forward1(self.norm_feed_forward1(x))), alpha=0.5)
        x = x + self.dropout(self.self_attn(self.norm_self_att(x), mask, inside, positions))
        x = x + self.dropout(self.conv(self.norm_conv(x), inside))
        x = x.add(self.dropout(self.feed_forward2(self.norm_feed_forward2(x))), alpha=0.5)
        return self.norm_out(x)


def _make_norm(kind: str, d_model: int) -> nn.Module:
    if kind == "batch_norm":
        return nn.BatchNorm1d(d_model)
    if kind == "layer_norm":
        return nn.LayerNorm(d_model)
    if kind == "instance_norm":
        return MaskedGroupNorm(d_model, d_model, affine=False)
    groups = kind.removeprefix("group_norm")
    if groups != kind and groups.isdigit() and int(groups) > 0 and d_model % int(groups) == 0:
        return MaskedGroupNorm(int(groups), d_model)
    raise ConfigError(
        f"encoder: conv_norm_type {kind!r} is not offered",
        hint="batch_norm, layer_norm, instance_norm, or group_normN where N divides d_model",
    )
