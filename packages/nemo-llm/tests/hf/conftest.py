"""Tiny models of transformers, with random weights, in folders as its users have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HfFolder = Callable[..., Path]

#: Odd sizes: 97 tokens, three layers, six heads in groups of three, a feed-forward part that is no power of two.
BASE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 56,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
LATENT: dict[str, Any] = {
    "num_key_value_heads": 6,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 1,
    "n_routed_experts": 4,
}
EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", {"n_embd": 48, "n_layer": 3, "n_head": 6, "n_positions": 64, "vocab_size": 97}),
    "llama": ("LlamaConfig", BASE),
    "mistral": ("MistralConfig", {**BASE, "head_dim": 10, "sliding_window": 7}),
    "mixtral": ("MixtralConfig", {**BASE, "num_local_experts": 4}),
    "qwen2": ("Qwen2Config", BASE),
    "qwen3": ("Qwen3Config", {**BASE, "head_dim": 12}),
    "qwen2_moe": ("Qwen2MoeConfig", {**BASE, **EXPERTS, "shared_expert_intermediate_size": 40}),
    "qwen3_moe": ("Qwen3MoeConfig", {**BASE, **EXPERTS, "head_dim": 12}),
    "gemma": ("GemmaConfig", {**BASE, "head_dim": 12}),
    "gemma2": ("Gemma2Config", {**BASE, "head_dim": 12, "sliding_window": 7, "query_pre_attn_scalar": 20}),
    "gemma3": ("Gemma3TextConfig", {**BASE, "head_dim": 12, "sliding_window": 7, "query_pre_attn_scalar": 20}),
    "phi3": ("Phi3Config", BASE),
    "deepseek_v2": ("DeepseekV2Config", {**BASE, **LATENT, "q_lora_rank": None, "n_shared_experts": 2}),
    "deepseek_v3": ("DeepseekV3Config", {**BASE, **LATENT, "q_lora_rank": 20, "n_group": 2, "topk_group": 1}),
}


@pytest.fixture
def transformers() -> Any:
    module = pytest.importorskip("transformers", reason="transformers, which is what we agree with, is not installed")
    module.logging.set_verbosity_error()
    module.logging.disable_progress_bar()
    return module


@pytest.fixture
def hf_model(transformers: Any) -> Callable[..., Any]:
    """A function that makes a model of a family, its weights spread widely enough that every one of them matters."""

    def make(family: str, seed: int = 0, **changes: Any) -> Any:
        import torch

        kind, values = FAMILIES[family]
        config = getattr(transformers, kind)(**{**values, **changes})
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                noise = torch.randn(tensor.shape, generator=generator)
                if "norm" in name or ".ln_" in name:
                    tensor.add_(0.2 * noise)
                else:
                    tensor.copy_(0.15 * noise)
        return model

    return make


@pytest.fixture
def hf_folder(hf_model: Callable[..., Any], tmp_path: Path) -> HfFolder:
    """A function that saves such a model, and returns the folder."""

    def make(
        family: str, seed: int = 0, name: str = "theirs", saving: dict[str, Any] | None = None, **changes: Any
    ) -> Path:
        folder = tmp_path / name
        hf_model(family, seed, **changes).save_pretrained(folder, **(saving or {}))
        return folder

    return make
