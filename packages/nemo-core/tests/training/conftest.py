"""A server of processes that have torch loaded, so that tests can train, kill and resume real ones cheaply."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import socket
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
        return self.finish([self.start(config, **environment)])[0]

    def run_two(self, config: dict, launcher: str = "torchrun", **environment: str) -> list[int]:
        """Train in two processes, with what torchrun or srun would tell them; if one dies, so does the other."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        if launcher == "torchrun":
            world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
            ranks = [{"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": "0"} for rank in "01"]
        else:
            world = {
                "SLURM_JOB_ID": "4711",
                "SLURM_JOB_NAME": "tiny",
                "SLURM_NODELIST": "localhost",
                "SLURM_NNODES": "1",
            }
            world |= {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODEID": "0"}
            ranks = [{"SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in "01"]
        return self.finish([self.start(config, **environment, **address, **world, **rank) for rank in ranks])

    def finish(self, processes: list) -> list[int]:
        """Wait for all; where one was killed, kill the rest."""
        for _ in range(1200):
            multiprocessing.connection.wait([each.sentinel for each in processes if each.is_alive()], 0.1)
            codes = [each.exitcode for each in processes]
            if None not in codes:
                return codes
            if any(code is not None and code < 0 for code in codes):
                for each in processes:
                    each.kill()
        for each in processes:
            each.kill()
        raise AssertionError("training hangs")


@pytest.fixture(scope="session")
def processes():
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "PYTHONPATH")}
    os.environ["OMP_NUM_THREADS"] = "1"  # sums must be made in one order to be compared bit by bit
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SUPPORT), before["PYTHONPATH"]]))
    yield Processes()
    # Else it ends when it notices that this process has; the standard library's own tests stop it so.
    multiprocessing.forkserver._forkserver._stop()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
