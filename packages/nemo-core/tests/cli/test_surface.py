"""The commands and options of nemo-core: scripts depend on them, so that they change only on purpose.

After a change that is meant, ``NEMO_UPDATE_SNAPSHOTS=1 pytest`` writes a new ``surface.json``; say it in CHANGELOG.md.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_core.cli.lazy import click_command
from nemo_core.cli.main import root
from nemo_core.plugins import registry

SNAPSHOT = Path(__file__).with_name("surface.json")


def commands() -> Iterator[tuple[str, Any]]:
    """Every command of nemo-core with the words that lead to it, groups first."""
    yield "nemo", root()
    for component in registry().components("cli"):
        if component.distribution == "nemo-core":
            yield from walk(f"nemo {component.name}", click_command(component))


def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from walk(f"{path} {name}", sub)


def parameters(command: Any) -> list[str]:
    return [
        " / ".join([*parameter.opts, *parameter.secondary_opts])
        if parameter.param_type_name == "option"
        else f"{parameter.name.upper()}{'...' if parameter.nargs == -1 else ''}{'' if parameter.required else '?'}"
        for parameter in command.params
    ]


COMMANDS = list(commands())


def test_the_surface_is_as_recorded() -> None:
    surface = {path: parameters(command) for path, command in COMMANDS}
    if os.environ.get("NEMO_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(surface, indent=2) + "\n")
    assert surface == json.loads(SNAPSHOT.read_text())


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_is_explained(path: str, command: Any) -> None:
    assert command.help
    summary = command.help.partition("\n")[0]
    assert summary.endswith(".")
    if not hasattr(command, "commands"):
        assert "Example:\n" in command.help, f"{path} --help has no example"
        assert f"  {path} " in command.help or f"  {path}\n" in command.help + "\n"
    for parameter in command.params:
        assert parameter.help, f"{path}: {parameter.name} is not explained"


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_lists_or_reports_does_so_as_json_too(path: str, command: Any) -> None:
    if path.rpartition(" ")[2] in ("list", "show", "check", "verify", "doctor"):
        assert "--json" in parameters(command), path


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_help_is_written_as_a_manual_is(path: str, command: Any) -> None:
    help = command.get_help(command.make_context(path, [], resilient_parsing=True))
    assert "..." not in help.replace("COMMAND [ARGS]...", "").replace("OVERRIDES...", "").replace("NAME...", "")
    assert not re.search(r"<\w+|\{\w+", help), help
