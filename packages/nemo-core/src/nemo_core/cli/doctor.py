"""``nemo doctor``: what is here, what is missing, and what that costs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Iterator

import typer

from nemo_core.cli.output import JsonOption, print_json, table
from nemo_core.errors import NemoError
from nemo_core.plugins import Check, load_plugins, plugins

__all__ = ["doctor"]

#: What nemo-core always needs.
_REQUIRED = ("torch", "pytorch-lightning", "hydra-core", "omegaconf", "numpy", "safetensors", "pluggy", "typer", "rich")

#: What only some features need, and what its absence costs.
_OPTIONAL = {
    "tensorboard": "no `tensorboard --logdir runs`; the logs are written all the same",
    "triton": "kernels for GPUs and torch.compile on GPUs are not available",
    "transformer-engine": "no fp8 precision",
    "wandb": "no logging to Weights & Biases",
}


def doctor(json: JsonOption = False) -> None:
    """Show versions, devices and plugins, what is missing and what that costs.

    Answers even when something is broken: it says what, and leaves with exit code 1.

    Example:
      nemo doctor --json
    """
    checks = [check for group in (_system, _libraries, _devices, _plugins) for check in _guarded(group)]
    if json:
        print_json(checks)
    else:
        rows = [
            (each.name, each.status, each.detail, ": ".join(filter(None, (each.cost, each.hint)))) for each in checks
        ]
        table("", ["what", "status", "found", "what that costs"], rows)
    if any(check.status == "broken" for check in checks):
        raise typer.Exit(1)


def _guarded(group: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from group()
    except Exception as error:
        yield Check(group.__name__.strip("_"), "broken", f"{type(error).__name__}: {error}")


def _system() -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()} ({sys.executable})")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("system", "ok", f"{platform.platform()}, {cores} CPU cores")


def _libraries() -> Iterator[Check]:
    for name in _REQUIRED:
        version = _version(name)
        if version:
            yield Check(name, "ok", version)
        else:
            yield Check(name, "broken", "not installed", "nemo-core does not work", f"pip install {name}")
    for name, cost in _OPTIONAL.items():
        version = _version(name)
        yield Check(name, "ok", version) if version else Check(name, "missing", "not installed", cost)


def _devices() -> Iterator[Check]:
    import torch

    yield Check("cpu", "ok", f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        memory = device.total_memory / 2**30
        yield Check(
            f"cuda:{index}", "ok", f"{device.name}, {memory:.0f} GiB, compute capability {device.major}.{device.minor}"
        )
    if torch.backends.mps.is_available():
        yield Check("mps", "ok", platform.machine())
    elif not torch.cuda.device_count():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "none"
        yield Check("gpu", "missing", f"none found (torch is built for: {built})", "training runs on the CPU")


def _plugins() -> Iterator[Check]:
    try:
        loaded = plugins()
    except NemoError as error:
        yield Check("plugins", "broken", error.message, "no plugin is loaded", error.hint or "")
        loaded = load_plugins({"NEMO_PLUGINS": ""})
    for info in loaded.infos:
        if info.error:
            yield Check(info.distribution, "broken", info.error, "none of its components can be used")
        else:
            yield Check(info.distribution, "ok", f"{info.version} ({info.location})")
    everyone = [plugin for _, plugin in loaded.manager.list_name_plugin()]
    for name, plugin in loaded.manager.list_name_plugin():
        others = [other for other in everyone if other is not plugin]
        try:  # one by one, so that a plugin that raises does not hide what the others found
            for results in loaded.manager.subset_hook_caller("nemo_doctor", others)():
                yield from results
        except Exception as error:
            yield Check(f"checks of {name}", "broken", f"{type(error).__name__}: {error}")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
