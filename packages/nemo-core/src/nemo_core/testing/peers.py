"""Environments for the systems that ours is measured against: made with uv outside the repository, and reused.

A peer is never a dependency: it lives in a folder of its own, and a benchmark or a parity test runs its Python::

    python = peer_environment("nemo", NVIDIA_NEMO)
    subprocess.run([python, "their_side.py"], check=True)

``NEMO_PEERS`` names the folder that holds all such environments; without it, it is where caches of the system live.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from nemo_core.errors import DownloadError, NemoError

__all__ = ["NVIDIA_NEMO", "peer_environment", "peers_folder"]

#: NVIDIA NeMo with its speech collection, as our figures were measured with.
NVIDIA_NEMO = ("nemo_toolkit[asr]==2.7.3",)

_VERSIONS = (
    "import importlib.metadata as m, json; "
    "print(json.dumps({d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}))"
)


@functools.cache
def peer_environment(name: str, requirements: tuple[str, ...]) -> Path:
    """Return the Python of the environment ``name``, which has ``requirements``; make or mend it if it has to be.

    It gets the torch that runs here, whatever build of it, so that both sides compute with the same one. Without
    settings of uv's own, wheels come from the folder that pip knows (``PIP_FIND_LINKS``), and where there is none,
    torch is the build for the CPU.

    Args:
        name: Folder of the environment, in :func:`peers_folder`.
        requirements: Exactly pinned: ``("nemo_toolkit[asr]==2.7.3",)``.

    Raises:
        NemoError: uv is not there.
        DownloadError: uv cannot install them; the message has what it says.
    """
    wanted = (f"torch=={importlib.metadata.version('torch').partition('+')[0]}", *requirements)
    folder = peers_folder() / name
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if _installed(python, wanted):
        return python
    uv = _find_uv()
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not python.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run([uv, "venv", "-q", "--clear", "--python", here, str(folder)], name)
    print(f"installing {', '.join(wanted)} in {folder}", file=sys.stderr, flush=True)
    _run([uv, "pip", "install", "-q", "--python", str(python), *wanted], name)
    return python


def peers_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the peers' environments: ``NEMO_PEERS``, or ``peers`` in the cache of the framework.

    >>> peers_folder({"NEMO_PEERS": "/data/peers"}).as_posix()
    '/data/peers'
    """
    from nemo_core.models.catalogue import cache_folder

    named = (os.environ if environ is None else environ).get("NEMO_PEERS")
    return Path(named).expanduser() if named else cache_folder(environ) / "peers"


def _installed(python: Path, wanted: Sequence[str]) -> bool:
    """Return whether an environment has the versions that ``wanted`` pins; its builds of them do not matter."""
    try:
        answer = subprocess.run([python, "-c", _VERSIONS], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    there = json.loads(answer)
    return all(there.get(name, "").partition("+")[0] == version for name, version in map(_pin, wanted))


def _pin(requirement: str) -> tuple[str, str]:
    found = re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?==([\w.!]+)", requirement.replace(" ", ""))
    if found is None:
        raise NemoError(f"{requirement} names no version", hint="a peer is pinned: name==version")
    return found[1].lower().replace("_", "-"), found[2]


def _find_uv() -> str:
    """Return uv: the one that runs us (``UV``), the one installed beside us, or the one on the path."""
    try:
        from uv import find_uv_bin  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        found = os.environ.get("UV") or shutil.which("uv")
    else:
        found = str(find_uv_bin())
    if not found:
        raise NemoError("an environment for a peer is made with uv, which is not there", hint="pip install uv")
    return found


def _run(command: Sequence[str], name: str) -> None:
    environ = dict(os.environ)
    if environ.get("PIP_FIND_LINKS"):
        environ.setdefault("UV_FIND_LINKS", ",".join(environ["PIP_FIND_LINKS"].split()))
    if not {"UV_FIND_LINKS", "UV_TORCH_BACKEND"} & environ.keys():
        environ["UV_TORCH_BACKEND"] = "cpu"
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    if done.returncode:
        raise DownloadError(f"the environment of the peer {name} cannot be made:\n{done.stderr.strip()}")
