"""Generation with a cache of keys and values against transformers.generate: batch 8, ragged prompts, 128 new tokens."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from nemo_core.testing.bench import in_turn, seconds, versions

NEW, ROWS, ROUNDS = 128, 8, 5
SHAPE = {
    "vocab_size": 8192,
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "intermediate_size": 1408,
    "max_position_embeddings": 512,
}


def run() -> dict[str, Any]:
    """Measure greedy generation in float32 and bfloat16, the same random weights on both sides."""
    from nemo_llm.generation import load_for_generation

    torch.manual_seed(0)
    prompts = [torch.randint(0, SHAPE["vocab_size"], (length,)).tolist() for length in range(32, 64, 64 // (2 * ROWS))]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        _write(folder)
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            with load_for_generation(folder, dtype=dtype) as model:
                rows.append(_compare(model, _peer(folder, dtype), prompts, name))
    worst = min(rows, key=lambda row: row["ours"] / row["peer"])
    return {
        **{key: worst[key] for key in ("ours", "peer", "unit")},
        "rows": rows,
        "target": "ratio >= 1.5 in each type",
        "ok": all(row["ours"] >= 1.5 * row["peer"] for row in rows),
        "versions": versions("nemo-llm", "torch", "transformers", "megatron-core"),
    }


def _write(folder: str | Path) -> None:
    """Write the model that both sides read."""
    from transformers import LlamaConfig, LlamaForCausalLM

    LlamaForCausalLM(LlamaConfig(**SHAPE, eos_token_id=None, bos_token_id=None)).save_pretrained(folder)


def _peer(folder: str | Path, dtype: torch.dtype) -> Any:
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def _compare(model: Any, peer: Any, prompts: list[list[int]], name: str) -> dict[str, Any]:
    from nemo_llm.generation import generate

    longest = max(map(len, prompts))
    padded = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])

    def ours() -> list[list[int]]:
        return [each.tokens for each in generate(model, prompts, max_tokens=NEW, greedy=True)]

    @torch.inference_mode()
    def theirs() -> list[list[int]]:
        found = peer.generate(
            padded, attention_mask=mask, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=0
        )
        return found[:, longest:].tolist()

    same = [a == b for mine, other in zip(ours(), theirs(), strict=True) for a, b in zip(mine, other, strict=True)]
    rate = in_turn({"ours": seconds(ours), "peer": seconds(theirs)}, rounds=ROUNDS)
    tokens = NEW * len(prompts)
    return {
        "what": f"{name}, batch {len(prompts)}",
        "ours": tokens / rate["ours"],
        "peer": tokens / rate["peer"],
        "unit": "tokens/s",
        "same tokens": f"{100 * sum(same) / len(same):.0f} %",
    }
