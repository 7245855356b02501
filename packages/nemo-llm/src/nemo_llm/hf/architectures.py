"""The architectures of ``transformers`` that are translated, each a list of what its ``config.json`` says.

Defaults are those of the library's configuration classes, since files leave out what has its default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_llm.hf import encoders
from nemo_llm.hf.experts import FirstDense, Groups, SharedExperts, SparseLayers
from nemo_llm.hf.keys import Activation, ConfigFile, Demand, Dropout, FeedForward, Fixed, Found, Key, Translator
from nemo_llm.hf.rope import RopeKeys
from nemo_llm.hf.windows import Windows

if TYPE_CHECKING:
    from nemo_llm.models.config import ModelConfig

__all__ = ["ARCHITECTURES", "Architecture"]


@dataclass(frozen=True)
class Architecture:
    """An architecture of ``transformers``.

    Attributes:
        name: Its class for language modelling.
        model_type: As the file says it.
        family: As our :class:`~nemo_llm.models.config.ModelConfig` says it.
        parts: What its file says; later parts may build on what earlier ones found.
        prefix: Of the names of its weights, which files of the bare model leave out.
        heads: Starts of the other names.
        kind: Class of our configuration.
        when: Whether it is that of a model of its family.
    """

    name: str
    model_type: str
    family: str
    parts: tuple[Translator, ...]
    prefix: str = "model."
    heads: tuple[str, ...] = ("lm_head.",)
    kind: str = "ModelConfig"
    when: Callable[[Any], bool] = lambda config: True


class _HeadSize(Translator):
    """Size of a head: ``hidden_size / num_attention_heads`` or a number where the file does not say."""

    def __init__(self, default: int | None = None) -> None:
        self.default = default

    def read(self, file: ConfigFile, found: Found) -> None:
        usual = found["hidden_size"] // max(1, found["num_heads"])
        size = file.take("head_dim", kind="int", default=self.default or usual)
        whole = found["hidden_size"] % max(1, found["num_heads"]) == 0
        found["head_dim"] = None if size == usual and whole else size

    def write(self, config: ModelConfig, out: Found) -> None:
        out["head_dim"] = config.head_size


class _Biases(Translator):
    """``attention_bias``: of queries, keys, values and output together."""

    def read(self, file: ConfigFile, found: Found) -> None:
        found["qkv_bias"] = found["attention_bias"] = file.take("attention_bias", kind="bool", default=False)

    def write(self, config: ModelConfig, out: Found) -> None:
        out["attention_bias"] = config.attention_bias


class _QueryScale(Translator):
    """``query_pre_attn_scalar``: scores are divided by its root."""

    def read(self, file: ConfigFile, found: Found) -> None:
        scalar = file.take("query_pre_attn_scalar", kind="float", default=256)
        size = found["head_dim"] or found["hidden_size"] // found["num_heads"]
        found["query_scale"] = None if scalar == size else scalar**-0.5

    def write(self, config: ModelConfig, out: Found) -> None:
        out["query_pre_attn_scalar"] = config.head_size if config.query_scale is None else round(config.query_scale**-2)


class _EmbeddingScale(Translator):
    """Embeddings are multiplied by the root of the model's size; no file says so."""

    def read(self, file: ConfigFile, found: Found) -> None:
        found["embedding_scale"] = found["hidden_size"] ** 0.5

    def write(self, config: ModelConfig, out: Found) -> None:
        pass


class _MixtralExperts(Translator):
    """Mixtral's experts have the size of a dense model's feed-forward part, and all its layers have them."""

    def read(self, file: ConfigFile, found: Found) -> None:
        found["experts.ffn_size"] = found["ffn_size"]
        found["experts.normalize"] = True

    def write(self, config: ModelConfig, out: Found) -> None:
        if config.experts is not None:
            out["intermediate_size"] = config.experts.ffn_size


class _LatentHeads(Translator):
    """Multi-head latent attention has no groups, and we have no layers that predict further tokens."""

    def read(self, file: ConfigFile, found: Found) -> None:
        heads = file.take("num_key_value_heads", kind="int", default=found["num_heads"])
        if heads != found["num_heads"]:
            raise file.error("num_key_value_heads", f"is {heads}; this architecture has as many as attention heads")

    def write(self, config: ModelConfig, out: Found) -> None:
        out["num_key_value_heads"] = config.num_heads
        out["num_nextn_predict_layers"] = 0


def _sizes(kv_heads: int | None = None, *, head_size: int | None = None, max_length: int, ffn: bool = True) -> tuple:
    return (
        Key("vocab_size", "vocab_size"),
        Key("hidden_size", "hidden_size"),
        Key("num_hidden_layers", "num_layers"),
        Key("num_attention_heads", "num_heads"),
        Key("num_key_value_heads", "num_kv_heads", default=kv_heads, value=lambda config: config.kv_heads),
        _HeadSize(head_size),
        Key("intermediate_size", "ffn_size"),
        Key("max_position_embeddings", "max_length", default=max_length),
        Key("initializer_range", "init_std", "float", 0.02),
    )


def _norm(kind: str = "rms", default: float = 1e-6) -> tuple[Translator, ...]:
    return Fixed({"norm": kind}), Key("rms_norm_eps", "norm_eps", "float", default)


def _tied(default: bool) -> Key:
    return Key("tie_word_embeddings", "tied_embeddings", "bool", default)


_PLAIN_ATTENTION = Dropout(("attention_dropout",))
_GATED = Fixed({"gated": True})
_GPT2 = (
    Key("vocab_size", "vocab_size", default=50257),
    Key(("n_embd", "hidden_size"), "hidden_size"),
    Key(("n_layer", "num_hidden_layers"), "num_layers"),
    Key(("n_head", "num_attention_heads"), "num_heads"),
    FeedForward("n_inner"),
    Key(("n_positions", "max_position_embeddings", "n_ctx"), "max_length", default=1024),
    Key("initializer_range", "init_std", "float", 0.02),
    Activation(("activation_function",), default="gelu_new", tanh="gelu_new"),
    Fixed({"norm": "layer", "gated": False, "positions": "learned"}),
    Fixed({"qkv_bias": True, "attention_bias": True, "mlp_bias": True}),
    Key("layer_norm_epsilon", "norm_eps", "float", 1e-5),
    _tied(True),
    Dropout(("resid_pdrop", "embd_pdrop", "attn_pdrop"), whole=True, default=0.1),
    Demand("scale_attn_weights", (True,)),
    Demand("scale_attn_by_inverse_layer_idx", (False,)),
    Demand("add_cross_attention", (False,)),
)
_LLAMA = (
    *_sizes(max_length=2048),
    Activation(),
    *_norm(),
    _GATED,
    _Biases(),
    Key("mlp_bias", "mlp_bias", "bool", False),
    _tied(False),
    _PLAIN_ATTENTION,
    RopeKeys(),
)
_MISTRAL = (
    *_sizes(8, max_length=131072),
    Activation(),
    *_norm(),
    _GATED,
    _tied(False),
    _PLAIN_ATTENTION,
    Windows(size=4096),
    RopeKeys(),
)
_ROUTER_LOSS = Key("router_aux_loss_coef", "experts.aux_loss", "float", 0.001)
_MIXTRAL = (
    *_sizes(8, max_length=131072),
    Activation(),
    *_norm(default=1e-5),
    _GATED,
    _tied(False),
    _PLAIN_ATTENTION,
    Windows(),
    RopeKeys(base=1e6),
    Key(("num_local_experts", "num_experts"), "experts.count", default=8),
    Key("num_experts_per_tok", "experts.per_token", default=2),
    _MixtralExperts(),
    _ROUTER_LOSS,
)
_QWEN2 = (
    *_sizes(max_length=32768),
    Activation(),
    *_norm(),
    _GATED,
    Fixed({"qkv_bias": True}),
    Demand("use_mrope", (False,), silent=True),
    _tied(False),
    _PLAIN_ATTENTION,
    Windows("later", 4096, switch=True),
    RopeKeys(),
)
_QWEN3 = (
    *_sizes(max_length=32768, head_size=128),
    Activation(),
    *_norm(),
    _GATED,
    _Biases(),
    Fixed({"qk_norm": True}),
    _tied(False),
    _PLAIN_ATTENTION,
    Windows("later", 4096, switch=True),
    RopeKeys(),
)


def _qwen_experts(count: int, per_token: int, size: int) -> tuple[Translator, ...]:
    return (
        Key(("num_experts", "num_local_experts"), "experts.count", default=count, both=True),
        Key("num_experts_per_tok", "experts.per_token", default=per_token),
        Key("moe_intermediate_size", "experts.ffn_size", default=size),
        Key("norm_topk_prob", "experts.normalize", "bool", False),
        SparseLayers(),
        _ROUTER_LOSS,
    )


_QWEN2_MOE = (
    *_sizes(16, max_length=32768),
    Activation(),
    *_norm(),
    _GATED,
    Key("qkv_bias", "qkv_bias", "bool", True),
    _tied(False),
    _PLAIN_ATTENTION,
    Windows("earlier", 4096, switch=True),
    RopeKeys(),
    *_qwen_experts(60, 4, 1408),
    Key("shared_expert_intermediate_size", "experts.shared_ffn_size", default=5632),
    Fixed({"experts.shared_gate": True}),
)
_QWEN3_MOE = (
    *_sizes(4, max_length=32768),
    Activation(),
    *_norm(),
    _GATED,
    _Biases(),
    Fixed({"qk_norm": True}),
    _tied(False),
    _PLAIN_ATTENTION,
    Windows(size=4096, switch=True),
    RopeKeys(),
    *_qwen_experts(128, 8, 768),
)
_GEMMA_COMMON = (
    *_norm("rms_plus_one"),
    _GATED,
    _Biases(),
    _tied(True),
    _PLAIN_ATTENTION,
    _EmbeddingScale(),
    Demand("use_bidirectional_attention", (False,)),
)
_GEMMA = (
    *_sizes(16, head_size=256, max_length=8192),
    Activation(("hidden_act", "hidden_activation"), "gelu_pytorch_tanh", legacy={"gelu": "gelu_tanh"}),
    *_GEMMA_COMMON,
    RopeKeys(),
)
_GEMMA2 = (
    *_sizes(4, head_size=256, max_length=8192),
    Activation(("hidden_activation",), "gelu_pytorch_tanh"),
    *_GEMMA_COMMON,
    Fixed({"sandwich_norm": True}),
    _QueryScale(),
    Key("attn_logit_softcapping", "attention_softcap", "float", 50.0, null=True),
    Key("final_logit_softcapping", "logit_softcap", "float", 30.0, null=True),
    Windows("every", 4096, every=2),
    RopeKeys(),
)
_GEMMA3 = (
    *_sizes(4, head_size=256, max_length=131072),
    Activation(("hidden_activation",), "gelu_pytorch_tanh"),
    *_GEMMA_COMMON,
    Fixed({"sandwich_norm": True, "qk_norm": True}),
    _QueryScale(),
    Demand("attn_logit_softcapping", (None,)),
    Key("final_logit_softcapping", "logit_softcap", "float", None),
    Windows("every", 4096, every=6),
    RopeKeys(base=1e6, local_base=1e4),
)
_PHI3 = (
    *_sizes(max_length=4096),
    Activation(),
    *_norm(default=1e-5),
    _GATED,
    _tied(False),
    Dropout(("resid_pdrop", "embd_pdrop", "attention_dropout")),
    *(Demand(key, (False,), silent=True) for key in ("attention_bias", "mlp_bias", "lm_head_bias")),
    Windows(),
    RopeKeys(partial=True, original_length=4096, names={"yarn": "longrope"}),
)


_LATENT = (
    _LatentHeads(),
    Key("q_lora_rank", "latent.q_rank", default=1536, null=True),
    Key("kv_lora_rank", "latent.kv_rank", default=512),
    Key("qk_nope_head_dim", "latent.nope_dim", default=128),
    Key("qk_rope_head_dim", "latent.rope_dim", default=64),
    Key("v_head_dim", "latent.value_dim", default=128),
)


def _deepseek_sizes(max_length: int) -> tuple[Translator, ...]:
    return (
        Key("vocab_size", "vocab_size"),
        Key("hidden_size", "hidden_size"),
        Key("num_hidden_layers", "num_layers"),
        Key("num_attention_heads", "num_heads"),
        Key("intermediate_size", "ffn_size"),
        Key("max_position_embeddings", "max_length", default=max_length),
        Key("initializer_range", "init_std", "float", 0.02),
        Activation(),
        *_norm(),
        _GATED,
        _tied(False),
        _PLAIN_ATTENTION,
        Demand("attention_bias", (False,)),
        Demand("moe_layer_freq", (1,), silent=True),
    )


_DEEPSEEK_V2 = (
    *_deepseek_sizes(2048),
    Demand("mlp_bias", (False,)),
    *_LATENT,
    RopeKeys(interleaved=True),
    Key("n_routed_experts", "experts.count", default=64),
    Key("num_experts_per_tok", "experts.per_token"),
    Key("moe_intermediate_size", "experts.ffn_size", default=1407),
    Key("routed_scaling_factor", "experts.scale", "float", 1.0),
    Demand("norm_topk_prob", (False,)),
    Demand("scoring_func", ("softmax",), silent=True),
    Fixed({"experts.normalize": False}),
    SharedExperts(2),
    FirstDense(0),
    Groups(method=True),
)
_DEEPSEEK_V3 = (
    *_deepseek_sizes(4096),
    *_LATENT,
    RopeKeys(interleaved=None),
    Key("n_routed_experts", "experts.count", default=256),
    Key("num_experts_per_tok", "experts.per_token", default=8),
    Key("moe_intermediate_size", "experts.ffn_size", default=2048),
    Key("routed_scaling_factor", "experts.scale", "float", 2.5),
    Key("norm_topk_prob", "experts.normalize", "bool", True),
    Demand("scoring_func", ("sigmoid",), silent=True),
    Demand("topk_method", ("noaux_tc",), silent=True),
    Fixed({"experts.score": "sigmoid", "experts.score_bias": True}),
    SharedExperts(1),
    FirstDense(3),
    Groups(),
)

_ALL = (
    Architecture("GPT2LMHeadModel", "gpt2", "gpt2", _GPT2, "transformer."),
    Architecture("LlamaForCausalLM", "llama", "llama", _LLAMA),
    Architecture("MistralForCausalLM", "mistral", "mistral", _MISTRAL),
    Architecture("MixtralForCausalLM", "mixtral", "mixtral", _MIXTRAL),
    Architecture("Qwen2ForCausalLM", "qwen2", "qwen2", _QWEN2),
    Architecture("Qwen3ForCausalLM", "qwen3", "qwen3", _QWEN3),
    Architecture("Qwen2MoeForCausalLM", "qwen2_moe", "qwen2_moe", _QWEN2_MOE),
    Architecture("Qwen3MoeForCausalLM", "qwen3_moe", "qwen3_moe", _QWEN3_MOE),
    Architecture("GemmaForCausalLM", "gemma", "gemma", _GEMMA),
    Architecture("Gemma2ForCausalLM", "gemma2", "gemma2", _GEMMA2),
    Architecture("Gemma3ForCausalLM", "gemma3_text", "gemma3", _GEMMA3),
    Architecture("Phi3ForCausalLM", "phi3", "phi3", _PHI3),
    Architecture("DeepseekV2ForCausalLM", "deepseek_v2", "deepseek_v2", _DEEPSEEK_V2),
    Architecture("DeepseekV3ForCausalLM", "deepseek_v3", "deepseek_v3", _DEEPSEEK_V3),
    *(
        Architecture(
            name,
            "bert",
            "bert",
            (*encoders.BERT, Fixed({"next_sentence": kept})),
            "bert.",
            ("cls.",),
            "BertConfig",
            lambda config, kept=kept: config.next_sentence == kept,  # type: ignore[misc]
        )
        for name, kept in (("BertForMaskedLM", False), ("BertForPreTraining", True))
    ),
    Architecture("T5ForConditionalGeneration", "t5", "t5", encoders.T5, "", (), "T5Config"),
)

#: By the name that ``architectures`` in a ``config.json`` has.
ARCHITECTURES: Mapping[str, Architecture] = {each.name: each for each in _ALL}
