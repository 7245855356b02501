"""A training step of Llama-shaped models of 30M weights, from tokens to updated weights, against transformers.

Each side is a process of its own with two threads; they take turns. Same weights, tokens and types; transformers as its
Trainer runs it by default (``sdpa`` attention, its own loss, gradients clipped at 1, ``adamw_torch_fused``), ours as
the strategy runs it, which in half precision keeps weights in float32 besides.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nemo_core.testing.bench import versions

TARGET = 1.5
#: By vocabulary: Llama's own, and one that leaves nearly all weights to the layers.
SHAPES = {
    32000: {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "num_key_value_heads": 6,
        "intermediate_size": 1024,
    },
    8192: {
        "hidden_size": 512,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "intermediate_size": 1376,
    },
}
#: Type, sequences, tokens of each, measured rounds.
CASES = [("float32", 4, 256, 7), ("bfloat16", 4, 256, 5)]


def run() -> dict[str, Any]:
    """Measure each case; the worst is the result."""
    rows = []
    for vocabulary in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            _write(folder, vocabulary)
            rows += [_compare(folder, *case) for case in CASES]
    worst = min(rows, key=lambda row: float(row["ratio"]))
    return {
        **{key: worst[key] for key in ("ours", "peer", "unit", "ratio")},
        "rows": rows,
        "target": f"peer / ours >= {TARGET} in each",
        "ok": all(row["ratio"] >= TARGET for row in rows),
        "versions": versions("nemo-llm", "torch", "transformers", "megatron-core"),
    }


def _write(folder: str, vocabulary: int) -> None:
    """Write the model that both sides read."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"vocab_size": vocabulary, "max_position_embeddings": 2048, **SHAPES[vocabulary]}
    LlamaForCausalLM(LlamaConfig(**shape, eos_token_id=None, bos_token_id=None)).save_pretrained(folder)


def _vocabulary(folder: str) -> int:
    return int(json.loads(Path(folder, "config.json").read_text())["vocab_size"])


def _compare(folder: str, dtype: str, rows: int, length: int, rounds: int) -> dict[str, Any]:
    arguments = [folder, dtype, str(rows), str(length)]
    with _Side(["ours", *arguments]) as ours, _Side(["transformers", *arguments]) as peer:
        answers = [(ours.work(), peer.work()) for _ in range(1 + rounds)]
    first, second = ([each["seconds"] for each in side][1:] for side in zip(*answers, strict=True))
    return {
        "what": f"{dtype}, {_vocabulary(folder)} words, {rows} x {length} tokens",
        "ours": round(statistics.median(first), 3),
        "peer": round(statistics.median(second), 3),
        "unit": "s",
        "ratio": round(statistics.median(b / a for a, b in zip(first, second, strict=True)), 3),
        "losses differ": f"{max(abs(a['loss'] - b['loss']) / b['loss'] for a, b in answers):.1e}",
    }


class _Side:
    """A process that takes a step when told to."""

    def __init__(self, arguments: list[str]) -> None:
        script = Path(__file__).parent / "sides" / "training.py"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def __enter__(self) -> _Side:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def work(self) -> dict[str, Any]:
        """Take a step."""
        assert self._process.stdin is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._answer())
        return found

    def _answer(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:  # libraries print as well
            if line.startswith("@"):
                return line[1:]
        raise RuntimeError(f"{self._process.args} ended:\n{self._process.communicate()[1][-3000:]}")
