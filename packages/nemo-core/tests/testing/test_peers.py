"""Environments of peers: found where they are told to be, reused as they are, made with uv where it is there."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

import pytest

from nemo_core.errors import DownloadError, NemoError
from nemo_core.testing.peers import peer_environment, peers_folder

PLUGGY = f"pluggy=={importlib.metadata.version('pluggy')}"

posix = pytest.mark.skipif(sys.platform == "win32", reason="the tests stand in for uv with a script of the shell")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEMO_PEERS", str(tmp_path / "peers"))
    peer_environment.cache_clear()


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    """Put a script in uv's place, and return what it writes its arguments to."""
    log = tmp_path / "uv.log"
    script = tmp_path / "uv"
    script.write_text(f'#!/bin/sh\necho "$@ $UV_TORCH_BACKEND$UV_FIND_LINKS" >> {log}\n{body}\n')
    script.chmod(0o755)
    monkeypatch.setattr("nemo_core.testing.peers._find_uv", lambda: str(script))
    return log


def environment(tmp_path: Path) -> Path:
    """Make an environment that is this one."""
    python = tmp_path / "peers" / "mine" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


@posix
def test_an_environment_that_has_everything_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = stand_in(tmp_path, monkeypatch, "exit 1")
    python = environment(tmp_path)
    assert peer_environment("mine", (PLUGGY,)) == python
    assert not log.exists()


@posix
def test_what_is_missing_is_installed_beside_the_torch_that_runs_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_TORCH_BACKEND", "UV_FIND_LINKS", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    log = stand_in(tmp_path, monkeypatch, "exit 0")
    python = environment(tmp_path)
    peer_environment("mine", ("pluggy==0.0.1",))
    (line,) = log.read_text().splitlines()
    torch = importlib.metadata.version("torch").partition("+")[0]
    assert line == f"pip install -q --python {python} torch=={torch} pluggy==0.0.1 cpu"


@posix
def test_a_new_environment_is_made_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/one /two")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    log = stand_in(tmp_path, monkeypatch, "exit 0")
    peer_environment("new", (PLUGGY,))
    made, installed = log.read_text().splitlines()
    assert made.startswith("venv -q --clear --python 3.")
    assert made.endswith(f"{tmp_path / 'peers' / 'new'} /one,/two")
    assert installed.startswith("pip install -q --python")


@posix
def test_what_uv_says_reaches_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "echo no such wheel >&2; exit 1")
    with pytest.raises(DownloadError, match="no such wheel"):
        peer_environment("mine", (PLUGGY,))


def test_a_peer_is_pinned(tmp_path: Path) -> None:
    environment(tmp_path)
    with pytest.raises(NemoError, match="pluggy names no version"):
        peer_environment("mine", ("pluggy",))


def test_without_a_name_for_it_the_folder_is_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peers_folder({"NEMO_CACHE": "/data"}) == Path("/data/peers")
    assert peers_folder() == Path(os.environ["NEMO_PEERS"])
