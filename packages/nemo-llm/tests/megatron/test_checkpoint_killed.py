"""Killed at any moment of a save, a training loses at most the steps that were not saved, and goes on exactly."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import checkpoint_work as work

from nemo_core.training.checkpoint_folder import find_damage
from nemo_core.training.checkpoint_io import newest_valid, read_checkpoint
from nemo_llm.megatron import Layout

SUPPORT = Path(__file__).parent / "support"
STEPS = 30


@pytest.fixture(scope="module")
def children() -> Iterator[Any]:
    """Return what starts processes that have the engine loaded: forked from one that has it."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SUPPORT), before]))
    sys.path.insert(0, str(SUPPORT))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["checkpoint_child"])

    def start(folder: Path, layout: Layout, world: int = 1) -> list[Any]:
        from checkpoint_child import train

        folder.mkdir(exist_ok=True)
        store = str(folder.with_name(f"store-{time.monotonic_ns()}"))
        processes = [
            context.Process(target=train, args=(str(folder), STEPS, layout, rank, world, store))
            for rank in range(world)
        ]
        for process in processes:
            process.start()
        return processes

    yield start
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]
    sys.path.remove(str(SUPPORT))
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def saved(folder: Path) -> int:
    path = folder / "saved"
    lines = path.read_text().split() if path.exists() else []
    return int(lines[-1]) if lines else 0


def finish(processes: list[Any], seconds: float = 300.0) -> list[int | None]:
    for process in processes:
        process.join(seconds)
    return [process.exitcode for process in processes]


def killed(children: Any, folder: Path, layout: Layout, world: int, rounds: int, dice: random.Random) -> None:
    """Start and kill, time and again, at moments that are all over a step and its save."""
    for _ in range(rounds):
        before, processes = saved(folder), children(folder, layout, world)
        deadline = time.monotonic() + 120
        while saved(folder) < before + 2 and any(each.is_alive() for each in processes):
            assert time.monotonic() < deadline, "training hangs"
            time.sleep(0.002)
        time.sleep(dice.random() * 0.08)
        confirmed = saved(folder)
        for process in processes:
            process.kill()
        finish(processes)
        newest = newest_valid(folder)
        assert newest is not None
        assert read_checkpoint(newest)["global_step"] >= confirmed
        assert find_damage(newest) is None


def same(one: Path, other: Path) -> bool:
    first, second = work.whole(one / "last.ckpt"), work.whole(other / "last.ckpt")
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_one_process(children: Any, tmp_path: Path) -> None:
    assert finish(children(tmp_path / "whole", Layout())) == [0]
    killed(children, tmp_path / "killed", Layout(), 1, rounds=5, dice=random.Random(1))
    assert finish(children(tmp_path / "killed", Layout())) == [0]
    assert same(tmp_path / "whole", tmp_path / "killed")
    names = {path.name for path in (tmp_path / "killed").iterdir()}
    assert names == {"last.ckpt", "last-previous.ckpt", "saved"}, "nothing half-written is left"


def test_two_processes(children: Any, tmp_path: Path) -> None:
    layout = Layout(tensor=2)
    killed(children, tmp_path / "killed", layout, 2, rounds=2, dice=random.Random(2))
    assert finish(children(tmp_path / "killed", layout, 2)) == [0, 0]
    assert read_checkpoint(tmp_path / "killed" / "last.ckpt")["global_step"] == STEPS


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(10))
def test_one_process_at_many_moments(children: Any, tmp_path: Path, seed: int) -> None:
    killed(children, tmp_path / "killed", Layout(), 1, rounds=12, dice=random.Random(seed))
