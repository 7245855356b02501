"""Domain packages side by side: any import order works, one registry holds them all, nothing claims a name twice.

``NEMO_TEST_PACKAGES`` names what the environment is meant to hold (``asr,tts``); without it, what is installed counts.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import subprocess
import sys

import pytest

DOMAINS = ("asr", "tts", "llm", "mm")


def expected() -> tuple[str, ...]:
    named = os.environ.get("NEMO_TEST_PACKAGES")
    if named:
        return tuple(named.split(","))
    return tuple(name for name in DOMAINS if importlib.util.find_spec(f"nemo_{name}"))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120)


def nemo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "nemo_core.cli.main", *arguments)


def test_what_is_meant_to_be_here_is_here_and_nothing_else() -> None:
    present = {name for name in DOMAINS if importlib.util.find_spec(f"nemo_{name}")}
    needed = {"llm"} if "mm" in expected() else set()
    assert set(expected()) <= present <= set(expected()) | needed


@pytest.mark.parametrize("order", list(itertools.permutations(expected(), 2)) or [expected()], ids="-".join)
def test_either_import_order_works_and_stays_light(order: tuple[str, ...]) -> None:
    imports = "; ".join(f"import nemo_{name}, nemo_{name}.plugin" for name in order)
    done = run("-c", f"{imports}; import sys; print('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"


def test_one_list_holds_every_plugin_and_no_name_clashes() -> None:
    done = nemo("plugins", "list", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    listed = json.dumps(json.loads(done.stdout))
    for name in ("core", *expected()):
        assert f"nemo-{name}" in listed


@pytest.mark.parametrize("name", expected())
def test_each_package_passes_the_conformance_kit_beside_the_others(name: str) -> None:
    done = nemo("plugins", "check", f"nemo-{name}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_package_switched_off_leaves_the_others_alone() -> None:
    first = expected()[0]
    done = subprocess.run(
        [sys.executable, "-m", "nemo_core.cli.main", "plugins", "list", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NEMO_PLUGINS": f"core,{first}"},
    )
    assert done.returncode == 0, done.stderr
    for name in expected()[1:]:
        assert f"nemo-{name}" not in done.stdout
    assert f"nemo-{first}" in done.stdout
