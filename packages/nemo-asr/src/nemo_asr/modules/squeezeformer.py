"""The Squeezeformer encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nemo_asr.modules.conformer_layer import ConformerConvolution
from nemo_asr.modules.encoder import AcousticEncoder
from nemo_asr.modules.relative_attention import (
    MultiHeadAttention,
    RelativeAttention,
    attention_mask,
    relative_positions,
    sinusoids,
)
from nemo_asr.modules.squeezeformer_layer import SqueezeformerLayer, TimeReduction
from nemo_asr.modules.subsampling import make_subsampling
from nemo_core import types as nt
from nemo_core.errors import ConfigError

__all__ = ["SqueezeformerEncoder"]


class SqueezeformerEncoder(AcousticEncoder):
    """Subsampling and a stack of :class:`~nemo_asr.modules.squeezeformer_layer.SqueezeformerLayer`, some at half rate.

    Squeezeformer (Kim et al., 2022, arXiv:2206.00888): there are half as many frames from layer ``time_reduce_idx`` on,
    and as many as before from ``time_recovery_idx`` on, where what was there before is added. Names of arguments and
    weights are those of NVIDIA NeMo.

    Args:
        feat_in: Features per frame that come in.
        n_layers: Number of layers.
        d_model: Features per frame in the layers.
        feat_out: Features per frame that go out; -1 for ``d_model``.
        subsampling: ``dw_striding``, ``striding``, ``vggnet`` or ``stacking``; see :mod:`nemo_asr.modules.subsampling`.
        subsampling_factor: How many frames come in for each that reaches the layers.
        subsampling_conv_channels: Channels of the subsampling's convolutions; -1 for ``d_model``.
        ff_expansion_factor: Features inside the feed-forward modules, as a multiple of ``d_model``.
        self_attention_model: ``rel_pos``: attention depends on distances (Transformer-XL); ``abs_pos``: positions are
            added to the frames.
        n_heads: Heads of the attention.
        att_context_size: How many encoder frames to the left and right a frame attends to, -1 for all.
        xscaling: Whether frames are multiplied by the square root of ``d_model`` before the layers.
        untie_biases: Whether each layer has biases of its own in the relative attention.
        conv_kernel_size: Frames that the convolution of a layer sees; odd.
        conv_norm_type: ``batch_norm``, ``layer_norm``, ``instance_norm``, or ``group_norm`` with the number of groups
            after it.
        dropout: Probability of a dropped activation before and in the layers.
        dropout_emb: The same for encodings of positions.
        dropout_att: The same for attention weights.
        adaptive_scale: Whether the inputs of the modules of a layer are scaled and shifted by learned weights.
        time_reduce_idx: Before which layer, from 0, the number of frames is halved; None for never.
        time_recovery_idx: Before which layer it is doubled; by default the last.

    Example:
        >>> encoder = SqueezeformerEncoder(80, n_layers=4, d_model=32, time_reduce_idx=1)
        >>> encoded, length = encoder(features=torch.randn(2, 80, 100), length=torch.tensor([100, 60]))
        >>> encoded.shape, length.tolist()
        (torch.Size([2, 32, 25]), [25, 15])
    """

    def __init__(
        self,
        feat_in: int,
        n_layers: int,
        d_model: int,
        feat_out: int = -1,
        subsampling: Literal["dw_striding", "striding", "vggnet", "stacking"] = "dw_striding",
        subsampling_factor: int = 4,
        subsampling_conv_channels: int = -1,
        ff_expansion_factor: int = 4,
        self_attention_model: Literal["rel_pos", "abs_pos"] = "rel_pos",
        n_heads: int = 4,
        att_context_size: Sequence[int] | None = None,
        xscaling: bool = True,
        untie_biases: bool = True,
        conv_kernel_size: int = 31,
        conv_norm_type: str = "batch_norm",
        dropout: float = 0.1,
        dropout_emb: float = 0.1,
        dropout_att: float = 0.0,
        adaptive_scale: bool = True,
        time_reduce_idx: int | None = None,
        time_recovery_idx: int | None = None,
    ) -> None:
        super().__init__()
        if self_attention_model not in ("rel_pos", "abs_pos"):
            raise ConfigError(
                f"encoder: self_attention_model {self_attention_model!r} is not offered", hint="rel_pos or abs_pos"
            )
        if conv_kernel_size % 2 == 0:
            raise ConfigError(f"encoder: conv_kernel_size {conv_kernel_size} is not odd")
        context = list(att_context_size or (-1, -1))
        if len(context) != 2 or any(not isinstance(n, int) or n < -1 for n in context):
            raise ConfigError(f"encoder: att_context_size {context} is not a pair of numbers of frames, or -1")
        self.feat_in = feat_in
        self.d_model = d_model
        self.feat_out = feat_out if feat_out > 0 else d_model
        self.stride = subsampling_factor
        self.att_context = (context[0], context[1])
        self.relative = self_attention_model == "rel_pos"
        self.scale = math.sqrt(d_model) if xscaling else 1.0
        self.time_reduce_idx, self.time_recovery_idx = _time_reduction(time_reduce_idx, time_recovery_idx, n_layers)

        self.pre_encode = make_subsampling(
            subsampling,
            feat_in=feat_in,
            feat_out=d_model,
            factor=subsampling_factor,
            channels=subsampling_conv_channels if subsampling_conv_channels > 0 else d_model,
            causal=False,
        )
        self.dropout = nn.Dropout(dropout)
        self.dropout_emb = nn.Dropout(dropout_emb)
        self.pre_ln = nn.LayerNorm(d_model)

        tied = None if untie_biases else RelativeAttention.new_biases(d_model, n_heads)
        reach = (conv_kernel_size // 2, conv_kernel_size // 2)
        self.layers = nn.ModuleList(
            SqueezeformerLayer(
                d_model,
                d_model * ff_expansion_factor,
                RelativeAttention(d_model, n_heads, dropout_att, biases=tied)
                if self.relative
                else MultiHeadAttention(d_model, n_heads, dropout_att),
                ConformerConvolution(d_model, conv_kernel_size, reach, conv_norm_type, gated=False),
                dropout,
                adaptive_scale,
            )
            for _ in range(n_layers)
        )
        reduces = self.time_reduce_idx is not None
        self.time_reduce_layer = TimeReduction(d_model) if reduces else None
        self.time_recovery_layer = nn.Linear(d_model, d_model) if reduces else None
        self.out_proj = nn.Linear(d_model, self.feat_out) if self.feat_out != d_model else None

    @nt.typed
    def forward(self, features: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoded frames (B, D, T') and their lengths (B,)."""
        x = features.transpose(1, 2)
        if isinstance(self.pre_encode, nn.Linear):
            x = self.pre_encode(x)
        else:
            x, length = self.pre_encode(x, length)
        x = x * self.scale
        positions = self.dropout_emb(self._positions(x))
        if not self.relative:
            x = x + positions
        x = self.pre_ln(self.dropout(x))
        view = (*attention_mask(length, x.shape[1], self.att_context), positions)

        at_full_rate = x, view
        for index, layer in enumerate(self.layers):
            if self.time_reduce_layer is not None and index == self.time_reduce_idx:
                at_full_rate = x, view
                x = self.time_reduce_layer(x, view[1])
                left, right = self.att_context
                half = attention_mask((length + 1) // 2, x.shape[1], (left // 2, right // 2))
                view = (*half, self._positions(x))
            if self.time_recovery_layer is not None and index == self.time_recovery_idx:
                reduced = x
                x, view = at_full_rate
                x = x + self.time_recovery_layer(reduced.repeat_interleave(2, dim=1)[:, : x.shape[1]])
            x = layer(x, *view)
        if self.out_proj is not None:
            x = self.out_proj(x)
        return x.transpose(1, 2), length

    def _positions(self, x: Tensor) -> Tensor:
        frames, device = x.shape[1], x.device
        if self.relative:
            return relative_positions(frames, self.d_model, device)
        return sinusoids(torch.arange(frames, device=device), self.d_model)


def _time_reduction(reduce: int | None, recover: int | None, n_layers: int) -> tuple[int | None, int | None]:
    """Return before which layers the number of frames is halved and doubled."""
    if reduce is None:
        return None, None
    recover = n_layers - 1 if recover is None else recover
    if not 0 <= reduce <= recover < n_layers:
        raise ConfigError(
            f"encoder: time_reduce_idx {reduce} and time_recovery_idx {recover} do not fit {n_layers} layers",
            hint="0 <= time_reduce_idx <= time_recovery_idx < n_layers",
        )
    return reduce, recover
