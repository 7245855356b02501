"""``nemo components``: everything in the registry."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, print_json, table
from nemo_core.errors import ComponentNotFoundError
from nemo_core.plugins import BUILDABLE, KINDS, Component, registry
from nemo_core.plugins.nearest import did_you_mean


def _names() -> list[str]:
    return [each.name for each in registry().components() if each.kind in BUILDABLE]


app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """List and show what recipes can build."""


@app.command("list")
def list_components(
    kind: Annotated[
        str | None,
        typer.Option(help=f"One of: {', '.join(KINDS)}.", metavar="KIND", autocompletion=lambda: list(KINDS)),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the registered components: what a _target_ in a recipe can name, or with --kind all of any one kind.

    Example:
      nemo components list --kind optimizer
    """
    components = registry().components(kind)
    if kind is None:
        components = tuple(each for each in components if each.kind in BUILDABLE)
    if json:
        print_json(components)
        return
    rows = [(each.name, each.kind, each.distribution, each.summary) for each in components]
    table("", ["name", "kind", "plugin", "summary"], rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name, alias or import path.", autocompletion=_names)],
    json: JsonOption = False,
) -> None:
    """Show one component: where it is from, its other names, its parameters and its documentation. Imports it.

    Example:
      nemo components show asr.CTCModel
    """
    component = registry().find(name)
    if component is None:
        hint = did_you_mean(name, _names()) or "`nemo components list` shows all"
        raise ComponentNotFoundError(f"nothing that is installed is called {name}", hint=hint)
    documented = _documentation(component)
    if json:
        print_json({"component": component, **documented})
        return
    facts: list[tuple[str, Any]] = [
        ("kind", component.kind),
        ("plugin", component.source),
        ("target", component.target),
        ("aliases", component.aliases),
        ("summary", component.summary),
        *component.metadata.items(),
        ("parameters", "\n".join(documented["parameters"])),
    ]
    table(component.name, ["", ""], [fact for fact in facts if fact[1]])
    typer.echo(documented["documentation"])


def _readable(parameter: Any) -> str:
    """Return a parameter as its author wrote it: annotations that are kept as text come without quotes."""
    if not isinstance(parameter.annotation, str):
        return str(parameter)
    bare = parameter.replace(annotation=parameter.empty, default=parameter.empty)
    default = f" = {parameter.default!r}" if parameter.default is not parameter.empty else ""
    return f"{bare}: {parameter.annotation}{default}"


def _documentation(component: Component) -> dict[str, Any]:
    import inspect

    target = component.load()
    try:
        parameters = [_readable(each) for each in inspect.signature(target).parameters.values()]
    except (TypeError, ValueError):  # some classes written in C tell no signature
        parameters = []
    return {"parameters": parameters, "documentation": inspect.getdoc(target) or ""}
