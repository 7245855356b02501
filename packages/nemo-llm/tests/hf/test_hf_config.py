"""config.json of transformers to an architecture of ours and back."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError
from nemo_llm.hf.architectures import ARCHITECTURES
from nemo_llm.hf.config import canonical, config_from_hf, config_to_hf, read_hf_config
from nemo_llm.hf.families import weights
from nemo_llm.models.config import Experts, LatentAttention, ModelConfig, Rope
from nemo_llm.models.families import FAMILIES as PUBLISHED
from nemo_llm.models.families import get

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 8192,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-05,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
}
SCALING = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def test_both_spellings_say_the_same() -> None:
    old = {**LLAMA, "rope_theta": 500000.0, "rope_scaling": SCALING, "torch_dtype": "bfloat16"}
    new = {**LLAMA, "rope_parameters": {**SCALING, "rope_theta": 500000.0}, "dtype": "bfloat16"}
    config = config_from_hf(old)
    assert config == config_from_hf(new)
    assert config.rope == Rope(base=500000.0, scaling="llama3", factor=32.0, original_length=8192)
    assert (config.kv_heads, config.head_dim, config.tied_embeddings) == (8, None, True)


def test_both_spellings_are_written() -> None:
    out = config_to_hf(config_from_hf({**LLAMA, "rope_theta": 500000.0, "rope_scaling": SCALING}))
    assert out["rope_theta"] == 500000.0
    assert out["rope_scaling"] == SCALING
    assert out["rope_parameters"] == {**SCALING, "rope_theta": 500000.0}


def test_the_two_kinds_of_layers_of_gemma3_in_both_spellings() -> None:
    base = {
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "vocab_size": 262144, "hidden_size": 640,
        "num_hidden_layers": 8, "num_attention_heads": 4, "num_key_value_heads": 1, "intermediate_size": 2048,
        "sliding_window": 512,
    }  # fmt: skip
    old = {**base, "rope_theta": 1e6, "rope_local_base_freq": 1e4, "sliding_window_pattern": 6,
           "rope_scaling": {"rope_type": "linear", "factor": 8.0}}  # fmt: skip
    sliding, full = "sliding_attention", "full_attention"
    new = {
        **base,
        "layer_types": [sliding] * 5 + [full] + [sliding] * 2,
        "rope_parameters": {
            full: {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            sliding: {"rope_type": "default", "rope_theta": 1e4},
        },
    }
    config = config_from_hf(old)
    assert config == config_from_hf(new)
    assert config.rope == Rope(base=1e6, local_base=1e4, scaling="linear", factor=8.0)
    assert [config.window_of(layer) for layer in range(8)] == [512] * 5 + [None] + [512] * 2


def test_what_files_leave_out_has_the_default_of_the_library() -> None:
    gemma = {
        "architectures": ["GemmaForCausalLM"], "vocab_size": 256000, "hidden_size": 2048, "num_hidden_layers": 18,
        "num_attention_heads": 8, "num_key_value_heads": 1, "intermediate_size": 16384, "hidden_act": "gelu",
    }  # fmt: skip
    config = config_from_hf(gemma)
    assert (config.head_dim, config.tied_embeddings, config.activation) == (None, True, "gelu_tanh")
    assert (config.norm_eps, config.max_length, config.norm) == (1e-6, 8192, "rms_plus_one")
    softcaps = {**gemma, "architectures": ["Gemma2ForCausalLM"], "attn_logit_softcapping": None}
    assert config_from_hf(softcaps).attention_softcap is None  # null is a value
    assert config_from_hf(softcaps).logit_softcap == 30.0  # nothing is not


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"architectures": ["LamaForCausalLM"]}, "'LamaForCausalLM'.*\n.*did you mean LlamaForCausalLM"),
        ({"architectures": ["FalconForCausalLM"]}, "it has .*DeepseekV2ForCausalLM.*LlamaForCausalLM"),
        ({"hidden_act": "quick_gelu"}, "hidden_act is 'quick_gelu'.*\n.*gelu_new"),
        ({"rope_scaling": {"rope_type": "proportional"}}, "rope_scaling.rope_type is 'proportional'.*\n.*llama3"),
        ({"rope_scaling": {"rope_type": "linear"}}, "rope_scaling has no factor"),
        (
            {"rope_scaling": {"rope_type": "linear", "factor": "4"}},
            "rope_scaling.factor is '4', and has to be a number",
        ),
        ({"rope_parameters": {"rope_type": "default", "mrope_section": [1, 2]}}, "rope_parameters.mrope_section"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantised.*\n.*dequantised"),
        ({"hidden_size": None}, "has no hidden_size"),
        ({"hidden_size": "2048"}, "hidden_size is '2048', and has to be a whole number"),
        ({"num_attention_heads": 30, "head_dim": None}, "no multiple of num_kv_heads 8"),
        ({"attention_bias": "yes"}, "attention_bias is 'yes', and has to be true or false"),
    ],
)
def test_what_we_do_not_compute_is_refused_by_file_and_key(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match="(?s)^models/x/config.json.*" + told):
        config_from_hf({**LLAMA, **changes}, "models/x/config.json")


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("GPT2LMHeadModel", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ("GPT2LMHeadModel", {"add_cross_attention": True}, "add_cross_attention is True"),
        ("GemmaForCausalLM", {"use_bidirectional_attention": True}, "use_bidirectional_attention is True"),
        ("Qwen2ForCausalLM", {"layer_types": ["chunked_attention"] * 16}, "layer_types has 'chunked_attention'"),
        ("Qwen2ForCausalLM", {"layer_types": ["full_attention"]}, "layer_types has 1 entries for 16 layers"),
        ("Qwen2ForCausalLM", {"layer_types": ["sliding_attention"] * 16}, "use_sliding_window is false"),
        ("DeepseekV2ForCausalLM", {"num_experts_per_tok": 2, "topk_method": "noaux_tc"}, "topk_method is 'noaux_tc'"),
        ("DeepseekV3ForCausalLM", {"scoring_func": "softmax"}, "scoring_func is 'softmax'"),
        ("DeepseekV3ForCausalLM", {"attention_bias": True}, "attention_bias is True"),
    ],
)
def test_keys_of_one_architecture(name: str, changes: dict[str, Any], told: str) -> None:
    values = {**LLAMA, "architectures": [name], "num_key_value_heads": 32, **changes}
    values |= {"n_embd": 2048, "n_layer": 16, "n_head": 32} if name.startswith("GPT2") else {}
    with pytest.raises(ConfigError, match=told):
        config_from_hf(values)


def test_keys_that_nothing_uses_are_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        config_from_hf({**LLAMA, "use_cache": True, "bos_token_id": 1, "my_own_trick": 3})
    assert "my_own_trick" in caplog.text
    assert "use_cache" not in caplog.text


def test_what_an_architecture_cannot_say_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"LlamaForCausalLM cannot say .*logit_softcap is 30.0 \(it has None\)"):
        config_to_hf(ModelConfig(family="llama", logit_softcap=30.0))
    with pytest.raises(ConfigError, match=r"has experts\.count, and this one has no experts"):
        config_to_hf(ModelConfig(family="mixtral"))
    with pytest.raises(ConfigError, match=r"no architecture in transformers\n.*did you mean llama"):
        config_to_hf(ModelConfig(family="lama"))


def test_what_says_the_same_in_other_words_is_no_difference() -> None:
    rope = Rope(base=500.0, original_length=7, factor=3.0, scale_local=True)  # of nothing that is stretched
    same = ModelConfig(family="qwen2", qkv_bias=True, num_kv_heads=4, head_dim=64, rope=rope, window=6, global_every=9)
    assert config_to_hf(same)["layer_types"] == ["sliding_attention"] * 4
    stretched = ModelConfig(rope=Rope(scaling="yarn", factor=2.0))  # from the longest text on, as it says nothing else
    assert config_to_hf(stretched)["rope_scaling"]["original_max_position_embeddings"] == 2048


@pytest.mark.parametrize("family", sorted(PUBLISHED))
def test_every_published_size_can_be_said_and_has_as_many_weights_as_its_rules(family: str) -> None:
    for size in get(family).sizes:
        config = get(family).config(size)
        again = config_from_hf(json.loads(json.dumps(config_to_hf(config))))
        assert config_to_hf(again) == config_to_hf(config)
        tensors = {piece.tensor: piece.shape for weight in weights(config).values() for piece in weight.pieces}
        trained = [math.prod(shape) for name, shape in tensors.items() if "correction_bias" not in name]
        assert sum(trained) == config.num_parameters, size


def test_a_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_hf_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="is no JSON"):
        read_hf_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    assert read_hf_config(tmp_path).family == "llama"


# ------------------------------------------------------------------------------------- any model there and back
def _rope(draw: Any, family: str, window: int | None) -> Rope:
    base = draw(st.sampled_from([10000.0, 1e6, 12345.5]))
    common: dict[str, Any] = {"base": base}
    if family == "gemma3":
        common["local_base"] = draw(st.sampled_from([10.0, None]))
    elif family.startswith("deepseek"):
        common["interleaved"] = family == "deepseek_v2" or draw(st.booleans())
    elif family == "phi3":
        common["fraction"] = draw(st.sampled_from([1.0, 0.5]))
    kinds = ["none", "longrope"] if family == "phi3" else ["none", "linear", "ntk", "yarn", "llama3", "longrope"]
    scaling = draw(st.sampled_from(kinds))
    local = scaling != "none" and window is not None and family != "gemma3"
    common |= {"scaling": scaling, "scale_local": local}
    factor = draw(st.sampled_from([2.0, 4.0, 7.25]))
    if scaling == "none":
        return Rope(**common)
    if scaling == "linear":
        return Rope(**common, factor=factor)
    if scaling == "ntk":
        return Rope(**common, factor=factor, original_length=64)
    common |= {"factor": factor, "original_length": draw(st.sampled_from([8, 16, 64]))}
    if scaling == "llama3":
        return Rope(**common, low_freq_factor=1.5, high_freq_factor=draw(st.sampled_from([4.0, 8.0])))
    common["attention_factor"] = draw(st.sampled_from([None, 1.25]))
    if scaling == "longrope":
        factors = st.tuples(*[st.sampled_from([1.0, 1.5, 3.25])] * 4)
        return Rope(**common, short_factors=draw(factors), long_factors=draw(factors))
    mscale = draw(st.sampled_from([None, 0.5, 1.0]))
    return Rope(**common, beta_fast=draw(st.sampled_from([32.0, 16.0])), mscale=mscale, mscale_all_dim=mscale,
                truncate=draw(st.booleans()))  # fmt: skip


def _windows(draw: Any, family: str, layers: int) -> dict[str, Any]:
    window = draw(st.sampled_from([None, 7, 12]))
    if family in ("gpt2", "llama", "gemma", "deepseek_v2", "deepseek_v3") or window is None:
        return {}
    if family in ("mistral", "mixtral", "phi3", "qwen3_moe"):
        return {"window": window}
    usual = {"gemma2": 2, "gemma3": 6}.get(family)
    if usual and draw(st.booleans()):
        return {"window": window, "global_every": usual}
    sliding = draw(st.lists(st.booleans(), min_size=layers, max_size=layers))
    if not any(sliding):
        return {}
    first = sliding.index(False) + 1 if not all(sliding) else None
    for every in (usual, first):
        if every and sliding == [(n + 1) % every != 0 for n in range(layers)]:
            return {"window": window, "global_every": every}
    return {"window": window, **({} if all(sliding) else {"window_layers": tuple(sliding)})}


@st.composite
def configs(draw: Any, family: str) -> ModelConfig:
    layers = draw(st.integers(1, 8))
    heads, kv = draw(st.sampled_from([(6, None), (6, 2), (4, 1)]))
    if family == "gpt2" or family.startswith("deepseek"):
        kv = None
    size = draw(st.sampled_from([8, 12]))
    values: dict[str, Any] = {
        "family": family, "vocab_size": draw(st.integers(2, 300)), "hidden_size": heads * 8, "num_layers": layers,
        "num_heads": heads, "num_kv_heads": kv, "ffn_size": draw(st.integers(1, 99)), "max_length": 64,
        "norm_eps": draw(st.sampled_from([1e-5, 1e-6])), "tied_embeddings": draw(st.booleans()),
        "init_std": draw(st.sampled_from([0.02, 0.1])),
        "activation": draw(st.sampled_from(["silu", "gelu", "gelu_tanh", "relu"])),
    }  # fmt: skip
    if family == "gemma" and values["activation"] == "gelu":
        values["activation"] = "gelu_tanh"  # that is what the word means in its files
    if family == "gpt2":
        return ModelConfig(**values, norm="layer", gated=False, positions="learned", qkv_bias=True, attention_bias=True,
                           mlp_bias=True, dropout=draw(st.sampled_from([0.0, 0.1])))  # fmt: skip
    if not family.startswith("deepseek"):
        values["head_dim"] = None if size == 8 else size
    values |= _windows(draw, family, layers)
    values["rope"] = _rope(draw, family, values.get("window"))
    bias = draw(st.booleans())
    if family in ("llama", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3"):
        values |= {"qkv_bias": bias, "attention_bias": bias}
    if family == "llama":
        values["mlp_bias"] = draw(st.booleans())
    if family in ("qwen2", "qwen2_moe"):
        values["qkv_bias"] = bias or family == "qwen2"
    values["qk_norm"] = family in ("qwen3", "qwen3_moe", "gemma3")
    if family.startswith("gemma"):
        values |= {"norm": "rms_plus_one", "embedding_scale": (heads * 8) ** 0.5, "sandwich_norm": family != "gemma"}
    if family in ("gemma2", "gemma3"):
        scalar = draw(st.sampled_from([None, 20, 256, 77]))
        values["query_scale"] = None if scalar is None else scalar**-0.5
        values["logit_softcap"] = draw(st.sampled_from([None, 30.0]))
    if family == "gemma2":
        values["attention_softcap"] = draw(st.sampled_from([None, 50.0]))
    values |= _experts(draw, family, layers, values["ffn_size"])
    return ModelConfig(**values)


def _experts(draw: Any, family: str, layers: int, ffn: int) -> dict[str, Any]:
    if family not in ("mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3"):
        return {}
    values: dict[str, Any] = {"count": 8, "per_token": draw(st.integers(1, 4)), "ffn_size": draw(st.integers(1, 50))}
    if family == "mixtral":
        return {"experts": Experts(**{**values, "ffn_size": ffn}, aux_loss=0.01)}
    if family.startswith("qwen"):
        dense = draw(st.sets(st.integers(0, layers - 1)))
        values |= {"normalize": draw(st.booleans()), "aux_loss": 0.002, "dense_layers": tuple(sorted(dense))}
        if family == "qwen2_moe":
            values |= {"shared_ffn_size": draw(st.integers(1, 50)), "shared_gate": True}
        return {"experts": Experts(**values)}
    values |= {
        "shared_ffn_size": values["ffn_size"] * draw(st.integers(1, 3)),
        "dense_layers": tuple(range(draw(st.integers(0, layers)))),
        "scale": draw(st.sampled_from([1.0, 2.5])),
        "normalize": family == "deepseek_v3" and draw(st.booleans()),
    }
    if draw(st.booleans()):
        values |= {"groups": 4, "groups_per_token": 2}
    if family == "deepseek_v3":
        values |= {"score": "sigmoid", "score_bias": True}
    latent = LatentAttention(draw(st.sampled_from([None, 20])), 16, 8, 4, 6)
    return {"experts": Experts(**values), "latent": latent}


@pytest.mark.parametrize("family", [each.family for each in ARCHITECTURES.values() if each.kind == "ModelConfig"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_model_of_a_family_comes_back_as_it_was(family: str, data: st.DataObject) -> None:
    config = data.draw(configs(family))
    assert canonical(config) == config
    out = json.loads(json.dumps(config_to_hf(config)))
    assert config_from_hf(out) == config
    new = {key: value for key, value in out.items() if key not in ("rope_scaling", "rope_theta")}
    assert config_from_hf(new) == config
