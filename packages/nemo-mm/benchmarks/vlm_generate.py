"""Answers about pictures (LLaVA's kind, 25M weights, greedy, batch 8, 64 new tokens) against transformers.generate."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from nemo_core.testing.bench import in_turn, seconds, versions

sys.path.insert(0, str(Path(__file__).parent / "sides"))
import vlm

NEW, ROWS, ROUNDS, TARGET = 64, 8, 5, 1.3


def run() -> dict[str, Any]:
    """Measure in float32 and bfloat16, from pictures to tokens."""
    from nemo_llm.megatron import engine

    rows = []
    with tempfile.TemporaryDirectory() as folder, engine():
        vlm.write(folder)
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            rows.append(_compare(vlm.ours(folder, dtype).eval(), vlm.theirs(folder, dtype).eval(), name))
    worst = min(rows, key=lambda row: row["ours"] / row["peer"])
    return {
        **{key: worst[key] for key in ("ours", "peer", "unit")},
        "rows": rows,
        "target": f"ratio >= {TARGET} in each type",
        "ok": all(row["ours"] >= TARGET * row["peer"] for row in rows),
        "versions": versions("nemo-mm", "torch", "transformers", "megatron-core"),
    }


def _compare(model: Any, peer: Any, name: str) -> dict[str, Any]:
    tokens, pictures = vlm.tokens_of(ROWS, 24), vlm.pictures_of(ROWS)
    prompts = tokens.tolist()
    media = {"pixels": pictures[:, None], "pixel_counts": torch.ones(ROWS, dtype=torch.long)}

    def ours() -> list[list[int]]:
        return [each.tokens for each in model.generate(prompts, media, max_tokens=NEW, greedy=True)]

    @torch.inference_mode()
    def theirs() -> list[list[int]]:
        found = peer.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            pixel_values=vlm.standardised(pictures).to(peer.dtype),
            max_new_tokens=NEW,
            min_new_tokens=NEW,
            do_sample=False,
            pad_token_id=0,
        )
        return found[:, tokens.shape[1] :].tolist()

    same = [a == b for mine, other in zip(ours(), theirs(), strict=True) for a, b in zip(mine, other, strict=True)]
    rate = in_turn({"ours": seconds(ours), "peer": seconds(theirs)}, rounds=ROUNDS)
    total = NEW * ROWS
    return {
        "what": f"{name}, batch {ROWS}",
        "ours": total / rate["ours"],
        "peer": total / rate["peer"],
        "unit": "tokens/s",
        "same tokens": f"{100 * sum(same) / len(same):.0f} %",
    }
