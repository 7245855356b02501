"""Every family against transformers: the same logits, and the same bits after the way there and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nemo_llm.hf import config_from_hf, load_hf, save_hf
from nemo_llm.megatron import engine

LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 3.0}
YARN = {"rope_type": "yarn", "rope_theta": 5000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.3, 1.5],
    "long_factor": [1.0, 2.0, 4.5, 9.0],
    "original_max_position_embeddings": 16,
}
FULL, SLIDING = "full_attention", "sliding_attention"

#: Name, family, what differs from the tiny model, tokens of the text.
CASES: list[tuple[str, str, dict[str, Any], int]] = [
    ("gpt2", "gpt2", {}, 40),
    ("gpt2-untied", "gpt2", {"tie_word_embeddings": False, "n_inner": 100, "activation_function": "relu"}, 40),
    ("llama", "llama", {}, 40),
    ("llama-biases", "llama", {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 6}, 40),
    ("llama-mlp-bias", "llama", {"mlp_bias": True, "tie_word_embeddings": True}, 40),
    ("llama-one-kv-head", "llama", {"num_key_value_heads": 1, "head_dim": 14, "hidden_act": "gelu"}, 40),
    ("llama-linear", "llama", {"rope_parameters": LINEAR}, 40),
    ("llama-dynamic-short", "llama", {"rope_parameters": DYNAMIC}, 40),
    ("llama-dynamic-long", "llama", {"rope_parameters": DYNAMIC, "max_position_embeddings": 16}, 40),
    ("llama-yarn", "llama", {"rope_parameters": YARN}, 40),
    ("llama-yarn-factor", "llama", {"rope_parameters": {**YARN, "attention_factor": 1.7, "beta_fast": 8.0}}, 40),
    ("llama3", "llama", {"rope_parameters": LLAMA3}, 40),
    ("llama-longrope", "llama", {"rope_parameters": {**LONG, "attention_factor": 1.2}}, 40),
    ("mistral", "mistral", {}, 40),
    ("mistral-whole", "mistral", {"sliding_window": None, "tie_word_embeddings": True}, 40),
    ("mistral-yarn-window", "mistral", {"rope_parameters": YARN}, 40),
    ("mixtral", "mixtral", {}, 40),
    ("mixtral-window", "mixtral", {"sliding_window": 5, "num_experts_per_tok": 3}, 40),
    ("qwen2", "qwen2", {}, 40),
    ("qwen2-window", "qwen2", {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}, 40),
    ("qwen2-layers", "qwen2", {"use_sliding_window": True, "sliding_window": 6, "tie_word_embeddings": True,
                               "layer_types": [SLIDING, FULL, FULL]}, 40),
    ("qwen3", "qwen3", {"tie_word_embeddings": True}, 40),
    ("qwen3-biases-yarn", "qwen3", {"attention_bias": True, "rope_parameters": YARN}, 40),
    ("qwen2-moe", "qwen2_moe", {}, 40),
    ("qwen2-moe-norm", "qwen2_moe", {"norm_topk_prob": True, "decoder_sparse_step": 2, "qkv_bias": False}, 40),
    ("qwen3-moe", "qwen3_moe", {"norm_topk_prob": True}, 40),
    ("qwen3-moe-window", "qwen3_moe", {"mlp_only_layers": [1], "use_sliding_window": True, "sliding_window": 9}, 40),
    ("gemma", "gemma", {}, 40),
    ("gemma-untied", "gemma", {"tie_word_embeddings": False, "attention_bias": True}, 40),
    ("gemma2", "gemma2", {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 3.0}, 40),
    ("gemma2-uncapped", "gemma2", {"attn_logit_softcapping": None, "final_logit_softcapping": None}, 40),
    ("gemma3", "gemma3", {"num_hidden_layers": 7}, 40),
    ("gemma3-linear", "gemma3", {"final_logit_softcapping": 2.0, "layer_types": [FULL, SLIDING, FULL],
                                 "rope_parameters": {FULL: {**LINEAR, "rope_theta": 1e6},
                                                     SLIDING: {"rope_type": "default", "rope_theta": 1e4}}}, 40),
    ("phi3", "phi3", {}, 40),
    ("phi3-partial", "phi3", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4,
                                                  "partial_rotary_factor": 0.5}, "sliding_window": 9}, 40),
    ("phi3-longrope-short", "phi3", {"rope_parameters": LONG, "original_max_position_embeddings": 16}, 12),
    ("phi3-longrope-long", "phi3", {"rope_parameters": LONG, "original_max_position_embeddings": 16}, 40),
    ("deepseek-v2", "deepseek_v2", {}, 40),
    ("deepseek-v2-groups", "deepseek_v2", {"q_lora_rank": 20, "topk_method": "group_limited_greedy", "n_group": 2,
                                           "topk_group": 1, "routed_scaling_factor": 2.0}, 40),
    ("deepseek-v3", "deepseek_v3", {}, 40),
    ("deepseek-v3-yarn", "deepseek_v3", {"rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 0.7},
                                         "n_group": 1}, 40),
    ("deepseek-v3-halves", "deepseek_v3", {"rope_interleave": False, "n_shared_experts": 2}, 40),
]  # fmt: skip


@pytest.mark.parametrize(("family", "changes", "length"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_logits_agree_and_the_way_back_is_exact(
    family: str, changes: dict[str, Any], length: int, hf_folder: Callable[..., Path], transformers: Any, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    folder = hf_folder(family, **changes)
    config = config_from_hf(json.loads((folder / "config.json").read_text()))
    tokens = torch.randint(0, 97, (2, length), generator=torch.Generator().manual_seed(1))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with engine():
        from nemo_llm.models import build_chunks

        chunks = build_chunks(config, seed=None)
        load_hf(folder, chunks)
        with torch.no_grad():
            expected = theirs(tokens).logits
            logits = chunks[0].eval()(tokens, None, None)
        save_hf(tmp_path / "ours", chunks, config, tokenizer_source=folder)
    assert expected.std() > 0.3  # not a model that says the same whatever it is asked
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "ours" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype
        assert torch.equal(tensor, after[name]), name
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", attn_implementation="eager").eval()
    with torch.no_grad():
        assert torch.equal(again(tokens).logits, expected)
