"""The Conformer encoder, and FastConformer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nemo_asr.modules.conformer_layer import ConformerConvolution, ConformerLayer
from nemo_asr.modules.encoder import AcousticEncoder
from nemo_asr.modules.local_attention import LocalAttention
from nemo_asr.modules.relative_attention import (
    MultiHeadAttention,
    RelativeAttention,
    attention_mask,
    relative_positions,
    sinusoids,
)
from nemo_asr.modules.subsampling import Reduction, make_subsampling
from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules.dropout import Dropout

__all__ = ["ConformerEncoder"]

_ATTENTION = ("rel_pos", "rel_pos_local_attn", "abs_pos")


class ConformerEncoder(AcousticEncoder):
    """Subsampling and a stack of :class:`~nemo_asr.modules.conformer_layer.ConformerLayer`.

    Conformer (Gulati et al., 2020, arXiv:2005.08100); with ``dw_striding``, a factor of 8 and a kernel of 9 it is
    FastConformer (Rekesh et al., 2023, arXiv:2305.05084). Names of arguments and weights are those of NVIDIA NeMo.

    Args:
        feat_in: Features per frame that come in.
        n_layers: Number of layers.
        d_model: Features per frame in the layers.
        feat_out: Features per frame that go out; -1 for ``d_model``.
        subsampling: ``striding``, ``dw_striding``, ``vggnet``, ``stacking`` or ``stacking_norm``; see
            :mod:`nemo_asr.modules.subsampling`.
        subsampling_factor: How many frames come in for each that reaches the layers.
        subsampling_conv_channels: Channels of the subsampling's convolutions; -1 for ``d_model``.
        causal_downsampling: Whether the subsampling looks at no later frames.
        reduction: ``pooling`` or ``striding``: fewer frames yet, between two layers.
        reduction_position: After which layer, from 0; -1 for after the last.
        reduction_factor: How many frames come in for each that leaves the reduction.
        ff_expansion_factor: Features inside the feed-forward modules, as a multiple of ``d_model``.
        self_attention_model: ``rel_pos``: attention depends on distances (Transformer-XL); ``rel_pos_local_attn``: the
            same with the first ``att_context_size``, in time and memory linear in the length; it takes the weights of
            the former. ``abs_pos``: positions are added to the frames.
        n_heads: Heads of the attention.
        att_context_size: How many encoder frames to the left and right a frame attends to, -1 for all; or several such
            pairs, one of which is drawn for each training batch, and of which the first one holds otherwise.
        att_context_probs: How probable each of several pairs is.
        att_context_style: ``regular``, or ``chunked_limited``: frames come in chunks of the right context and one, and
            attend to all of their chunk, so that the right context does not grow from layer to layer.
        xscaling: Whether frames are multiplied by the square root of ``d_model`` before the layers.
        untie_biases: Whether each layer has biases of its own in the relative attention.
        conv_kernel_size: Frames that the convolution of a layer sees.
        conv_norm_type: ``batch_norm``, ``layer_norm``, ``instance_norm``, or ``group_norm`` with the number of groups
            after it. (Group and instance norms are over the frames of an utterance without its padding.)
        conv_context_size: How many frames the convolution sees to the left and right; ``causal`` for none to the right;
            None for as many on both sides.
        use_bias: Whether linear layers and convolutions of the layers have biases.
        dropout: Probability of a dropped activation in the layers.
        dropout_pre_encoder: The same before the layers.
        dropout_emb: The same for encodings of positions.
        dropout_att: The same for attention weights.
        stochastic_depth_drop_prob: Probability that training leaves out a layer (Huang et al., 2016, arXiv:1603.09382).
        stochastic_depth_mode: ``linear``: it rises to that from layer to layer; ``uniform``: it is the same for all.
        stochastic_depth_start_layer: How many layers are never left out.
        global_tokens: With local attention, how many frames attend to all and are attended to by all.
        global_tokens_spacing: How far apart these are, encoder frames.
        global_attn_separate: Whether these have queries, keys and values of their own.

    Example:
        >>> encoder = ConformerEncoder(80, n_layers=2, d_model=32, subsampling="dw_striding", subsampling_factor=8)
        >>> encoded, length = encoder(features=torch.randn(2, 80, 100), length=torch.tensor([100, 60]))
        >>> encoded.shape, length.tolist()
        (torch.Size([2, 32, 13]), [13, 8])
    """

    def __init__(
        self,
        feat_in: int = 64,
        n_layers: int = 16,
        d_model: int = 512,
        feat_out: int = -1,
        causal_downsampling: bool = False,
        subsampling: Literal["striding", "dw_striding", "vggnet", "stacking", "stacking_norm"] = "striding",
        subsampling_factor: int = 4,
        subsampling_conv_channels: int = -1,
        reduction: Literal["pooling", "striding"] | None = None,
        reduction_position: int | None = None,
        reduction_factor: int = 1,
        ff_expansion_factor: int = 4,
        self_attention_model: Literal["rel_pos", "rel_pos_local_attn", "abs_pos"] = "rel_pos",
        n_heads: int = 4,
        att_context_size: Sequence[int] | Sequence[Sequence[int]] | None = None,
        att_context_probs: Sequence[float] | None = None,
        att_context_style: Literal["regular", "chunked_limited"] = "regular",
        xscaling: bool = True,
        untie_biases: bool = True,
        conv_kernel_size: int = 31,
        conv_norm_type: str = "batch_norm",
        conv_context_size: Sequence[int] | Literal["causal"] | None = None,
        use_bias: bool = True,
        dropout: float = 0.1,
        dropout_pre_encoder: float = 0.1,
        dropout_emb: float = 0.1,
        dropout_att: float = 0.0,
        stochastic_depth_drop_prob: float = 0.0,
        stochastic_depth_mode: Literal["linear", "uniform"] = "linear",
        stochastic_depth_start_layer: int = 1,
        global_tokens: int = 0,
        global_tokens_spacing: int = 1,
        global_attn_separate: bool = False,
    ) -> None:
        super().__init__()
        if self_attention_model not in _ATTENTION:
            raise ConfigError(
                f"encoder: self_attention_model {self_attention_model!r} is not offered",
                hint=f"one of {', '.join(_ATTENTION)}",
            )
        if att_context_style not in ("regular", "chunked_limited"):
            raise ConfigError(
                f"encoder: att_context_style {att_context_style!r} is not offered", hint="regular or chunked_limited"
            )
        self.feat_in = feat_in
        self.d_model = d_model
        self.feat_out = feat_out if feat_out > 0 else d_model
        self.stride = subsampling_factor
        self.attention = self_attention_model
        self.chunked = att_context_style == "chunked_limited"
        self.att_contexts, self.att_context_probs = _contexts(att_context_size, att_context_probs, self.chunked)
        self.scale = math.sqrt(d_model) if xscaling else 1.0
        self.drop_probs = _drop_probs(
            n_layers, stochastic_depth_drop_prob, stochastic_depth_mode, stochastic_depth_start_layer
        )

        self.pre_encode = make_subsampling(
            subsampling,
            feat_in=feat_in,
            feat_out=d_model,
            factor=subsampling_factor,
            channels=subsampling_conv_channels if subsampling_conv_channels > 0 else d_model,
            causal=causal_downsampling,
        )
        self.dropout = Dropout(dropout_pre_encoder)
        self.dropout_emb = Dropout(dropout_emb)

        tied = None if untie_biases else RelativeAttention.new_biases(d_model, n_heads)

        def attention() -> MultiHeadAttention:
            if self.attention == "abs_pos":
                return MultiHeadAttention(d_model, n_heads, dropout_att, use_bias)
            if self.attention == "rel_pos":
                return RelativeAttention(d_model, n_heads, dropout_att, use_bias, tied)
            return LocalAttention(
                d_model,
                n_heads,
                dropout_att,
                use_bias,
                context=self.att_contexts[0],
                global_tokens=global_tokens,
                global_tokens_spacing=global_tokens_spacing,
                global_attn_separate=global_attn_separate,
            )

        context = _convolution_context(conv_context_size, conv_kernel_size)
        self.layers = nn.ModuleList(
            ConformerLayer(
                d_model,
                d_model * ff_expansion_factor,
                attention(),
                ConformerConvolution(d_model, conv_kernel_size, context, conv_norm_type, use_bias),
                dropout,
                use_bias,
            )
            for _ in range(n_layers)
        )
        self.out_proj = nn.Linear(d_model, self.feat_out) if self.feat_out != d_model else None

        self.reduction_subsampling: Reduction | None = None
        self.reduction_position = -1 if reduction_position is None else reduction_position
        if reduction is not None:
            if not -1 <= self.reduction_position < n_layers:
                raise ConfigError(f"encoder: reduction_position {reduction_position} is not one of {n_layers} layers")
            width = self.feat_out if self.reduction_position == -1 else d_model
            self.reduction_subsampling = Reduction(width, kind=reduction, factor=reduction_factor)
            self.stride *= reduction_factor

    @nt.typed
    def forward(self, features: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoded frames (B, D, T') and their lengths (B,)."""
        x = features.transpose(1, 2)
        if isinstance(self.pre_encode, nn.Linear):
            x = self.pre_encode(x)
        else:
            x, length = self.pre_encode(x, length)
        context = self._context()
        x = x * self.scale
        if self.attention == "abs_pos":
            x = x + self._positions(x)
        x = self.dropout(x)
        positions = self._positions(x)
        mask, inside = self._mask(length, x.shape[1], context)

        for index, layer in enumerate(self.layers):
            y = layer(x, mask, inside, positions)
            x = y if self.drop_probs[index] == 0 or not self.training else _maybe_drop(x, y, self.drop_probs[index])
            if self.reduction_subsampling is not None and index == self.reduction_position:
                x, length = self.reduction_subsampling(x, length)
                positions = self._positions(x)
                mask, inside = self._mask(length, x.shape[1], context)
        if self.out_proj is not None:
            x = self.out_proj(x)
        if self.reduction_subsampling is not None and self.reduction_position == -1:
            x, length = self.reduction_subsampling(x, length)
        return x.transpose(1, 2), length

    def _context(self) -> tuple[int, int]:
        if not self.training or len(self.att_contexts) == 1:
            return self.att_contexts[0]
        return self.att_contexts[int(torch.multinomial(torch.tensor(self.att_context_probs), 1))]

    def _mask(self, length: Tensor, frames: int, context: tuple[int, int]) -> tuple[Tensor, Tensor]:
        if self.attention == "rel_pos_local_attn":
            context = (-1, -1)  # the layers see to it, and a mask of all pairs is what they are there to avoid
        return attention_mask(length, frames, context, chunked=self.chunked)

    def _positions(self, x: Tensor) -> Tensor:
        frames, device = x.shape[1], x.device
        if self.attention == "rel_pos":
            return self.dropout_emb(relative_positions(frames, self.d_model, device))
        if self.attention == "rel_pos_local_attn":
            left, right = self.att_contexts[0]
            return self.dropout_emb(sinusoids(torch.arange(left, -right - 1, -1, device=device), self.d_model))
        return self.dropout_emb(sinusoids(torch.arange(frames, device=device), self.d_model))


def _maybe_drop(before: Tensor, after: Tensor, probability: float) -> Tensor:
    if torch.rand(()) < probability:
        return before + 0.0 * after  # every weight gets a gradient, as distributed training wants
    return before + (after - before) / (1 - probability)


def _drop_probs(n_layers: int, probability: float, mode: str, start: int) -> list[float]:
    """Return how probable it is that training leaves out each layer."""
    if mode not in ("linear", "uniform"):
        raise ConfigError(f"encoder: stochastic_depth_mode {mode!r} is not known", hint="linear or uniform")
    if not 0 <= probability < 1 or start < 1:
        raise ConfigError("encoder: stochastic_depth_drop_prob must be in [0, 1), stochastic_depth_start_layer over 0")
    rest = max(n_layers - start, 0)
    rising = [probability * (index + 1) / rest if mode == "linear" else probability for index in range(rest)]
    return [0.0] * (n_layers - rest) + rising


def _contexts(
    given: Sequence[int] | Sequence[Sequence[int]] | None, probabilities: Sequence[float] | None, chunked: bool
) -> tuple[list[tuple[int, int]], list[float]]:
    """Return the pairs of left and right context, and how probable each is."""
    pairs = [given] if given and isinstance(given[0], int) else list(given or [(-1, -1)])
    contexts: list[tuple[int, int]] = []
    for pair in pairs:
        if not isinstance(pair, Sequence) or len(pair) != 2 or any(not isinstance(n, int) or n < -1 for n in pair):
            raise ConfigError(
                f"encoder: att_context_size {pair!r} is not a pair of numbers of frames", hint="such as [70, 13]"
            )
        left, right = pair
        if chunked and right >= 0 and left > 0 and left % (right + 1):
            raise ConfigError(
                f"encoder: att_context_size {[left, right]}: the left context is no multiple of a chunk of {right + 1}"
            )
        contexts.append((left, right))
    weights = list(probabilities) if probabilities else [1 / len(contexts)] * len(contexts)
    if len(weights) != len(contexts) or min(weights) < 0 or not math.isclose(sum(weights), 1, abs_tol=1e-6):
        raise ConfigError(
            f"encoder: att_context_probs must be {len(contexts)} probabilities, which add up to 1, not {weights}"
        )
    return contexts, weights


def _convolution_context(given: Sequence[int] | str | None, kernel_size: int) -> tuple[int, int]:
    if given is None and kernel_size % 2:
        return (kernel_size // 2, kernel_size // 2)
    if given == "causal":
        return (kernel_size - 1, 0)
    if given is None or isinstance(given, str) or len(given) != 2 or sum(given) != kernel_size - 1 or min(given) < 0:
        raise ConfigError(
            f"encoder: conv_context_size {given!r} does not fit a kernel of {kernel_size}",
            hint="causal, null (odd kernels), or a pair that adds up to the kernel less one",
        )
    return (given[0], given[1])
