"""The harness of the benchmarks: order of measuring, tables, the line of JSON, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nemo_core.testing import bench

RUN = "from pathlib import Path\nfrom nemo_core.testing.bench import main\nmain(Path(__file__).parent)\n"
GOOD = '''"""How fast good is.

More about it.
"""

def run():
    return {"ours": 2.0, "peer": 4.0, "unit": "s", "target": "<= 1", "ok": True}
'''
BAD = '''"""How slow bad is."""

def run():
    return {"ours": 2.0, "peer": 1.0, "unit": "s", "target": "<= 1", "ok": False, "note": "x"}
'''
HEAVY = '"""Not imported to be listed."""\n1 / 0'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "run": RUN,
        "good": GOOD,
        "bad": BAD,
        "heavy": '"""Not imported to be listed."""\n1 / 0',
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(folder / "run.py"), *arguments], capture_output=True, text=True)


def test_without_a_name_they_are_listed(folder: Path) -> None:
    lines = run(folder).stdout.splitlines()
    assert [" ".join(line.split()) for line in lines[2:]] == [
        "bad How slow bad is.",
        "good How fast good is.",
        "heavy Not imported to be listed.",
    ]
    assert run(folder, "--names").stdout.split() == ["bad", "good", "heavy"]


def test_a_benchmark_ends_with_a_line_of_json(folder: Path) -> None:
    done = run(folder, "good")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert list(result) == ["benchmark", "ours", "peer", "unit", "ratio", "target", "ok", "versions"]
    assert (result["benchmark"], result["ratio"], result["ok"]) == ("good", 0.5, True)
    assert {"python", "nemo-core", "torch"} <= set(result["versions"])
    assert "good" in done.stdout.splitlines()[2]


def test_missing_the_target_is_exit_code_1(folder: Path) -> None:
    done = run(folder, "bad")
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["note"] == "x"


def test_an_unknown_name(folder: Path) -> None:
    done = run(folder, "godo")
    assert done.returncode == 2
    assert "good" in done.stderr


def test_sides_are_measured_in_turn() -> None:
    calls: list[str] = []

    def side(name: str, values: list[float]):  # type: ignore[no-untyped-def]
        def measure() -> float:
            calls.append(name)
            return values[calls.count(name) - 1]

        return measure

    medians = bench.in_turn({"a": side("a", [99, 1, 3, 2]), "b": side("b", [99, 10, 30, 20])}, rounds=3, warmup=1)
    assert calls == ["a", "b"] * 4
    assert medians == {"a": 2, "b": 20}, "the warm-up does not count"


def test_seconds_are_per_call() -> None:
    calls = []
    assert bench.seconds(lambda: calls.append(1), repeats=10)() > 0
    assert len(calls) == 10


def test_a_process_that_fails_is_no_measurement() -> None:
    assert bench.process_seconds([sys.executable, "-c", "pass"])() > 0
    with pytest.raises(RuntimeError, match="went wrong"):
        bench.process_seconds([sys.executable, "-c", "raise SystemExit('it went wrong')"])()
    measure = bench.process_seconds(
        [sys.executable, "-c", "import os; os.environ['NEMO_TEST_X']"], {"NEMO_TEST_X": "1"}
    )
    assert measure() > 0


def test_the_benchmarks_of_nemo_core_are_described() -> None:
    folder = Path(__file__).parents[2] / "benchmarks"
    names = run(folder, "--names").stdout.split()
    assert {"imports", "cli", "typed", "graph"} <= set(names)
    described = run(folder).stdout.splitlines()[2:]
    assert all(len(line.split()) > 4 for line in described)
