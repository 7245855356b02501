"""The folder of a run: where it is, what it is told, and whether it may be gone on with."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from nemo_core._files import write_atomically
from nemo_core.errors import ConfigError

__all__ = ["RunFolder", "config_hash"]

# What may differ between a run and its continuation: it changes neither the batches nor the arithmetic.
_FREE_TRAINER_KEYS = {"enable_progress_bar", "enable_model_summary", "log_every_n_steps", "profiler"}
_FREE_DATA_KEYS = {"num_workers", "prefetch", "pin_memory"}
_BINDING_EXPERIMENT_KEYS = {"ema", "early_stopping", "monitor", "mode", "nan"}


def config_hash(config: Mapping[str, Any]) -> str:
    """Return a name for everything in ``config`` that the result of a training depends on.

    >>> a = config_hash({"name": "x", "data": {"num_workers": 0}, "experiment": {"dir": "runs"}})
    >>> a == config_hash({"name": "x", "data": {"num_workers": 4}, "experiment": {"dir": "elsewhere"}})
    True
    >>> a == config_hash({"name": "x", "data": {"num_workers": 0, "batch_size": 2}})
    False
    """
    binding = {key: value for key, value in config.items() if key not in ("recipe", "trust")}
    for section, free in (("trainer", _FREE_TRAINER_KEYS), ("data", _FREE_DATA_KEYS)):
        values = binding.get(section)
        if isinstance(values, Mapping):
            binding[section] = {key: value for key, value in values.items() if key not in free}
    if isinstance(binding.get("experiment"), Mapping):
        binding["experiment"] = {
            key: value for key, value in binding["experiment"].items() if key in _BINDING_EXPERIMENT_KEYS
        }
    # An empty section and none are the same.
    binding = {key: value for key, value in binding.items() if value not in ({}, None)}
    return hashlib.sha256(json.dumps(binding, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass
class RunFolder:
    """One run's folder, ``<dir>/<name>/<version>``.

    It holds ``config.yaml`` (resolved), ``overrides.txt``, ``environment.json``, ``run.json`` (status), ``train.log``,
    ``metrics.csv``, ``metrics.json``, ``curve.png``, ``tensorboard/``, ``checkpoints/`` and ``model.nemo``.

    Attributes:
        path: The folder.
        resumed: Whether it was there already and is gone on with.
    """

    path: Path
    resumed: bool = False
    _lock: IO[str] | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``failed``, or why it stopped; ``unknown`` where nothing is noted."""
        return str(_read(self.path / "run.json").get("status", "unknown"))

    @classmethod
    def open(cls, config: Mapping[str, Any], *, dir: Path, name: str, version: str | None, resume: bool) -> RunFolder:
        """Go on with the latest unfinished run of this configuration, or make the folder of a new one.

        A run that another process is busy with is left alone.

        Raises:
            ConfigError: The name or version cannot be a folder's name, or the version is that of another run.
        """
        for key, value in (("name", name), ("experiment.version", version)):
            if value is not None and not re.fullmatch(r"[\w.+@=-][\w.+@= -]*", value):
                raise ConfigError(
                    f"{key}: {value!r} cannot name a folder", hint="use letters, digits and any of . _ - + ="
                )
        home = dir / name
        digest = config_hash(config)
        if resume:
            for path in _versions(home):
                note = _read(path / "run.json")
                if version is not None and path.name != version:
                    continue
                if note.get("config_hash") == digest and note.get("status") != "finished":
                    folder = cls(path, resumed=True)
                    if folder._acquire():
                        folder.note(status="running")
                        folder._point_latest()
                        return folder
        folder = cls._create(home, version)
        folder.note(status="running", config_hash=digest, name=name, created=time.strftime("%Y-%m-%dT%H:%M:%S%z"))
        folder._point_latest()
        return folder

    @classmethod
    def _create(cls, home: Path, version: str | None) -> RunFolder:
        home.mkdir(parents=True, exist_ok=True)
        if version is not None:
            try:
                (home / version).mkdir()
            except FileExistsError:
                raise ConfigError(
                    f"experiment.version: {home / version} is the folder of another run",
                    hint="leave experiment.version out for a new one, or set experiment.resume to a checkpoint in it",
                ) from None
            folder = cls(home / version)
            folder._acquire()
            return folder
        number = max([int(path.name[1:]) for path in _versions(home) if re.fullmatch(r"v\d+", path.name)], default=0)
        while True:
            number += 1
            with contextlib.suppress(FileExistsError):
                (home / f"v{number}").mkdir()
                folder = cls(home / f"v{number}")
                folder._acquire()
                return folder

    def note(self, **facts: Any) -> None:
        """Add ``facts`` to ``run.json``."""
        path = self.path / "run.json"
        write_atomically(
            path, json.dumps({**_read(path), **facts, "host": platform.node(), "pid": os.getpid()}, indent=2)
        )

    def write_config(self, text: str, overrides: list[str]) -> None:
        """Keep the resolved configuration (YAML text) and the overrides it was composed with."""
        write_atomically(self.path / "config.yaml", text)
        write_atomically(self.path / "overrides.txt", "".join(f"{override}\n" for override in overrides))
        write_atomically(self.path / "environment.json", json.dumps(_environment(), indent=2))

    def release(self) -> None:
        """Let other processes go on with this run."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _acquire(self) -> bool:
        """Take the folder for this process; the system gives it back when the process ends, in whatever way."""
        try:
            import fcntl
        except ImportError:  # Windows: no locks, and no protection from a second process
            return True
        file = open(self.path / ".lock", "w")  # noqa: SIM115 (held as long as the run)
        try:
            # A lock of the process, not of the open file (flock): data workers, which outlive a killed run by seconds,
            # would go on holding that, and the same command, given at once, would not go on with the run.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._lock = file
        return True

    def _point_latest(self) -> None:
        """Make ``latest`` beside this folder point to it, in one step."""
        latest = self.path.parent / "latest"
        temporary = self.path.parent / f".latest.{os.getpid()}"
        try:
            os.symlink(self.path.name, temporary, target_is_directory=True)
            os.replace(temporary, latest)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            # No symbolic links here (some file systems, Windows without the right): say it in a file.
            write_atomically(self.path.parent / "latest.txt", f"{self.path.name}\n")


def _versions(home: Path) -> list[Path]:
    """Return the folders of runs in ``home``, newest first."""
    if not home.is_dir():
        return []
    folders = [path for path in home.iterdir() if path.is_dir() and not path.is_symlink() and path.name[0] != "."]
    return sorted(folders, key=lambda path: (_read(path / "run.json").get("created", ""), _number(path)), reverse=True)


def _number(path: Path) -> int:
    return int(path.name[1:]) if re.fullmatch(r"v\d+", path.name) else 0


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _environment() -> dict[str, Any]:
    packages = {}
    for name in ("nemo-core", "torch", "pytorch-lightning", "hydra-core", "omegaconf", "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": sys.argv,
        "folder": os.getcwd(),
        "packages": packages,
        "git": _git(),
    }


def _git() -> dict[str, Any] | None:
    def run(*command: str) -> str:
        return subprocess.run(["git", *command], capture_output=True, text=True, timeout=5, check=True).stdout.strip()

    try:
        return {"commit": run("rev-parse", "HEAD"), "modified": run("status", "--porcelain", "-uno").splitlines()}
    except (OSError, subprocess.SubprocessError):
        return None
