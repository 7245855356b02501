"""The loss of llm/tiny_shakespeare over its first 20 steps in every layout, against one process.

Each layout is a run of ``nemo train`` as a person types it, with as many processes as the layout takes; the first row
of the same model in one process is what the others are compared with. ``layouts`` in docs/benchmarks is this table.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nemo_core.cli.output import progress

STEPS = 20
LIMIT = 1e-4
MIXTURE = "mixture={count:4,per_token:2,ffn_size:256}"
# name -> processes, whether the model has experts, overrides
LAYOUTS: dict[str, tuple[int, bool, list[str]]] = {
    "one process": (1, False, []),
    "TP2": (2, False, ["tensor_parallel=2"]),
    "TP2 SP": (2, False, ["tensor_parallel=2", "sequence_parallel=true"]),
    "PP2": (2, False, ["pipeline_parallel=2"]),
    "PP2 VP2": (2, False, ["pipeline_parallel=2", "virtual_pipeline=2"]),
    "CP2 all-gather": (2, False, ["context_parallel=2"]),
    "CP2 ring": (2, False, ["context_parallel=2", "context_mode=ring"]),
    "DP2": (2, False, ["sharding=none"]),
    "DP2 distributed optimizer": (2, False, ["sharding=optimizer"]),
    "DP2 FSDP2": (2, False, ["sharding=fsdp2"]),
    "TP2 PP2": (4, False, ["tensor_parallel=2", "pipeline_parallel=2"]),
    "TP2 PP2 VP2 SP": (
        4,
        False,
        ["tensor_parallel=2", "pipeline_parallel=2", "virtual_pipeline=2", "sequence_parallel=true"],
    ),
    "TP2 CP2": (4, False, ["tensor_parallel=2", "context_parallel=2"]),
    "TP2 DP2 distributed optimizer": (4, False, ["tensor_parallel=2"]),
    "PP2 CP2 ring": (4, False, ["pipeline_parallel=2", "context_parallel=2", "context_mode=ring"]),
    "PP2 VP2 DP2": (4, False, ["pipeline_parallel=2", "virtual_pipeline=2"]),
    "CP2 DP2": (4, False, ["context_parallel=2"]),
    "DP4 FSDP2": (4, False, ["sharding=fsdp2"]),
    "experts, one process": (1, True, []),
    "experts, EP2": (2, True, ["expert_parallel=2"]),
    "experts, EP2 all-to-all": (
        2,
        True,
        ["expert_parallel=2", "+engine.moe_token_dispatcher_type=alltoall"],
    ),
    "experts, EP2 PP2": (4, True, ["expert_parallel=2", "pipeline_parallel=2"]),
    "experts, EP2 TP2 SP": (4, True, ["expert_parallel=2", "tensor_parallel=2", "sequence_parallel=true"]),
}


def run() -> dict[str, Any]:
    """Train in every layout, and compare."""
    rows: list[dict[str, Any]] = []
    expected: dict[bool, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, progress("Training", total=len(LAYOUTS)) as advance:
        for name, (processes, experts, overrides) in LAYOUTS.items():
            found = losses(Path(folder) / name.replace(" ", "-").replace(",", ""), processes, experts, overrides)
            one = expected.setdefault(experts, found)
            worst = max(abs(loss - other) / other for loss, other in zip(found, one, strict=True))
            rows.append(
                {
                    "what": name,
                    "processes": processes,
                    "first": f"{found[0]:.6f}",
                    "last": f"{found[-1]:.6f}",
                    "ours": f"{worst:.1e}",
                    "unit": f"largest relative difference of {STEPS} losses",
                    "ok": worst <= LIMIT,
                }
            )
            advance(1)
    worst_of_all = max(float(row["ours"]) for row in rows)
    return {
        "ours": worst_of_all,
        "peer": None,
        "unit": "largest relative difference",
        "target": f"<= {LIMIT:.0e}",
        "ok": all(row["ok"] for row in rows),
        "rows": rows,
    }


def losses(folder: Path, processes: int, experts: bool, overrides: list[str]) -> list[float]:
    """Return the training losses of a run."""
    command = [
        *(sys.executable, "-W", "ignore", "-m", "nemo_core.cli.main", "train", "llm/tiny_shakespeare"),
        *("--nproc", str(processes), f"trainer.max_steps={STEPS}", "trainer.log_every_n_steps=1"),
        *("trainer.limit_val_batches=0", "trainer.enable_progress_bar=false", f"experiment.dir={folder}"),
        *("experiment.archive=false", "experiment.checkpoint.enable=false", "experiment.tensorboard=false"),
        *([MIXTURE] if experts else []),
        *(f"{'+' if each.startswith('+') else ''}strategy.{each.lstrip('+')}" for each in overrides),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    with (folder / "tiny_shakespeare" / "v1" / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file) if row.get("train_loss")]
