"""The harness of the benchmarks: both sides measured in turn in one run, medians, a table, and one line of JSON.

A package's ``benchmarks/run.py`` hands its folder to :func:`main`; every other module in that folder is a benchmark:
its docstring's first line says what it measures, and its ``run()`` returns a dict with

- ``ours``, ``peer``: the two numbers, in ``unit``;
- ``target``: in words, what must hold, and ``ok``: whether it does;
- ``ratio``: ``ours / peer``, if that is not what the numbers give; ``versions``: of what takes part, likewise;
- ``rows``: lines of the table, if there is more to show than the two numbers: dicts with the same keys.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nemo_core.cli.output import progress, table

__all__ = ["in_turn", "main", "process_seconds", "seconds", "versions"]


def main(folder: str | Path, arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark named on the command line, or list all; exit code 1 if it misses its target."""
    found = {path.stem: path for path in sorted(Path(folder).glob("*.py")) if path.stem != "run"}
    parser = argparse.ArgumentParser(description="Run a benchmark; without a name, list them.")
    parser.add_argument("name", nargs="?", choices=found)
    parser.add_argument("--names", action="store_true", help="print the names only")
    options = parser.parse_args(arguments)
    if options.names:
        print("\n".join(found))
    elif options.name is None:
        table("", ["benchmark", "what it measures"], [(name, _summary(path)) for name, path in found.items()])
    else:
        result = {"benchmark": options.name, **_load(found[options.name]).run()}
        _report(result)
        raise SystemExit(not result["ok"])


def in_turn(sides: Mapping[str, Callable[[], float]], rounds: int = 7, warmup: int = 1) -> dict[str, float]:
    """Measure several things in turn, round after round, so that what else the machine does meets all alike.

    Args:
        sides: Name -> function that measures once and returns the number.
        rounds: Measurements of each.
        warmup: Rounds before that, which do not count.

    Returns:
        Name -> median.

    Example:
        >>> in_turn({"one": lambda: 1.0, "two": lambda: 2.0}, rounds=3)
        {'one': 1.0, 'two': 2.0}
    """
    measured: dict[str, list[float]] = {name: [] for name in sides}
    with progress("Measuring", total=(warmup + rounds) * len(sides)) as advance:
        for number in range(warmup + rounds):
            for name, measure in sides.items():
                value = measure()
                if number >= warmup:
                    measured[name].append(value)
                advance(1)
    return {name: statistics.median(values) for name, values in measured.items()}


def seconds(function: Callable[[], object], repeats: int = 1) -> Callable[[], float]:
    """Return a function that measures ``function``: seconds per call over ``repeats`` calls."""

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            function()
        return (time.perf_counter() - start) / repeats

    return measure


def process_seconds(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> Callable[[], float]:
    """Return a function that runs a process from start to exit and returns the seconds it took.

    Raises:
        RuntimeError: The process fails; what it wrote is in the message.
    """

    def measure() -> float:
        start = time.perf_counter()
        done = subprocess.run(arguments, env={**os.environ, **(environ or {})}, capture_output=True, text=True)
        taken = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return taken

    return measure


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of Python and of installed distributions.

    >>> sorted(versions("pluggy"))
    ['pluggy', 'python']
    """
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in distributions}}


def _report(result: dict[str, Any]) -> None:
    rows = result.pop("rows", None) or [result]
    for row in (*rows, result):
        if row.get("peer") and "ratio" not in row:
            row["ratio"] = row["ours"] / row["peer"]
    result.setdefault("versions", versions("nemo-core", "torch", "pytorch-lightning"))
    columns = [key for key in ("benchmark", "what", "ours", "peer", "unit", "ratio", "target", "ok") if key in rows[0]]
    extra = [key for key in rows[0] if key not in columns and key != "versions"]
    table("", columns + extra, [[row.get(key) for key in columns + extra] for row in rows])
    order = ("benchmark", "ours", "peer", "unit", "ratio", "target", "ok", "versions")
    print(json.dumps({key: result.get(key) for key in order} | result), flush=True)


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def _load(path: Path) -> Any:
    sys.path.insert(0, str(path.parent))  # a benchmark may share code with its neighbours
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
