"""Several processes: who started them, how many there are, and starting them where nobody has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TypeVar, cast

import torch
from torch import distributed

from nemo_core.config.schema import TrainerConfig
from nemo_core.errors import ConfigError, NemoError, TrainingError
from nemo_core.training.result import RunResult

__all__ = ["World", "join_world", "local_processes", "spawn"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class World:
    """The processes that train together.

    Attributes:
        rank: Number of this one.
        size: How many there are.
        local_size: How many there are on this machine.
        launched: Whether a launcher (torchrun, Slurm) started them.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1
    launched: bool = False

    def share(self, value: _T) -> _T:
        """Return rank 0's ``value`` on every rank."""
        if self.size == 1:
            return value
        box: list[_T] = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def agree(self, decide: Callable[[], _T]) -> _T:
        """Return on every rank what ``decide`` returns on rank 0, or raise there what it raises."""
        if self.size == 1:
            return decide()
        outcome: tuple[_T | None, NemoError | None] = (None, None)
        if self.rank == 0:
            try:
                outcome = (decide(), None)
            except NemoError as error:
                outcome = (None, error)
        value, problem = self.share(outcome)
        if problem is not None:
            raise problem
        return cast(_T, value)


def local_processes(trainer: TrainerConfig) -> int:
    """Return how many processes ``trainer.devices`` asks for on this machine."""
    on_gpu = trainer.accelerator in ("gpu", "cuda") or (trainer.accelerator == "auto" and torch.cuda.is_available())
    devices = trainer.devices
    if devices in ("auto", -1, "-1", None):
        return max(1, torch.cuda.device_count()) if on_gpu else 1
    try:
        count = int(devices)
    except (TypeError, ValueError):
        count = 0
    if count < 1:
        raise ConfigError(f"trainer.devices: {devices!r} is not a number of processes", hint="give 1, 2, ... or auto")
    if on_gpu and count > torch.cuda.device_count():
        raise ConfigError(
            f"trainer.devices: {count} GPUs are asked for, and this machine has {torch.cuda.device_count()}",
            hint="lower trainer.devices, or set trainer.accelerator=cpu",
        )
    return count


@contextmanager
def join_world(trainer: TrainerConfig) -> Iterator[World]:
    """Join the other processes, if a launcher started several, and leave them at the end.

    They are joined before anything else happens, so that one run folder and one checkpoint are agreed on.
    """
    environment = _launcher_environment()
    if environment is None:
        yield World()
        return
    rank, size, local_rank, local_size = environment
    on_gpu = trainer.accelerator != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(local_rank)
    if size == 1:
        yield World(launched=True)
        return
    # gloo for what lives on the CPU (objects, flags), NCCL for gradients on GPUs.
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    distributed.init_process_group(backend, rank=rank, world_size=size, timeout=timedelta(minutes=30))
    try:
        yield World(rank, size, local_size, launched=True)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _launcher_environment() -> tuple[int, int, int, int] | None:
    """Return rank, number of processes, rank on this machine and number on this machine, as the launcher says."""
    env = os.environ
    if "RANK" in env and "WORLD_SIZE" in env:  # torchrun, and what imitates it
        size = int(env["WORLD_SIZE"])
        return int(env["RANK"]), size, int(env.get("LOCAL_RANK", 0)), int(env.get("LOCAL_WORLD_SIZE", size))
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    if SLURMEnvironment.detect() and int(env.get("SLURM_NTASKS", 1)) > 1:
        slurm = SLURMEnvironment(auto_requeue=False)
        os.environ.setdefault("MASTER_ADDR", slurm.main_address)
        os.environ.setdefault("MASTER_PORT", str(slurm.main_port))
        local_size = int(env.get("SLURM_NTASKS_PER_NODE", slurm.world_size() // int(env.get("SLURM_NNODES", 1))))
        return slurm.global_rank(), slurm.world_size(), slurm.local_rank(), local_size
    return None


def spawn(config_yaml: str, overrides: Sequence[str], processes: int) -> RunResult:
    """Train in ``processes`` new processes on this machine and return what they report.

    Signals that ask this process to stop are passed on.

    Raises:
        TrainingError: They failed; if they can say why, the error says it.
        ConfigError: They refused the configuration.
    """
    with tempfile.TemporaryDirectory(prefix="nemo-train-") as folder:
        config, result = Path(folder, "config.yaml"), Path(folder, "result.json")
        config.write_text(config_yaml, encoding="utf-8")
        command = [
            *(sys.executable, "-m", "nemo_core.training.launcher", str(processes), sys.executable),
            *("-m", "nemo_core.train", "--resolved", str(config), "--result", str(result)),
            *overrides,
        ]
        # The launcher would set this to 1; on CPUs the cores are better shared.
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // processes))
        child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": threads})
        with _forward_signals(child):
            code = child.wait()
        if not result.exists():
            raise TrainingError(f"training in {processes} processes ended with exit code {code}")
        text = result.read_text(encoding="utf-8")
    if text.startswith('{"error"'):
        error = json.loads(text)["error"]
        kind = ConfigError if error["exit_code"] == ConfigError.exit_code else TrainingError
        raise kind(error["message"], hint=error["hint"])
    return RunResult.from_json(text)


@contextmanager
def _forward_signals(child: subprocess.Popen[bytes]) -> Iterator[None]:
    def forward(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    try:
        before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: nobody sends us signals here
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if child.poll() is None:
            child.terminate()
