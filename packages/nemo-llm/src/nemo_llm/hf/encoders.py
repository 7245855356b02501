"""BERT and T5 in ``transformers``: what their ``config.json`` says, and the names of their weights."""

from __future__ import annotations

from typing import Any

from nemo_llm.hf.keys import Activation, ConfigFile, Demand, Dropout, Fixed, Found, Key, Translator, activation_named
from nemo_llm.hf.rules import Rule

__all__ = ["BERT", "BERT_RULES", "T5", "T5_RULES", "repeated", "sizes_of"]

_BERT_TIED = Demand("tie_word_embeddings", (True,))
BERT: tuple[Translator, ...] = (
    Key("vocab_size", "vocab_size", default=30522),
    Key("hidden_size", "hidden_size", default=768),
    Key("num_hidden_layers", "num_layers", default=12),
    Key("num_attention_heads", "num_heads", default=12),
    Key("intermediate_size", "ffn_size", default=3072),
    Key("max_position_embeddings", "max_length", default=512),
    Key("type_vocab_size", "token_types", default=2),
    Key("initializer_range", "init_std", "float", 0.02),
    Key("layer_norm_eps", "norm_eps", "float", 1e-12),
    Activation(default="gelu", tanh="gelu_new"),
    Dropout(("hidden_dropout_prob", "attention_probs_dropout_prob"), whole=True, default=0.1),
    _BERT_TIED,
    Fixed({"tied_embeddings": True}),
    Demand("position_embedding_type", ("absolute",), silent=True),
    Demand("is_decoder", (False,)),
    Demand("add_cross_attention", (False,), silent=True),
)


class _FeedForwardKind(Translator):
    """``feed_forward_proj``: activation, and whether it is gated; ``gated-gelu`` means the approximation."""

    def read(self, file: ConfigFile, found: Found) -> None:
        told = file.take("feed_forward_proj", kind="str", default="relu")
        file.take("dense_act_fn", default=None)
        file.take("is_gated_act", default=None)
        found["gated"] = told.startswith("gated-")
        name = told.removeprefix("gated-")
        found["activation"] = "gelu_tanh" if told == "gated-gelu" else activation_named(file, "feed_forward_proj", name)

    def write(self, config: Any, out: Found) -> None:
        name = {"gelu_tanh": "gelu" if config.gated else "gelu_new", "gelu": "gelu_python" if config.gated else "gelu"}
        kind = name.get(config.activation, config.activation)
        out["feed_forward_proj"] = f"gated-{kind}" if config.gated else kind


class _TiedLogits(Translator):
    """The first T5 has its embedding for an output layer and scales its logits; where they differ neither is so.

    ``transformers`` 5 ties all, unless the file has other values, and says ``scale_decoder_outputs``.
    """

    def read(self, file: ConfigFile, found: Found) -> None:
        tied = file.take("tie_word_embeddings", kind="bool", default=True)
        found["tied_embeddings"] = file.take("scale_decoder_outputs", kind="bool", default=tied)

    def write(self, config: Any, out: Found) -> None:
        out["tie_word_embeddings"] = out["scale_decoder_outputs"] = config.tied_embeddings


class _StartAndEnd(Translator):
    """The token that the decoder starts with, which is padding, and the one that ends a text."""

    def read(self, file: ConfigFile, found: Found) -> None:
        found["start_id"] = file.take("decoder_start_token_id", "pad_token_id", kind="int", default=0)
        end = file.take("eos_token_id", default=1)
        found["end_id"] = end[0] if isinstance(end, list) and end else end

    def write(self, config: Any, out: Found) -> None:
        out["decoder_start_token_id"] = out["pad_token_id"] = config.start_id
        out["eos_token_id"] = config.end_id


T5: tuple[Translator, ...] = (
    Key("vocab_size", "vocab_size", default=32128),
    Key("d_model", "hidden_size", default=512),
    Key("d_kv", "head_dim", default=64, value=lambda config: config.head_size),
    Key("d_ff", "ffn_size", default=2048),
    Key("num_layers", "num_layers", default=6),
    Key(
        "num_decoder_layers",
        "num_decoder_layers",
        default=None,
        value=lambda config: getattr(config, "decoder_layers", None),
    ),
    Key("num_heads", "num_heads", default=8),
    Key("relative_attention_num_buckets", "buckets", default=32),
    Key("relative_attention_max_distance", "max_distance", default=128),
    Key("layer_norm_epsilon", "norm_eps", "float", 1e-6),
    Key("initializer_factor", "init_scale", "float", 1.0),
    Dropout(("dropout_rate",), whole=True, default=0.1),
    _FeedForwardKind(),
    _TiedLogits(),
    _StartAndEnd(),
    Demand("is_encoder_decoder", (True,)),
)


def _matrix(ours: str, theirs: Any, rows: Any, columns: str, split: Any = None, **rest: Any) -> Rule:
    names, sizes = ((each,) if isinstance(each, str) else each for each in (theirs, rows))
    return Rule(f"{ours}.weight", tuple(f"{name}.weight" for name in names), sizes, columns, split, **rest)


def _linear(ours: str, theirs: Any, rows: Any, columns: str, split: Any = None, **rest: Any) -> tuple[Rule, ...]:
    """Rules for a matrix and the vector that is added."""
    names, sizes = ((each,) if isinstance(each, str) else each for each in (theirs, rows))
    bias = tuple(f"{name}.bias" for name in names)
    whole = split if split == "rows" else None
    return _matrix(ours, theirs, rows, columns, split, **rest), Rule(f"{ours}.bias", bias, sizes, None, whole, **rest)


def _norm(ours: str, theirs: str) -> tuple[Rule, ...]:
    return tuple(Rule(f"{ours}.{each}", (f"{theirs}.{each}",), ("hidden",)) for each in ("weight", "bias"))


_EMBEDDING = "embedding.word_embeddings"
_HEADS = ("heads", "heads", "heads")


def _bert() -> tuple[Rule, ...]:
    a, b = "encoder.layers.{layer}.", "bert.encoder.layer.{layer}."
    attention = tuple(f"{b}attention.self.{each}" for each in ("query", "key", "value"))
    kept: dict[str, Any] = {"when": lambda config: config.next_sentence}
    return (
        _matrix(_EMBEDDING, "bert.embeddings.word_embeddings", "vocab", "hidden", "rows", padded=True),
        _matrix("embedding.position_embeddings", "bert.embeddings.position_embeddings", "length", "hidden"),
        _matrix("embedding.tokentype_embeddings", "bert.embeddings.token_type_embeddings", "types", "hidden",
                when=lambda config: config.token_types > 0),
        *_norm("embedding.norm", "bert.embeddings.LayerNorm"),
        *_linear(f"{a}self_attention.linear_qkv", attention, _HEADS, "hidden", "rows", join="heads"),
        *_linear(f"{a}self_attention.linear_proj", f"{b}attention.output.dense", "hidden", "heads", "columns"),
        *_norm(f"{a}self_attn_bda.norm", f"{b}attention.output.LayerNorm"),
        *_linear(f"{a}mlp.linear_fc1", f"{b}intermediate.dense", "ffn", "hidden", "rows"),
        *_linear(f"{a}mlp.linear_fc2", f"{b}output.dense", "hidden", "ffn", "columns"),
        *_norm(f"{a}mlp_bda.norm", f"{b}output.LayerNorm"),
        *_linear("lm_head.dense", "cls.predictions.transform.dense", "hidden", "hidden"),
        *_norm("lm_head.norm", "cls.predictions.transform.LayerNorm"),
        Rule("output_layer.bias", ("cls.predictions.bias",), ("vocab",), None, "rows", padded=True),
        *_linear("pooler", "bert.pooler.dense", "hidden", "hidden", **kept),
        *_linear("next_sentence", "cls.seq_relationship", "two", "hidden", **kept),
    )  # fmt: skip


def _t5_stack(name: str, count: str) -> tuple[Rule, ...]:
    a, b = f"{name}.layers.{{layer}}.", f"{name}.block.{{layer}}.layer."
    decoder = name == "decoder"
    feed = f"{b}{2 if decoder else 1}."
    here: dict[str, Any] = {"count": count}

    def scale(ours: str, theirs: str) -> Rule:
        return Rule(f"{a}{ours}.weight", (f"{theirs}layer_norm.weight",), ("hidden",), **here)

    def attention(part: str, *which: str) -> tuple[str, ...]:
        return tuple(f"{b}{part}.{each}" for each in which)

    own, cross = "0.SelfAttention", "1.EncDecAttention"
    crossed = (
        scale("pre_cross_attn_layernorm", f"{b}1."),
        _matrix(f"{a}cross_attention.linear_q", f"{b}{cross}.q", "heads", "hidden", "rows", **here),
        _matrix(f"{a}cross_attention.linear_kv", attention(cross, "k", "v"), _HEADS[:2], "hidden", "rows",
                join="heads", **here),
        _matrix(f"{a}cross_attention.linear_proj", f"{b}{cross}.o", "hidden", "heads", "columns", **here),
    )  # fmt: skip
    return (
        _matrix(f"{name}_positions", f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias", "buckets",
                "head_count"),
        scale("input_layernorm", f"{b}0."),
        _matrix(f"{a}self_attention.linear_qkv", attention(own, "q", "k", "v"), _HEADS, "hidden", "rows",
                join="heads", **here),
        _matrix(f"{a}self_attention.linear_proj", f"{b}{own}.o", "hidden", "heads", "columns", **here),
        *(crossed if decoder else ()),
        scale("pre_mlp_layernorm", feed),
        _matrix(f"{a}mlp.linear_fc1", (f"{feed}DenseReluDense.wi_0", f"{feed}DenseReluDense.wi_1"), ("ffn", "ffn"),
                "hidden", "rows", when=lambda config: config.gated, **here),
        _matrix(f"{a}mlp.linear_fc1", f"{feed}DenseReluDense.wi", "ffn", "hidden", "rows",
                when=lambda config: not config.gated, **here),
        _matrix(f"{a}mlp.linear_fc2", f"{feed}DenseReluDense.wo", "hidden", "ffn", "columns", **here),
        Rule(f"{name}.final_layernorm.weight", (f"{name}.final_layer_norm.weight",), ("hidden",)),
    )  # fmt: skip


BERT_RULES = _bert()
T5_RULES = (
    _matrix(_EMBEDDING, "shared", "vocab", "hidden", "rows", padded=True),
    *_t5_stack("encoder", "num_layers"),
    *_t5_stack("decoder", "decoder_layers"),
    _matrix("output_layer", "lm_head", "vocab", "hidden", "rows", padded=True,
            when=lambda config: not config.tied_embeddings),
)  # fmt: skip


def sizes_of(config: Any) -> dict[str, int]:
    """Return what the names of sizes stand for in the rules of BERT and T5."""
    sizes = {
        "vocab": config.vocab_size,
        "hidden": config.hidden_size,
        "ffn": config.ffn_size,
        "groups": config.num_heads,
        "two": 2,
    }
    if config.family == "bert":
        return {**sizes, "heads": config.hidden_size, "length": config.max_length, "types": config.token_types}
    inner = config.num_heads * config.head_size
    return {**sizes, "heads": inner, "head_count": config.num_heads, "buckets": config.buckets}


def repeated(config: Any, embedding: str) -> dict[str, str]:
    """Return the tensors that a file may have again under another name, and under which."""
    if config.family == "bert":
        return {"cls.predictions.decoder.weight": embedding, "cls.predictions.decoder.bias": "cls.predictions.bias"}
    found = dict.fromkeys(("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"), embedding)
    return {**found, "lm_head.weight": embedding} if config.tied_embeddings else found
