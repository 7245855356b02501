"""What a decoder-only language model is made of, as data: every family is a choice of these values, none is a class.

The names are the field's; a family (:mod:`nemo_llm.models.families`) fills them in, ``nemo_llm.hf`` translates them to
and from a ``config.json``, and :mod:`nemo_llm.models.gpt` builds Megatron-core's model from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["Experts", "LatentAttention", "ModelConfig", "Rope"]


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding (Su et al., 2021, arXiv:2104.09864) and its stretchings to longer texts.

    Attributes:
        base: Base of the wavelengths.
        local_base: Base in layers with a sliding window, where that differs (Gemma 3).
        fraction: Part of each head's dimensions that is rotated.
        interleaved: Rotate neighbouring dimensions instead of the two halves.
        scaling: ``linear`` divides positions by ``factor``; ``ntk`` raises the base; ``yarn`` (arXiv:2309.00071) and
            ``llama3`` scale by wavelength; ``longrope`` (arXiv:2402.13753) has a factor per dimension.
        factor: How many times longer than ``original_length``.
        original_length: Sequence length before stretching.
        low_freq_factor, high_freq_factor: Bounds of ``llama3``.
        beta_fast, beta_slow, mscale, mscale_all_dim: Bounds and temperature of ``yarn``.
        attention_factor: Temperature given outright (``yarn``, ``longrope``).
        short_factors, long_factors: Of ``longrope``.
        scale_local: Whether layers with a window are stretched too.
        sections: Of a model whose positions have three parts, time, height and width (M-RoPE; Qwen2-VL,
            arXiv:2409.12191): how many pairs of dimensions turn with each.
    """

    base: float = 10000.0
    local_base: float | None = None
    fraction: float = 1.0
    interleaved: bool = False
    scaling: Literal["none", "linear", "ntk", "yarn", "llama3", "longrope"] = "none"
    factor: float = 1.0
    original_length: int | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float | None = None
    mscale_all_dim: float | None = None
    attention_factor: float | None = None
    truncate: bool = True
    short_factors: tuple[float, ...] | None = None
    long_factors: tuple[float, ...] | None = None
    scale_local: bool = False
    sections: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Experts:
    """A mixture of experts in place of the feed-forward part.

    Attributes:
        count: Number of routed experts.
        per_token: How many of them each token visits.
        ffn_size: Inner size of one expert.
        shared_ffn_size: Inner size of the shared expert that every token visits; None: there is none.
        shared_gate: Whether the shared expert is weighted by a learned gate (Qwen2-MoE).
        dense_layers: Which layers have an ordinary feed-forward part instead: their indices.
        score: How routing scores are normalised.
        normalize: Whether the weights of the chosen experts sum to one.
        scale: What the weights are multiplied by.
        groups, groups_per_token: Choose among the best groups of experts only (DeepSeek).
        score_bias: Whether a bias that is no part of the weights balances the load (DeepSeek V3).
        aux_loss: Coefficient of the load-balancing loss.
        z_loss: Coefficient of the loss on the size of the router's logits.
    """

    count: int = 8
    per_token: int = 2
    ffn_size: int = 256
    shared_ffn_size: int | None = None
    shared_gate: bool = False
    dense_layers: tuple[int, ...] = ()
    score: Literal["softmax", "sigmoid"] = "softmax"
    normalize: bool = True
    scale: float = 1.0
    groups: int | None = None
    groups_per_token: int | None = None
    score_bias: bool = False
    aux_loss: float = 0.0
    z_loss: float = 0.0


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434)."""

    q_rank: int | None = None
    kv_rank: int = 64
    nope_dim: int = 32
    rope_dim: int = 16
    value_dim: int = 32


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of a decoder-only language model.

    Attributes:
        family: Which of :mod:`nemo_llm.models.families` it belongs to; says how weights are named outside.
        vocab_size: Tokens that the tokenizer knows.
        hidden_size, num_layers, num_heads: Of the transformer.
        num_kv_heads: Heads of keys and values; ``num_heads`` if not given (GQA, arXiv:2305.13245).
        head_dim: Size of a head; ``hidden_size / num_heads`` if not given.
        ffn_size: Inner size of the feed-forward part.
        max_length: Longest sequence, in tokens.
        activation: Of the feed-forward part; ``gelu_tanh`` is the approximation of GELU.
        gated: Whether the activation gates a second projection (SwiGLU, GeGLU).
        norm: ``rms``; ``rms_plus_one`` has weights around 0 (Gemma); ``layer``.
        norm_eps: Added to the variance.
        sandwich_norm: Whether the outputs of attention and feed-forward part are normalised too (Gemma 2 and 3).
        qk_norm: Whether each head's queries and keys are normalised (Qwen3, Gemma 3).
        qkv_bias, attention_bias, mlp_bias: Biases of: queries, keys and values; attention's output; feed-forward part.
        positions: ``rope``, ``learned`` or ``none``.
        rope: Settings of ``rope``.
        window: Tokens that a layer with a sliding window sees, itself included; None: all.
        global_every: Every n-th layer sees everything, the others the window (Gemma 2: 2, Gemma 3: 6); None: all
            layers have the window, where there is one.
        window_layers: Which layers have the window, where that is no pattern: a boolean each.
        attention_softcap, logit_softcap: Bounds ``cap * tanh(x / cap)`` of attention scores and logits (Gemma 2).
        query_scale: What scores are multiplied by; ``1 / sqrt(head_dim)`` if not given.
        embedding_scale: What embeddings are multiplied by (Gemma: ``sqrt(hidden_size)``).
        tied_embeddings: Whether the output layer is the embedding.
        dropout: Of embeddings, attention and both parts of a layer, in training.
        experts: Mixture of experts; None: a dense model.
        latent: Multi-head latent attention; None: the usual.
        init_std: Standard deviation of new weights.

    Example:
        >>> config = ModelConfig(vocab_size=65, hidden_size=64, num_layers=2, num_heads=4, ffn_size=128)
        >>> config.kv_heads, config.head_size, config.num_parameters
        (4, 16, 90560)
        >>> ModelConfig.from_dict(config.to_dict()) == config
        True
    """

    family: str = "llama"
    vocab_size: int = 256
    hidden_size: int = 256
    num_layers: int = 4
    num_heads: int = 4
    num_kv_heads: int | None = None
    head_dim: int | None = None
    ffn_size: int = 1024
    max_length: int = 2048
    activation: Literal["silu", "gelu", "gelu_tanh", "relu"] = "silu"
    gated: bool = True
    norm: Literal["rms", "rms_plus_one", "layer"] = "rms"
    norm_eps: float = 1e-5
    sandwich_norm: bool = False
    qk_norm: bool = False
    qkv_bias: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    positions: Literal["rope", "learned", "none"] = "rope"
    rope: Rope = field(default_factory=Rope)
    window: int | None = None
    global_every: int | None = None
    window_layers: tuple[bool, ...] | None = None
    attention_softcap: float | None = None
    logit_softcap: float | None = None
    query_scale: float | None = None
    embedding_scale: float | None = None
    tied_embeddings: bool = False
    dropout: float = 0.0
    experts: Experts | None = None
    latent: LatentAttention | None = None
    init_std: float = 0.02

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_layers", "num_heads", "ffn_size", "max_length"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint="give a whole number from 1 on")
        if self.head_dim is None and self.hidden_size % self.num_heads:
            raise ConfigError(
                f"hidden_size {self.hidden_size} is no multiple of num_heads {self.num_heads}",
                hint="change one of them, or give head_dim",
            )
        if self.num_heads % self.kv_heads:
            raise ConfigError(f"num_heads {self.num_heads} is no multiple of num_kv_heads {self.kv_heads}")
        sections = self.rope.sections
        if sections is not None and (len(sections) != 3 or sum(sections) != self.rotary_dim // 2):
            raise ConfigError(
                f"rope.sections {list(sections)} are not three parts of {self.rotary_dim // 2} pairs of dimensions",
                hint="give time, height and width, such as [16, 24, 24] of 64 pairs",
            )

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_kv_heads or self.num_heads

    @property
    def head_size(self) -> int:
        """Dimensions of a head."""
        return self.head_dim or self.hidden_size // self.num_heads

    @property
    def rotary_dim(self) -> int:
        """Dimensions of a head that are rotated."""
        return self.latent.rope_dim if self.latent is not None else int(self.head_size * self.rope.fraction)

    def window_of(self, layer: int) -> int | None:
        """Return the sliding window of a layer (counted from 0), or None if it sees everything."""
        if self.window is None:
            return None
        if self.window_layers is not None:
            return self.window if self.window_layers[layer] else None
        if self.global_every is not None and (layer + 1) % self.global_every == 0:
            return None
        return self.window

    def padded_vocab(self, tensor: int = 1) -> int:
        """Return the rows of the embedding when it is divided among ``tensor`` processes."""
        return -(-self.vocab_size // tensor) * tensor

    @property
    def num_parameters(self) -> int:
        """Number of weights, all experts counted."""
        from nemo_llm.models.counting import count_parameters

        return count_parameters(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; what has its default is left out, but for the sizes."""
        return plain_values(self, keep=("family", "vocab_size", "hidden_size", "num_layers", "num_heads", "ffn_size"))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Build a configuration of plain values.

        Raises:
            ConfigError: A key is not known, or values do not fit each other.
        """
        parts = {"rope": Rope, "experts": Experts, "latent": LatentAttention}
        found = dict(values)
        for name, kind in parts.items():
            if isinstance(found.get(name), Mapping):
                found[name] = build_values(kind, found[name], f"{name}.")
        return build_values(cls, found, "")


def build_values(kind: Any, values: Mapping[str, Any], where: str) -> Any:
    """Return the dataclass ``kind`` of plain values, lists become tuples; ``where`` stands before names of keys."""
    known = {each.name for each in dataclasses.fields(kind)}
    for key in values:
        if key not in known:
            raise ConfigError(f"{where}{key} is not a part of a model", hint=did_you_mean(str(key), sorted(known)))
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def plain_values(value: Any, keep: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields of a dataclass as plain values; what has its default is left out, but for ``keep``."""
    found: dict[str, Any] = {}
    for each in dataclasses.fields(value):
        item = getattr(value, each.name)
        default = each.default_factory() if each.default_factory is not dataclasses.MISSING else each.default
        if item == default and each.name not in keep:
            continue
        if dataclasses.is_dataclass(item):
            item = plain_values(item)
        found[each.name] = list(item) if isinstance(item, tuple) else item
    return found
