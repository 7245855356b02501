"""Commands of plugins: listed without being imported, nested, merged, completed by the shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nemo_core.testing.distributions import write_distribution

PLUGIN = """
    from nemo_core.plugins import hookimpl

    @hookimpl
    def nemo_components(registry):
        registry.command("pond", summary="Ponds and what lives there")
        registry.command("pond drain", "pond_commands:drain", summary="Let the water out")
        registry.command("pond frogs count", "pond_commands:count", summary="Count the frogs")
        registry.command("lake", "pond_commands:lake", summary="Lakes")
        registry.command("croak", "pond_commands:single", summary="Croak")
        registry.command("heavy", "pond_heavy:heavy", summary="Imports what takes long")
        registry.command("wrong", "pond_commands:NUMBER", summary="Is not a command")
"""
COMMANDS = '''
    from enum import Enum
    from typing import Annotated
    import typer

    NUMBER = 3

    def drain(fast: bool = False, depth: Annotated[float, typer.Option(help="Metres.")] = 1.5):
        """Let the water out.

        Example:
          nemo pond drain --fast
        """
        print("drained", fast, depth)

    def count(where: list[str]):
        print(len(where))

    lake = typer.Typer()

    @lake.command()
    def fill(): print("full")

    @lake.command()
    def sail(): print("away")

    single = typer.Typer()

    @single.command()
    def croak(times: int = 1): print("croak " * times)
'''
#: Another distribution that adds to the groups of the first.
GUEST = """
    from nemo_core.plugins import hookimpl

    @hookimpl
    def nemo_components(registry):
        registry.command("pond dredge", "guest:dredge", summary="From a guest")
        registry.command("lake freeze", "guest:dredge", summary="From a guest")
        registry.command("croak loudly", "guest:dredge", summary="Under what is no group")
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    site = tmp_path / "site"
    heavy = "raise SystemExit('imported')"
    modules = {"pond_plugin": PLUGIN, "pond_commands": COMMANDS, "pond_heavy": heavy}
    write_distribution(site, "nemo-pond", modules)
    return {"PYTHONPATH": str(site), "NEMO_PLUGINS": "nemo-pond"}


def commands_in(text: str) -> dict[str, str]:
    lines = text.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line.strip()}


def test_help_lists_without_importing(nemo: Any, environ: dict[str, str]) -> None:
    listed = commands_in(nemo("--help", **environ).stdout)
    assert listed["pond"] == "Ponds and what lives there"
    assert listed["heavy"] == "Imports what takes long"
    assert {"doctor", "plugins", "recipes", "lake", "croak"} <= set(listed)


def test_groups_are_made_of_words(nemo: Any, environ: dict[str, str]) -> None:
    assert commands_in(nemo("pond", "--help", **environ).stdout) == {
        "drain": "Let the water out",
        "frogs": "Commands of frogs",
    }
    assert commands_in(nemo("pond", "frogs", "--help", **environ).stdout) == {"count": "Count the frogs"}


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("pond", "drain", "--fast", "--depth", "3"), "drained True 3.0"),
        (("pond", "frogs", "count", "a", "b"), "2"),
        (("lake", "sail"), "away"),
        (("croak", "--times", "2"), "croak croak"),
    ],
)
def test_commands_run(nemo: Any, environ: dict[str, str], arguments: tuple[str, ...], printed: str) -> None:
    done = nemo(*arguments, **environ)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, printed, "")


def test_usage_names_the_whole_path(nemo: Any, environ: dict[str, str]) -> None:
    assert nemo("pond", "frogs", "count", "--help", **environ).stdout.startswith("Usage: nemo pond frogs count ")
    assert nemo("croak", "--help", **environ).stdout.startswith("Usage: nemo croak [OPTIONS]")


def test_sub_commands_have_no_completion_options(nemo: Any, environ: dict[str, str]) -> None:
    for name in ("lake", "croak", "pond"):
        assert "--install-completion" not in nemo(name, "--help", **environ).stdout


def test_others_may_add_to_a_group(nemo: Any, environ: dict[str, str], tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "nemo-guest", {"guest_plugin": GUEST, "guest": "def dredge(): print('mud')"})
    environ = {**environ, "NEMO_PLUGINS": "nemo-pond,nemo-guest"}
    assert set(commands_in(nemo("pond", "--help", **environ).stdout)) == {"drain", "dredge", "frogs"}
    assert set(commands_in(nemo("lake", "--help", **environ).stdout)) == {"fill", "freeze", "sail"}
    assert nemo("lake", "freeze", **environ).stdout == "mud\n"
    assert nemo("lake", "sail", **environ).stdout == "away\n"
    for arguments in (("croak", "loudly"), ("croak", "--help"), ("croak",)):
        done = nemo(*arguments, **environ)
        assert done.returncode == 2
        assert "nemo-guest 0.1.0 adds the command croak loudly, but croak of nemo-pond 0.1.0 is a" in done.stderr


def test_what_is_not_a_command_is_said(nemo: Any, environ: dict[str, str]) -> None:
    done = nemo("wrong", **environ)
    assert done.returncode == 2
    assert "command wrong of nemo-pond 0.1.0 is a int" in done.stderr


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("nemo ", {"plugins", "pond", "heavy", "doctor"}),
        ("nemo pl", {"plugins"}),
        ("nemo pond ", {"drain", "frogs"}),
        ("nemo plugins ", {"list", "show", "check", "new"}),
        ("nemo plugins show nemo-c", {"nemo-core"}),
        ("nemo plugins list --j", {"--json"}),
        ("nemo components list --kind tok", {"tokenizer"}),
    ],
)
def test_the_shell_completes(nemo: Any, environ: dict[str, str], typed: str, expected: set[str]) -> None:
    words = typed.split(" ")
    done = nemo(_NEMO_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1), **environ)
    assert done.stderr == ""
    found = set(done.stdout.split())
    assert expected <= found
    assert all(each.startswith(words[-1]) for each in found)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(nemo: Any, shell: str) -> None:
    done = nemo("--show-completion", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 2, "without detection a shell must be named"
    done = nemo("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0
    assert "_NEMO_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["plugins", "list", "--json"],
        ["plugins", "show", "nemo-core"],
        ["components", "list"],
        ["plugins", "new", "--help"],
        ["recipes", "list"],
        ["doctor", "--help"],
    ],
)
def test_listing_loads_neither_torch_nor_lightning(arguments: list[str]) -> None:
    code = (
        "import sys, json\n"
        "from nemo_core.cli.main import run\n"
        f"code = run({arguments!r})\n"
        "heavy = sorted({'torch', 'pytorch_lightning', 'matplotlib', 'hydra.utils'} & set(sys.modules))\n"
        "print(json.dumps([code, heavy]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == [0, []]
