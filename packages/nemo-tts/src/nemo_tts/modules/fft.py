"""Feed-forward transformers: the encoder and the decoder of FastPitch."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule
from nemo_core.modules.dropout import Dropout, dropout
from nemo_tts.modules.conditioning import ConditionalInput, ConditionalLayerNorm
from nemo_tts.modules.masks import length_mask
from nemo_tts.modules.time_conv import TimeConv

__all__ = ["FFTransformerDecoder", "FFTransformerEncoder"]


class FFTransformerDecoder(NeuralModule):
    """Feed-forward transformer layers over encoded steps (FastSpeech, Ren et al., NeurIPS 2019).

    Each layer is self-attention and two convolutions over time, each with a residual connection and a layer norm.
    Padding changes nothing: what comes out for an utterance is what comes out when it is alone.

    Args:
        n_layer: Layers.
        n_head: Heads of attention.
        d_model: Channels, D.
        d_head: Channels of a head.
        d_inner: Channels between the two convolutions.
        kernel_size: Of the convolutions; odd.
        dropout: Of what is added to the residual.
        dropatt: Of the weights of attention.
        dropemb: Of the input.
        pre_lnorm: Normalise before attention and convolutions instead of after the sum.
        condition_types: How a condition comes in: ``add``, ``concat`` and ``layernorm``; see
            :mod:`nemo_tts.modules.conditioning`.

    Example:
        >>> decoder = FFTransformerDecoder(n_layer=1, n_head=1, d_model=8, d_head=4, d_inner=16, kernel_size=3)
        >>> decoder(encoded=torch.randn(2, 5, 8), length=torch.tensor([5, 3])).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        n_layer: int = 6,
        n_head: int = 1,
        d_model: int = 384,
        d_head: int = 64,
        d_inner: int = 1536,
        kernel_size: int = 3,
        dropout: float = 0.1,
        dropatt: float = 0.1,
        dropemb: float = 0.0,
        pre_lnorm: bool = False,
        condition_types: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ConfigError(f"kernel_size {kernel_size} is even", hint="give an odd one, such as 3")
        self.d_model = d_model
        self.cond_input = ConditionalInput(d_model, d_model, condition_types)
        self.pos_emb = _Positions(d_model)
        self.drop = Dropout(dropemb)
        self.layers = nn.ModuleList(
            _Layer(n_head, d_model, d_head, d_inner, kernel_size, dropout, dropatt, pre_lnorm, condition_types)
            for _ in range(n_layer)
        )

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``encoded`` (B, T, D), ``length`` (B,), and a ``condition`` (B, 1, D) where one is used."""
        return {
            "encoded": nt.NeuralType(("B", "T", f"D:{self.d_model}"), nt.EncodedRepresentation()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
            "condition": nt.NeuralType(("B", "T", "D"), nt.EncodedRepresentation(), optional=True),
        }

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``encoded`` (B, T, D), zero beyond the ends."""
        return {"encoded": nt.NeuralType(("B", "T", f"D:{self.d_model}"), nt.EncodedRepresentation())}

    @nt.typed
    def forward(self, encoded: Tensor, length: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return (B, T, D)."""
        return self.run(encoded, length, condition)

    def run(self, x: Tensor, length: Tensor, condition: Tensor | None) -> Tensor:
        """Return (B, T, D) of ``x`` (B, T, D)."""
        inside = length_mask(length, x.shape[1])
        keep = None if bool(inside.all()) else inside
        x = self.cond_input(x + self.pos_emb(x), condition)
        x = _kept(self.drop(x), keep)
        for layer in self.layers:
            x = layer(x, keep, condition)
        return x


class FFTransformerEncoder(FFTransformerDecoder):
    """The same layers over embeddings of tokens.

    Args:
        n_embed: Number of tokens.
        padding_idx: Token that fills the ends of shorter texts; its embedding is not trained.
        d_embed: Channels of the embeddings; ``d_model`` if not given.
        n_layer: See :class:`FFTransformerDecoder` for this and all others.

    Example:
        >>> encoder = FFTransformerEncoder(n_embed=20, n_layer=1, d_model=8, d_head=4, d_inner=16)
        >>> encoder(tokens=torch.tensor([[3, 1, 4, 1, 5]]), length=torch.tensor([5])).shape
        torch.Size([1, 5, 8])
    """

    def __init__(
        self,
        n_embed: int,
        padding_idx: int = 0,
        d_embed: int | None = None,
        n_layer: int = 6,
        n_head: int = 1,
        d_model: int = 384,
        d_head: int = 64,
        d_inner: int = 1536,
        kernel_size: int = 3,
        dropout: float = 0.1,
        dropatt: float = 0.1,
        dropemb: float = 0.0,
        pre_lnorm: bool = False,
        condition_types: Sequence[str] = (),
    ) -> None:
        if d_embed not in (None, d_model):
            raise ConfigError(f"d_embed {d_embed} is not d_model {d_model}", hint="leave d_embed out")
        super().__init__(
            n_layer,
            n_head,
            d_model,
            d_head,
            d_inner,
            kernel_size,
            dropout,
            dropatt,
            dropemb,
            pre_lnorm,
            condition_types,
        )
        self.word_emb = nn.Embedding(n_embed, d_model, padding_idx=padding_idx)

    @property
    def padding(self) -> int:
        """The token that fills the ends of shorter texts."""
        return self.word_emb.padding_idx or 0

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``tokens`` (B, T), ``length`` (B,), and a ``condition`` (B, 1, D) where one is used."""
        return {"tokens": nt.NeuralType(("B", "T"), nt.TokenIndex()), **dict(list(super().input_types.items())[1:])}

    @nt.typed
    def forward(self, tokens: Tensor, length: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return (B, T, D)."""
        return self.run(self.word_emb(tokens), length, condition)


class _Positions(nn.Module):
    """Sinusoids (Vaswani et al., NeurIPS 2017), the sines first and the cosines after them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        frequencies = 1 / 10000 ** (torch.arange(0.0, channels, 2.0) / channels)
        self.register_buffer("inv_freq", frequencies, persistent=False)
        self.inv_freq: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return what to add to ``x`` (B, T, D): (T, D)."""
        angles = torch.outer(torch.arange(x.shape[1], device=x.device, dtype=torch.float32), self.inv_freq)
        return torch.cat((angles.sin(), angles.cos()), dim=1).to(x.dtype)


class _Layer(nn.Module):
    def __init__(
        self,
        n_head: int,
        d_model: int,
        d_head: int,
        d_inner: int,
        kernel_size: int,
        dropout: float,
        dropatt: float,
        pre_lnorm: bool,
        condition_types: Sequence[str],
    ) -> None:
        super().__init__()
        self.dec_attn = _SelfAttention(n_head, d_model, d_head, dropout, dropatt, pre_lnorm, condition_types)
        self.pos_ff = _ConvFeedForward(d_model, d_inner, kernel_size, dropout, pre_lnorm, condition_types)

    def forward(self, x: Tensor, keep: Tensor | None, condition: Tensor | None) -> Tensor:
        x = _kept(self.dec_attn(x, keep, condition), keep)
        return _kept(self.pos_ff(x, keep, condition), keep)


class _SelfAttention(nn.Module):
    def __init__(
        self,
        n_head: int,
        d_model: int,
        d_head: int,
        dropout: float,
        dropatt: float,
        pre_lnorm: bool,
        condition_types: Sequence[str],
    ) -> None:
        super().__init__()
        self.n_head, self.dropatt, self.pre_lnorm = n_head, dropatt, pre_lnorm
        self.qkv_net = nn.Linear(d_model, 3 * n_head * d_head)
        self.o_net = nn.Linear(n_head * d_head, d_model, bias=False)
        self.drop = Dropout(dropout)
        self.layer_norm = ConditionalLayerNorm(d_model, d_model, condition_types)

    def forward(self, x: Tensor, keep: Tensor | None, condition: Tensor | None) -> Tensor:
        source = self.layer_norm(x, condition) if self.pre_lnorm else x
        batch, steps, _ = x.shape
        q, k, v = self.qkv_net(source).view(batch, steps, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)
        attended = _attend(q, k, v, keep, self.dropatt if self.training else 0.0)
        out = self.drop(self.o_net(attended.transpose(1, 2).reshape(batch, steps, -1)))
        return x + out if self.pre_lnorm else self.layer_norm(x + out, condition)


def _attend(q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None, dropped: float) -> Tensor:
    """Return what each step (B, H, T, D) attends to, among the steps to keep (B, T)."""
    mask = None if keep is None else keep[:, None, None, :]
    if not dropped or q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropped)
    # torch's kernel for a CPU knows no dropout; what it does in its place is slower than this.
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return dropout(scores.softmax(dim=3), dropped) @ v


class _ConvFeedForward(nn.Module):
    def __init__(
        self,
        d_model: int,
        d_inner: int,
        kernel_size: int,
        dropout: float,
        pre_lnorm: bool,
        condition_types: Sequence[str],
    ) -> None:
        super().__init__()
        self.pre_lnorm = pre_lnorm
        self.CoreNet = nn.Sequential(
            TimeConv(d_model, d_inner, kernel_size),
            nn.ReLU(),
            TimeConv(d_inner, d_model, kernel_size),
            Dropout(dropout),
        )
        self.layer_norm = ConditionalLayerNorm(d_model, d_model, condition_types)

    def forward(self, x: Tensor, keep: Tensor | None, condition: Tensor | None) -> Tensor:
        first, _, second, drop = self.CoreNet
        source = _kept(self.layer_norm(x, condition), keep) if self.pre_lnorm else x
        # Beyond the end the first convolution leaves its bias, which the second one must not see.
        inner = _kept(F.relu(first(source)), keep)
        out = drop(second(inner))
        return x + out if self.pre_lnorm else self.layer_norm(x + out, condition)


def _kept(x: Tensor, keep: Tensor | None) -> Tensor:
    return x if keep is None else x * keep.unsqueeze(2)
