"""``nemo recipes``: the recipes that installed plugins bring."""

from __future__ import annotations

from typing import Annotated

import typer

from nemo_core.cli.output import JsonOption, print_json, table


def _names() -> list[str]:
    from nemo_core.config import list_recipes

    return [each.name for each in list_recipes()]


app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """List and show training recipes."""


@app.command("list")
def list_all(json: JsonOption = False) -> None:
    """List the recipes: what each trains, how large it is, and the data it needs.

    Example:
      nemo recipes list --json
    """
    from nemo_core.config import list_recipes

    recipes = list_recipes()
    if json:
        print_json(recipes)
        return
    rows = [
        (each.name, each.package.partition(".")[0], each.summary, each.metadata.get("size"), each.metadata.get("data"))
        for each in recipes
    ]
    table("", ["recipe", "package", "trains", "size", "data"], rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Recipe, such as asr/spoken_digits.", autocompletion=_names)],
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes to it, as for nemo train.")] = None,
    json: JsonOption = False,
) -> None:
    """Show a recipe as it would run, with all defaults filled in and overrides applied.

    Example:
      nemo recipes show asr/spoken_digits trainer.max_epochs=1
    """
    from omegaconf import OmegaConf

    from nemo_core.config import compose

    config = compose(name, overrides or ())
    if json:
        print_json(OmegaConf.to_container(config, resolve=False))
    else:
        typer.echo(OmegaConf.to_yaml(config), nl=False)
