"""A server of processes that have torch loaded, so that tests can train, kill and resume real ones cheaply."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent / "support"
if str(SUPPORT) not in sys.path:
    sys.path.insert(0, str(SUPPORT))


def deep_merge(base: dict, changes: dict) -> dict:
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = deep_merge(base.get(key) or {}, value) if isinstance(value, dict) else value
    return merged


@pytest.fixture
def recipe(tmp_path):
    """Return a function that makes a configuration: a small one, with changes."""

    def make(**changes) -> dict:
        base = {
            "name": "tiny",
            "trust": ["tiny_training"],
            "model": {"_target_": "tiny_training.Tiny"},
            "data": {"_target_": "tiny_training.WavesData", "batch_size": 4},
            "optim": {"name": "adamw", "lr": 0.01},
            "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False},
            "experiment": {"dir": str(tmp_path / "runs"), "tensorboard": False, "curve": False},
        }
        base["trainer"]["enable_model_summary"] = False
        return deep_merge(base, changes)

    return make


class Processes:
    """Runs ``nemo_core.training.train`` in processes of their own."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["nemo_core.training.run", "tiny_training", "train_child"])

    def start(self, config: dict, **environment: str):
        from train_child import child

        process = self.context.Process(target=child, args=(config, environment))
        process.start()
        return process

    def run(self, config: dict, **environment: str) -> int:
        process = self.start(config, **environment)
        process.join(120)
        if process.is_alive():
            process.kill()
            raise AssertionError("training hangs")
        return process.exitcode


@pytest.fixture(scope="session")
def processes():
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "PYTHONPATH")}
    os.environ["OMP_NUM_THREADS"] = "1"  # sums must be made in one order to be compared bit by bit
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SUPPORT), before["PYTHONPATH"]]))
    yield Processes()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
