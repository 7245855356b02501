"""The loss of a small vision-language model over its first 20 steps in every layout, against one process.

Processes of this machine's processors, on made-up pictures and tokens; each row of a batch has none, one or two
pictures, and counts another number of tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nemo_core.cli.output import progress
from nemo_llm.megatron import Layout
from nemo_llm.testing import Ranks, train_steps

STEPS, LIMIT = 20, 1e-4
ARCHITECTURE = {
    "media_token": 60,
    "vision": {"image_size": [28, 28], "patch_size": 14, "width": 32, "layers": 2, "heads": 4},
    "language": {"vocab_size": 61, "hidden_size": 32, "num_layers": 4, "num_heads": 4, "num_kv_heads": 2,
                 "ffn_size": 64},
}  # fmt: skip
#: Name -> processes, layout, options.
LAYOUTS: dict[str, tuple[int, Layout, dict[str, Any]]] = {
    "TP2": (2, Layout(tensor=2), {}),
    "TP2 SP": (2, Layout(tensor=2, sequence_parallel=True), {}),
    "PP2": (2, Layout(pipeline=2), {}),
    "PP2 VP2": (2, Layout(pipeline=2, virtual_pipeline=2), {}),
    "CP2 all-gather": (2, Layout(context=2), {}),
    "CP2 ring": (2, Layout(context=2), {"context_mode": "ring"}),
    "DP2": (2, Layout(), {"sharding": "none"}),
    "DP2 distributed optimizer": (2, Layout(), {}),
    "DP2 FSDP2": (2, Layout(), {"sharding": "fsdp2"}),
    "TP2 SP, recomputed": (2, Layout(tensor=2, sequence_parallel=True), {"recompute": "full"}),
    "TP2 PP2": (4, Layout(tensor=2, pipeline=2), {}),
    "TP2 PP2 VP2 SP": (4, Layout(tensor=2, pipeline=2, virtual_pipeline=2, sequence_parallel=True), {}),
    "TP2 CP2 SP": (4, Layout(tensor=2, context=2, sequence_parallel=True), {}),
    "TP2 DP2 distributed optimizer": (4, Layout(tensor=2), {}),
    "PP2 CP2 ring": (4, Layout(pipeline=2, context=2), {"context_mode": "ring"}),
    "DP4 FSDP2": (4, Layout(), {"sharding": "fsdp2"}),
}


def run() -> dict[str, Any]:
    """Train in every layout, and compare."""
    one = losses(Layout(), sharding="none")
    rows = [_row("one process", 1, one, one)]
    with Ranks(2, timeout=600) as two, Ranks(4, timeout=600) as four, progress("Training", total=len(LAYOUTS)) as done:
        for name, (processes, layout, options) in LAYOUTS.items():
            found = (two if processes == 2 else four).run(losses, layout, **options)[0]
            rows.append(_row(name, processes, found, one))
            done(1)
    return {
        "ours": max(float(row["ours"]) for row in rows),
        "peer": None,
        "unit": "largest relative difference",
        "target": f"<= {LIMIT:.0e}",
        "ok": all(row["ok"] for row in rows),
        "rows": rows,
    }


def _row(name: str, processes: int, found: list[float], one: list[float]) -> dict[str, Any]:
    worst = max(abs(loss - other) / other for loss, other in zip(found, one, strict=True))
    return {
        "what": name,
        "processes": processes,
        "first": f"{found[0]:.6f}",
        "last": f"{found[-1]:.6f}",
        "ours": f"{worst:.1e}",
        "unit": f"largest relative difference of {STEPS} losses",
        "ok": worst <= LIMIT,
    }


def losses(layout: Layout, **options: Any) -> list[float]:
    """Return the losses of a training."""
    return [loss for loss, _ in train_steps(_model, batch, layout, steps=STEPS, lr=3e-3, **options)]


def _model() -> Any:
    from nemo_mm.models.vision_language import VisionLanguageModel

    return VisionLanguageModel(ARCHITECTURE, seed=1)


def batch(step: int, rows: int = 8, length: int = 24) -> dict[str, Tensor]:
    """Return a batch: a picture of 2 x 2 patches has four places."""
    generator = torch.Generator().manual_seed(step % 4)  # few batches, so that 20 steps learn them
    tokens = torch.randint(0, 60, (rows, length + 1), generator=generator)
    counts = torch.arange(rows) % 3
    for row in range(rows):
        for start in (1 + row % 3, 10 + row % 5)[: int(counts[row])]:
            tokens[row, start : start + 4] = 60
    learned = (torch.arange(length)[None] < torch.arange(8, 8 + rows)[:, None]) & (tokens[:, 1:] != 60)
    return {
        "tokens": tokens[:, :-1],
        "labels": tokens[:, 1:],
        "loss_mask": learned.float(),
        "pixels": torch.randint(0, 256, (rows, 2, 3, 28, 28), dtype=torch.uint8, generator=generator),
        "pixel_counts": counts,
    }
