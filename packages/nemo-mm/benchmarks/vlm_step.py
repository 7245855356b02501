"""A training step of LLaVA's kind (CLIP and Llama, 25M weights), pictures to updated weights, against transformers.

Each side is a process of its own with two threads; they take turns. Same weights, pictures, tokens and types;
transformers as its Trainer runs it by default (``sdpa`` attention, gradients clipped at 1, ``adamw_torch_fused``).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from nemo_core.testing.bench import versions
from nemo_core.testing.sides import Side

sys.path.insert(0, str(Path(__file__).parent / "sides"))
import vlm

TARGET = 1.2
#: Type, rows of a picture each, tokens of text in a row, measured rounds.
CASES = [("float32", 4, 64, 7), ("bfloat16", 4, 64, 5)]


def run() -> dict[str, Any]:
    """Measure each case; the worst is the result."""
    with tempfile.TemporaryDirectory() as folder:
        vlm.write(folder)
        rows = [_compare(folder, *case) for case in CASES]
    worst = min(rows, key=lambda row: float(row["ratio"]))
    return {
        **{key: worst[key] for key in ("ours", "peer", "unit", "ratio")},
        "rows": rows,
        "target": f"peer / ours >= {TARGET} in each",
        "ok": all(row["ratio"] >= TARGET for row in rows),
        "versions": versions("nemo-mm", "torch", "transformers", "megatron-core"),
    }


def _compare(folder: str, dtype: str, rows: int, text: int, rounds: int) -> dict[str, Any]:
    script = Path(__file__).parent / "sides" / "vlm_training.py"
    arguments = [folder, dtype, str(rows), str(text)]
    command = [sys.executable, "-W", "ignore", script]
    with Side([*command, "ours", *arguments]) as ours, Side([*command, "transformers", *arguments]) as peer:
        answers = [(ours.work(), peer.work()) for _ in range(1 + rounds)]
    first, second = ([each["seconds"] for each in side][1:] for side in zip(*answers, strict=True))
    return {
        "what": f"{dtype}, {rows} pictures of {vlm.PATCHES} patches, {text} tokens with each",
        "ours": round(statistics.median(first), 3),
        "peer": round(statistics.median(second), 3),
        "unit": "s",
        "ratio": round(statistics.median(b / a for a, b in zip(first, second, strict=True)), 3),
        "losses differ": f"{max(abs(a['loss'] - b['loss']) / b['loss'] for a, b in answers):.1e}",
    }
