"""``nemo plugins``: what is installed, whether it is sound, and a new one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, print_json, table
from nemo_core.errors import PluginError
from nemo_core.plugins import PluginInfo, plugins

if TYPE_CHECKING:
    from nemo_core.testing.rules import CheckResult


def _names() -> list[str]:
    return [info.distribution for info in plugins().infos]


app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """List, check and create plugins.

    Environment:
      NEMO_PLUGINS=a,b        load only these beside nemo-core; empty: none
      NEMO_STRICT_PLUGINS=1   a plugin that cannot be loaded is an error
      NEMO_TRACE_PLUGINS=1    say what is loaded, from where, and how long it takes
    """


@app.command("list")
def list_plugins(json: JsonOption = False) -> None:
    """List the installed plugins and what each offers.

    Example:
      nemo plugins list --json
    """
    infos = plugins().infos
    if json:
        print_json(infos)
        return
    rows = [
        (info.distribution, info.version, info.error or _offers(info), f"{1000 * info.seconds:.1f} ms")
        for info in infos
    ]
    table("", ["plugin", "version", "offers", "loaded in"], rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of the plugin.", autocompletion=_names)],
    json: JsonOption = False,
) -> None:
    """Show one plugin: where it is, its hooks and its components.

    Example:
      nemo plugins show nemo-asr
    """
    info = plugins().info(name)
    components = [each for each in plugins().registry.components() if each.distribution == info.distribution]
    if json:
        print_json({"plugin": info, "components": components})
        return
    facts: list[tuple[str, Any]] = [
        ("version", info.version),
        ("module", info.module),
        ("file", info.location),
        ("hooks", info.hooks),
        ("loaded in", f"{1000 * info.seconds:.1f} ms"),
        ("problem", info.error),
    ]
    table(info.distribution, ["", ""], [fact for fact in facts if fact[1]])
    if components:
        table("", ["kind", "name", "summary"], [(each.kind, each.name, each.summary) for each in components])


@app.command()
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Plugins to check; all if none is named.", autocompletion=_names),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check plugins against the rules of nemo_core.testing.

    Imports and builds what they offer, so it takes a while. Exit code 1 if a rule is broken.

    Example:
      nemo plugins check nemo-birdsong
    """
    from nemo_core.testing import check_plugin

    loaded = plugins()
    chosen = [loaded.info(name) for name in names] if names else loaded.infos
    results = [result for info in chosen for result in check_plugin(info.distribution)]
    failed = sum(result.status == "failed" for result in results)
    if json:
        print_json(results)
    else:
        table("", ["plugin", "check", "result", "of", "detail"], _summed_up(results))
    if failed:
        failure = PluginError(f"{failed} of {len(results)} checks failed")
        failure.exit_code = 1
        raise failure


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the distribution, such as nemo-birdsong.")],
    directory: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder to create; default: ./NAME.")] = None,
) -> None:
    """Write a new plugin project that works.

    It has a module, a model, a data set, a recipe that trains, a command, and tests that pass.

    Example:
      nemo plugins new nemo-birdsong && cd nemo-birdsong && pip install -e . && pytest
    """
    from nemo_core.plugins.scaffold import create_project

    folder = create_project(name, directory)
    typer.echo(f"{folder} written. Next:\n  cd {folder}\n  pip install -e '.[test]'\n  pytest")


def _summed_up(results: list[CheckResult]) -> list[tuple[str, str, str, str, str]]:
    """One row for all that passed a check; one for each that did not."""
    passed = Counter((each.plugin, each.check) for each in results if each.status == "passed")
    rows = [(plugin, check, "passed", str(count), "") for (plugin, check), count in passed.items()]
    others = [each for each in results if each.status != "passed"]
    return rows + [(each.plugin, each.check, each.status, each.subject, each.detail) for each in others]


def _offers(info: PluginInfo) -> str:
    return "  ".join(f"{kind} {count}" for kind, count in info.components.items()) or "nothing yet"
