"""Metrics as a CSV file that grows line by line and survives being killed and resumed."""

from __future__ import annotations

import csv
import math
from argparse import Namespace
from collections import defaultdict
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from nemo_core._files import replacing

__all__ = ["CSVLog", "read_metrics"]


class CSVLog(Logger):
    """Writes ``step,epoch,<metric>,...``: a line per step at which something is logged.

    A line is on disk as soon as it is logged. When a run goes on from a checkpoint, the lines of the steps that it does
    again are replaced.

    Args:
        path: The CSV file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._fields: list[str] = []
        self._resuming = path.exists()

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """No versions: the run folder has one."""
        return ""

    @property
    def log_dir(self) -> str:
        """Folder of the file."""
        return str(self.path.parent)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run folder holds the whole configuration."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add a line."""
        if self._resuming:
            self._forget_from(step or 0)
        row = {"step": step, **{name: float(value) for name, value in metrics.items()}}
        if not self._fields or any(name not in self._fields for name in row):
            self._rewrite([name for name in row if name not in self._fields])
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._fields).writerow(row)

    def _forget_from(self, step: int) -> None:
        """Drop the lines of ``step`` and later, which were logged after the checkpoint that the run goes on from."""
        self._resuming = False
        rows = self._rows()
        self._write([row for row in rows if row.get("step") and int(row["step"]) < step])

    def _rewrite(self, new_fields: list[str]) -> None:
        rows = self._rows() if self.path.exists() else []
        order = {"step": 0, "epoch": 1}
        self._fields = sorted(self._fields + new_fields, key=lambda name: order.get(name, 2))
        self._write(rows)

    def _rows(self) -> list[dict[str, str]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            if not self._fields:
                self._fields = list(reader.fieldnames or [])
        return rows

    def _write(self, rows: list[dict[str, str]]) -> None:
        with replacing(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._fields, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


def read_metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the finite values of each metric in a file of :class:`CSVLog` as (step, value) pairs."""
    series: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if name not in ("step", None) and text and row.get("step"):
                    value = float(text)
                    if math.isfinite(value):
                        series[name].append((int(row["step"]), value))
    return dict(series)
