"""The layer of the Squeezeformer, and how it halves the number of frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_asr.modules.conformer_layer import ConformerConvolution, FeedForward
from nemo_asr.modules.relative_attention import MultiHeadAttention

__all__ = ["ScaleBias", "SqueezeformerLayer", "TimeReduction"]


class ScaleBias(nn.Module):
    """A factor and an offset for each feature, in place of a norm.

    Args:
        d_model: Features per frame.
        adaptive: Whether the two are learned; otherwise they change nothing.

    Example:
        >>> ScaleBias(3)(torch.ones(1, 2, 3)).shape
        torch.Size([1, 2, 3])
    """

    def __init__(self, d_model: int, adaptive: bool = True) -> None:
        super().__init__()
        scale, bias = torch.ones(d_model), torch.zeros(d_model)
        if adaptive:
            self.scale, self.bias = nn.Parameter(scale), nn.Parameter(bias)
        else:  # kept all the same, as NVIDIA NeMo does
            self.register_buffer("scale", scale)
            self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled and shifted frames (B, T, D)."""
        return x * self.scale + self.bias


class SqueezeformerLayer(nn.Module):
    """Attention, feed-forward, convolution, feed-forward; each scaled before and normalised after its sum.

    Squeezeformer (Kim et al., 2022, arXiv:2206.00888, figure 2).

    Args:
        d_model: Features per frame.
        d_ff: Features inside the feed-forward modules.
        attention: Takes frames, mask, what is no padding, and encodings of positions.
        convolution: Takes frames and what is no padding.
        dropout: Probability of a dropped activation.
        adaptive_scale: Whether the inputs of the four modules are scaled and shifted.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        attention: MultiHeadAttention,
        convolution: ConformerConvolution,
        dropout: float = 0.0,
        adaptive_scale: bool = True,
    ) -> None:
        super().__init__()
        self.self_attn_scale = ScaleBias(d_model, adaptive_scale)
        self.self_attn = attention
        self.norm_self_att = nn.LayerNorm(d_model)
        self.feed_forward1_scale = ScaleBias(d_model, adaptive_scale)
        self.feed_forward1 = FeedForward(d_model, d_ff, dropout)
        self.norm_feed_forward1 = nn.LayerNorm(d_model)
        self.conv_scale = ScaleBias(d_model, adaptive_scale)
        self.conv = convolution
        self.norm_conv = nn.LayerNorm(d_model)
        self.feed_forward2_scale = ScaleBias(d_model, adaptive_scale)
        self.feed_forward2 = FeedForward(d_model, d_ff, dropout)
        self.norm_feed_forward2 = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, inside: Tensor, positions: Tensor) -> Tensor:
        """Return the layer's output (B, T, D) for frames ``x`` (B, T, D)."""
        attended = self.self_attn(self.self_attn_scale(x), mask, inside, positions)
        x = self.norm_self_att(x + self.dropout(attended))
        x = self.norm_feed_forward1(x + self.dropout(self.feed_forward1(self.feed_forward1_scale(x))))
        x = self.norm_conv(x + self.dropout(self.conv(self.conv_scale(x), inside)))
        return self.norm_feed_forward2(x + self.dropout(self.feed_forward2(self.feed_forward2_scale(x))))


class TimeReduction(nn.Module):
    """Half the frames: a depthwise convolution of stride 2, then a pointwise one.

    Frame i comes from the frames 2i - 3 to 2i + 1.

    Args:
        d_model: Features per frame.

    Example:
        >>> TimeReduction(8)(torch.randn(2, 9, 8), torch.ones(2, 9, dtype=torch.bool)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.dw_conv = nn.Conv1d(d_model, d_model, kernel_size=5, stride=2, groups=d_model)
        self.pw_conv = nn.Conv1d(d_model, d_model, kernel_size=1)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """Return the frames (B, (T + 1) // 2, D); ``inside`` (B, T) says which are not padding."""
        x = (x * inside.unsqueeze(2)).transpose(1, 2)
        return self.pw_conv(self.dw_conv(F.pad(x, (3, 2)))).transpose(1, 2)[:, : (inside.shape[1] + 1) // 2]
