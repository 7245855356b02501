"""The weights of each family, as rules: the engine's names, those of ``transformers``, how one is made of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean
from nemo_llm.hf import encoders
from nemo_llm.hf.rules import Rule, Weight, expand

if TYPE_CHECKING:
    from nemo_llm.models.config import ModelConfig

__all__ = ["FAMILIES", "IGNORED", "repeated", "weights"]

_LAYER = "decoder.layers.{layer}."
_THEIRS = "model.layers.{layer}."


def _linear(
    ours: str,
    theirs: str | tuple[str, ...],
    rows: str | tuple[str, ...],
    columns: str,
    split: Any,
    *,
    bias: Callable[[Any], bool] | None = None,
    **rest: Any,
) -> tuple[Rule, ...]:
    """Rules for the matrix and, where ``bias`` says so, for the vector that is added."""
    names = (theirs,) if isinstance(theirs, str) else theirs
    sizes = (rows,) if isinstance(rows, str) else rows
    weight = Rule(f"{ours}.weight", tuple(f"{name}.weight" for name in names), sizes, columns, split, **rest)
    if bias is None:
        return (weight,)
    when = rest.pop("when", None)
    has = bias if when is None else lambda config: when(config) and bias(config)
    whole = split if split == "rows" else None
    return weight, Rule(f"{ours}.bias", tuple(f"{name}.bias" for name in names), sizes, None, whole, when=has, **rest)


def _norm(ours: str, theirs: str, size: str = "hidden", **rest: Any) -> tuple[Rule, ...]:
    """Rules for a norm; those over whole layers of GPT-2's kind have a bias too."""
    return (
        Rule(f"{ours}.weight", (f"{theirs}.weight",), (size,), **rest),
        Rule(f"{ours}.bias", (f"{theirs}.bias",), (size,), **{**rest, "when": lambda config: config.norm == "layer"}),
    )


_QKV = ("queries", "keys", "keys")
_EMBEDDING = Rule(
    "embedding.word_embeddings.weight", ("model.embed_tokens.weight",), ("vocab",), "hidden", "rows", padded=True
)
_OUTPUT = (
    *_norm("decoder.final_layernorm", "model.norm"),
    Rule(
        "output_layer.weight",
        ("lm_head.weight",),
        ("vocab",),
        "hidden",
        "rows",
        padded=True,
        when=lambda config: not config.tied_embeddings,
    ),
)
_ATTENTION_OUT = _linear(
    f"{_LAYER}self_attention.linear_proj",
    f"{_THEIRS}self_attn.o_proj",
    "hidden",
    "values",
    "columns",
    bias=lambda config: config.attention_bias,
)
_QK_NORM = tuple(
    Rule(
        f"{_LAYER}self_attention.{each}_layernorm.weight",
        (f"{_THEIRS}self_attn.{each}_norm.weight",),
        ("head",),
        when=lambda config: config.qk_norm,
    )
    for each in ("q", "k")
)
_ATTENTION = (
    *_linear(
        f"{_LAYER}self_attention.linear_qkv",
        tuple(f"{_THEIRS}self_attn.{each}_proj" for each in ("q", "k", "v")),
        _QKV,
        "hidden",
        "rows",
        bias=lambda config: config.qkv_bias,
        join="heads",
    ),
    *_QK_NORM,
    *_ATTENTION_OUT,
)
_FUSED_ATTENTION = (
    *_linear(
        f"{_LAYER}self_attention.linear_qkv", f"{_THEIRS}self_attn.qkv_proj", _QKV, "hidden", "rows", join="heads"
    ),
    *_ATTENTION_OUT,
)


def _latent_rules() -> tuple[Rule, ...]:
    a, b = f"{_LAYER}self_attention.", f"{_THEIRS}self_attn."
    low = {"when": lambda config: config.latent.q_rank is not None}
    return (
        *_linear(f"{a}linear_q_proj", f"{b}q_proj", "latent_queries", "hidden", "rows",
                 when=lambda config: config.latent.q_rank is None),
        *_linear(f"{a}linear_q_down_proj", f"{b}q_a_proj", "q_rank", "hidden", "rows", **low),
        Rule(f"{a}q_layernorm.weight", (f"{b}q_a_layernorm.weight",), ("q_rank",), **low),  # type: ignore[arg-type]
        *_linear(f"{a}linear_q_up_proj", f"{b}q_b_proj", "latent_queries", "q_rank", "rows", **low),
        *_linear(f"{a}linear_kv_down_proj", f"{b}kv_a_proj_with_mqa", "kv_rank_rope", "hidden", "rows"),
        Rule(f"{a}kv_layernorm.weight", (f"{b}kv_a_layernorm.weight",), ("kv_rank",)),
        *_linear(f"{a}linear_kv_up_proj", f"{b}kv_b_proj", "latent_keys", "kv_rank", "rows"),
        *_ATTENTION_OUT,
    )  # fmt: skip


def _feed_forward(
    ours: str, theirs: str, names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj"), size: str = "ffn",
    bias: Callable[[Any], bool] | None = lambda config: config.mlp_bias, **rest: Any,
) -> tuple[Rule, ...]:  # fmt: skip
    gate, up, down = (f"{theirs}.{name}" for name in names)
    return (
        *_linear(f"{ours}.linear_fc1", (gate, up), (size, size), "hidden", "rows", bias=bias, **rest),
        *_linear(f"{ours}.linear_fc2", down, "hidden", size, "columns", bias=bias, **rest),
    )


_MLP = _feed_forward(f"{_LAYER}mlp", f"{_THEIRS}mlp", layers="dense")
_FUSED_MLP = (
    *_linear(f"{_LAYER}mlp.linear_fc1", f"{_THEIRS}mlp.gate_up_proj", ("ffn", "ffn"), "hidden", "rows"),
    *_linear(f"{_LAYER}mlp.linear_fc2", f"{_THEIRS}mlp.down_proj", "hidden", "ffn", "columns"),
)


def _experts(block: str, names: tuple[str, str, str]) -> tuple[Rule, ...]:
    router = _linear(f"{_LAYER}mlp.router", f"{_THEIRS}{block}.gate", "experts", "hidden", None, layers="experts")
    balance = Rule(
        f"{_LAYER}mlp.router.expert_bias",
        (f"{_THEIRS}{block}.gate.e_score_correction_bias",),
        ("experts",),
        layers="experts",
        when=lambda config: config.experts.score_bias,
    )
    each = _feed_forward(
        f"{_LAYER}mlp.experts.local_experts.{{expert}}", f"{_THEIRS}{block}.experts.{{expert}}", names, "expert_ffn",
        bias=None, layers="experts",
    )  # fmt: skip
    return (*router, balance, *each)


def _shared(theirs: str, gate: str | None = None) -> tuple[Rule, ...]:
    rules = _feed_forward(
        f"{_LAYER}mlp.shared_experts", f"{_THEIRS}mlp.{theirs}", size="shared_ffn", bias=None, layers="experts",
        when=lambda config: bool(config.experts.shared_ffn_size),
    )  # fmt: skip
    if gate is None:
        return rules
    weight = f"{_THEIRS}mlp.{gate}.weight"
    has = Rule(f"{_LAYER}mlp.shared_experts.gate_weight", (weight,), ("one",), "hidden", layers="experts",
               when=lambda config: config.experts.shared_gate)  # fmt: skip
    return (*rules, has)


_NORMS = (
    *_norm(f"{_LAYER}input_layernorm", f"{_THEIRS}input_layernorm"),
    *_norm(f"{_LAYER}pre_mlp_layernorm", f"{_THEIRS}post_attention_layernorm"),
)
_SANDWICH = (
    *_norm(f"{_LAYER}input_layernorm", f"{_THEIRS}input_layernorm"),
    *_norm(f"{_LAYER}self_attn_bda.norm", f"{_THEIRS}post_attention_layernorm"),
    *_norm(f"{_LAYER}pre_mlp_layernorm", f"{_THEIRS}pre_feedforward_layernorm"),
    *_norm(f"{_LAYER}mlp_bda.norm", f"{_THEIRS}post_feedforward_layernorm"),
)


def _gpt2() -> tuple[Rule, ...]:
    h = "transformer.h.{layer}."
    has: dict[str, Any] = {"bias": lambda config: True, "transposed": True}
    return (
        Rule(
            "embedding.word_embeddings.weight", ("transformer.wte.weight",), ("vocab",), "hidden", "rows", padded=True
        ),
        Rule("embedding.position_embeddings.weight", ("transformer.wpe.weight",), ("length",), "hidden"),
        *_norm(f"{_LAYER}input_layernorm", f"{h}ln_1"),
        *_linear(f"{_LAYER}self_attention.linear_qkv", f"{h}attn.c_attn", _QKV, "hidden", "rows", join="heads", **has),
        *_linear(f"{_LAYER}self_attention.linear_proj", f"{h}attn.c_proj", "hidden", "values", "columns", **has),
        *_norm(f"{_LAYER}pre_mlp_layernorm", f"{h}ln_2"),
        *_linear(f"{_LAYER}mlp.linear_fc1", f"{h}mlp.c_fc", "ffn", "hidden", "rows", **has),
        *_linear(f"{_LAYER}mlp.linear_fc2", f"{h}mlp.c_proj", "hidden", "ffn", "columns", **has),
        *_norm("decoder.final_layernorm", "transformer.ln_f"),
        _OUTPUT[-1],
    )


def _decoder(*parts: Rule) -> tuple[Rule, ...]:
    return (_EMBEDDING, *parts, *_OUTPUT)


_LLAMA = _decoder(*_NORMS, *_ATTENTION, *_MLP)
_GEMMA = _decoder(*_SANDWICH, *_ATTENTION, *_MLP)
_QWEN_EXPERTS = _experts("mlp", ("gate_proj", "up_proj", "down_proj"))
_DEEPSEEK = _decoder(*_NORMS, *_latent_rules(), *_MLP, *_QWEN_EXPERTS, *_shared("shared_experts"))

#: Rules by family.
FAMILIES: Mapping[str, tuple[Rule, ...]] = {
    "gpt2": _gpt2(),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": _decoder(*_NORMS, *_ATTENTION, *_experts("block_sparse_moe", ("w1", "w3", "w2"))),
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "qwen2_moe": _decoder(*_NORMS, *_ATTENTION, *_MLP, *_QWEN_EXPERTS, *_shared("shared_expert", "shared_expert_gate")),
    "qwen3_moe": _decoder(*_NORMS, *_ATTENTION, *_MLP, *_QWEN_EXPERTS),
    "gemma": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3": _GEMMA,
    "phi3": _decoder(*_NORMS, *_FUSED_ATTENTION, *_FUSED_MLP),
    "deepseek_v2": _DEEPSEEK,
    "deepseek_v3": _DEEPSEEK,
    "bert": encoders.BERT_RULES,
    "t5": encoders.T5_RULES,
}

#: Tensors that files may have and no model needs: causal masks of GPT-2, angles of rotary embeddings, positions and, in
#: a model for masked tokens only, the pooler of BERT, relative positions of another text in T5.
IGNORED = (
    r"(.*\.)?h\.\d+\.attn\.(masked_)?bias",
    r".*rotary_emb\.inv_freq",
    r"bert\.embeddings\.position_ids",
    r"(bert\.pooler\.dense|cls\.seq_relationship)\.(weight|bias)",
    r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",
)


def weights(config: Any) -> dict[str, Weight]:
    """Return all weights of a model by the engine's name, as the undivided model has them.

    Raises:
        ConfigError: There are no rules for the family.

    Example:
        >>> from nemo_llm.models.config import ModelConfig
        >>> found = weights(ModelConfig(family="llama", num_layers=1, num_heads=4, num_kv_heads=2, hidden_size=32))
        >>> [(piece.tensor, piece.shape) for piece in found["decoder.layers.0.self_attention.linear_qkv.weight"].pieces]
        [('model.layers.0.self_attn.q_proj.weight', (32, 32)),
         ('model.layers.0.self_attn.k_proj.weight', (16, 32)),
         ('model.layers.0.self_attn.v_proj.weight', (16, 32))]
    """
    rules = FAMILIES.get(config.family)
    if rules is None:
        known = sorted(FAMILIES)
        raise ConfigError(
            f"family {config.family!r} has no names of weights in transformers",
            hint=did_you_mean(config.family, known) or f"these have: {', '.join(known)}",
        )
    if config.family in ("bert", "t5"):
        return expand(rules, config, encoders.sizes_of(config))
    experts = config.experts

    def dense(layer: int) -> bool:
        return experts is None or layer in experts.dense_layers

    return expand(rules, config, _sizes(config), dense=dense)


def repeated(config: Any, table: Mapping[str, Weight]) -> dict[str, str]:
    """Return the tensors that a file may have again under another name, and under which."""
    embedding = table["embedding.word_embeddings.weight"].pieces[0].tensor
    if config.family in ("bert", "t5"):
        return encoders.repeated(config, embedding)
    return {"lm_head.weight": embedding} if config.tied_embeddings else {}


def _sizes(config: ModelConfig) -> dict[str, int]:
    heads = config.num_heads * config.head_size
    sizes = {
        "one": 1,
        "vocab": config.vocab_size,
        "hidden": config.hidden_size,
        "length": config.max_length,
        "head": config.head_size,
        "queries": heads,
        "keys": config.kv_heads * config.head_size,
        "values": heads,
        "ffn": config.ffn_size,
        "groups": config.kv_heads,
    }
    if config.experts is not None:
        each = config.experts
        sizes |= {"experts": each.count, "expert_ffn": each.ffn_size, "shared_ffn": each.shared_ffn_size or 0}
    if config.latent is not None:
        latent, count = config.latent, config.num_heads
        sizes |= {
            "q_rank": latent.q_rank or 0,
            "kv_rank": latent.kv_rank,
            "kv_rank_rope": latent.kv_rank + latent.rope_dim,
            "latent_queries": count * (latent.nope_dim + latent.rope_dim),
            "latent_keys": count * (latent.nope_dim + latent.value_dim),
            "values": count * latent.value_dim,
        }
    return sizes
