"""What a training run returns."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["RunResult"]


@dataclass(frozen=True)
class RunResult:
    """The outcome of a run.

    Attributes:
        run_dir: Folder of the run.
        status: ``finished``, or why it stopped early: ``preempted`` (a signal), ``max_time``, ``interrupted`` (Ctrl-C).
        metrics: Last value of each metric, of training, validation and test.
        archive: The model archive, if one was written.
        seconds: Time spent in this process, not in earlier ones that it resumed.
        steps: Optimiser steps of the whole run.
        steps_per_second: Optimiser steps of this process over the time of its training loop.
        best: Checkpoint with the best weights, if any.
        resumed_from: Checkpoint that the run went on from, if any.
    """

    run_dir: Path
    status: Literal["finished", "preempted", "max_time", "interrupted"] = "finished"
    metrics: dict[str, float] = field(default_factory=dict)
    archive: Path | None = None
    seconds: float = 0.0
    steps: int = 0
    steps_per_second: float = 0.0
    best: Path | None = None
    resumed_from: Path | None = None

    def to_json(self) -> str:
        """Return this result as JSON text."""
        return json.dumps(
            {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}, indent=2
        )

    @classmethod
    def from_json(cls, text: str) -> RunResult:
        """Return what :meth:`to_json` wrote.

        >>> result = RunResult(Path("runs/demo/v1"), metrics={"val_loss": 0.5})
        >>> RunResult.from_json(result.to_json()) == result
        True
        """
        values: dict[str, Any] = json.loads(text)
        for name in ("run_dir", "archive", "best", "resumed_from"):
            if values[name] is not None:
                values[name] = Path(values[name])
        return cls(**values)
