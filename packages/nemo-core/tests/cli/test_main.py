"""Exit codes, errors and the options that every command has."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nemo_core import __version__
from nemo_core.cli.main import run
from nemo_core.testing.distributions import write_distribution

#: A plugin with one command for each way that a command can end.
ENDINGS = """
    from nemo_core.plugins import hookimpl

    @hookimpl
    def nemo_components(registry):
        for name in ("fine", "mine", "yours", "crash", "silent", "exit", "interrupt", "wait", "pipe", "value"):
            registry.command(f"end {name}", f"endings:{name}", summary=f"Ends so: {name}")
"""
COMMANDS = """
    import sys, time
    import typer
    from nemo_core.errors import DownloadError, NemoError

    def fine(): print("done")
    def mine(): raise DownloadError("the server is gone", hint="try later")
    def yours(): raise NemoError("a.wav line 3: no such file", hint="check the path")
    def crash(): raise RuntimeError("wires crossed")
    def silent(): raise RuntimeError
    def exit(): raise typer.Exit(7)
    def interrupt(): raise KeyboardInterrupt
    def value(): return {"a": 1}
    def pipe():
        for number in range(100_000): print(number)
    def wait():
        print("ready", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def endings(tmp_path: Path) -> dict[str, str]:
    site = write_distribution(tmp_path / "site", "nemo-endings", {"endings_plugin": ENDINGS, "endings": COMMANDS})
    return {"PYTHONPATH": str(site), "NEMO_PLUGINS": "nemo-endings"}


@pytest.mark.parametrize(
    ("ending", "code", "stderr"),
    [
        ("fine", 0, ""),
        ("value", 0, ""),
        ("exit", 7, ""),
        ("mine", 1, "error: the server is gone\nhint: try later\n"),
        ("yours", 2, "error: a.wav line 3: no such file\nhint: check the path\n"),
        ("interrupt", 130, "error: interrupted\n"),
        (
            "crash",
            1,
            "error: RuntimeError: wires crossed\nhint: run the same command with --debug for the traceback\n",
        ),
        ("silent", 1, "error: RuntimeError\nhint: run the same command with --debug for the traceback\n"),
    ],
)
def test_endings(nemo: Any, endings: dict[str, str], ending: str, code: int, stderr: str) -> None:
    done = nemo("end", ending, **endings)
    assert done.returncode == code
    assert done.stderr == stderr


@pytest.mark.parametrize(
    "arguments", [("--debug", "end", "yours"), ("end", "--debug", "yours"), ("end", "yours", "--debug")]
)
def test_debug_goes_anywhere(nemo: Any, endings: dict[str, str], arguments: tuple[str, ...]) -> None:
    done = nemo(*arguments, **endings)
    assert done.returncode == 2
    assert done.stderr.startswith("error: a.wav line 3: no such file\nhint: check the path\nTraceback")
    assert "def yours" in done.stderr or "in yours" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("pluggins",), "nemo has no command pluggins", "did you mean plugins?"),
        (("xyzzy",), "nemo has no command xyzzy", "`nemo --help` lists the commands"),
        (("plugins", "lits"), "No such command 'lits'. Did you mean 'list'?", "`nemo plugins --help` shows"),
        (("plugins", "list", "--jsno"), "No such option: --jsno", "`nemo plugins list --help` shows"),
        (("plugins", "show"), "Missing argument", "`nemo plugins show --help` shows"),
        (("plugins", "show", "nemo-cor"), "no plugin called nemo-cor", "did you mean nemo-core"),
        (("--vrsion",), "No such option: --vrsion", "`nemo --help` shows"),
        (("components", "list", "--kind", "modul"), "no kind of component is called modul", "did you mean module"),
    ],
)
def test_mistakes_are_two_lines(nemo: Any, arguments: tuple[str, ...], message: str, hint: str) -> None:
    done = nemo(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith(f"error: {message}")
    assert second.startswith(f"hint: {hint}")


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--help",), 0), (("-h",), 0), (("plugins",), 2)])
def test_help(nemo: Any, arguments: tuple[str, ...], code: int) -> None:
    done = nemo(*arguments)
    assert done.returncode == code
    assert done.stderr == ""
    assert done.stdout.startswith("Usage: nemo")


def test_help_keeps_the_lines_of_examples(nemo: Any) -> None:
    assert "Example:\n    nemo plugins list --json\n" in nemo("plugins", "list", "--help").stdout
    assert "Examples:\n    nemo recipes list\n" in nemo("--help").stdout


def test_version(nemo: Any) -> None:
    assert nemo("--version").stdout == f"nemo-core {__version__}\n"


def test_works_from_any_folder(nemo: Any) -> None:
    assert nemo("plugins", "list", PWD="/").returncode == 0


def test_control_c_while_running(endings: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "nemo_core.cli.main", "end", "wait"],
        env={**os.environ, **endings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts in the background ignores Ctrl-C, and so do its children; in a terminal they do not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr == "error: interrupted\n"


def test_a_reader_that_leaves_is_no_error(endings: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "nemo_core.cli.main", "end", "pipe"],
        env={**os.environ, **endings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.wait(timeout=30) == 1
    assert process.stderr.read() == ""


def test_a_broken_plugin_is_one_line(nemo: Any, tmp_path: Path) -> None:
    site = write_distribution(tmp_path / "site", "nemo-broken", {"broken_plugin": "1 / 0"}, version="0.9")
    done = nemo("plugins", "list", PYTHONPATH=str(site))
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert re.match(r"warning: plugin nemo-broken of nemo-broken 0\.9 .*ZeroDivisionError.*; going on without it", line)
    assert "nemo-core" in done.stdout
    strict = nemo("plugins", "list", PYTHONPATH=str(site), NEMO_STRICT_PLUGINS="1")
    assert strict.returncode == 2
    assert strict.stderr.startswith("error: plugin nemo-broken of nemo-broken 0.9")


def test_plugins_that_clash_leave_help_and_doctor_working(nemo: Any, tmp_path: Path) -> None:
    for name in ("frogs", "toads"):
        source = """
            from nemo_core.plugins import hookimpl

            @hookimpl
            def nemo_components(registry):
                registry.module("pond.Encoder", "pond:Encoder")
        """
        write_distribution(tmp_path / "site", f"nemo-{name}", {f"{name}_plugin": source})
    environ = {"PYTHONPATH": str(tmp_path / "site")}
    assert "doctor" in nemo("--help", **environ).stdout
    clash = nemo("plugins", "list", **environ)
    assert clash.returncode == 2
    assert "nemo-toads 0.1.0 and nemo-frogs 0.1.0 both register pond.Encoder" in clash.stderr
    unknown = nemo("croak", **environ)
    assert unknown.returncode == 2, "the command may be one of a plugin that could not be loaded"
    assert "both register pond.Encoder" in unknown.stderr


def test_run_returns_codes_to_callers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert run(["nonsense"]) == 2
    assert "error: nemo has no command nonsense" in capsys.readouterr().err


def test_colours_only_where_they_are_wanted(nemo: Any) -> None:
    assert "\x1b[" not in nemo("plugins", "list").stdout
    assert "\x1b[" not in nemo("nonsense").stderr
