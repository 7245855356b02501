"""``nemo models``: the published models, and how to have them here."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, print_json, progress, table


def _names() -> list[str]:
    from nemo_core.models.catalogue import Catalogue

    return [model.name for model in Catalogue().models]


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.", autocompletion=_names)]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """List, show and fetch published models."""


@app.command("list")
def list_models(
    language: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only models for this language, such as en.")
    ] = None,
    package: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only models of this plugin, such as nemo-asr, or asr for short.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the models that the installed plugins know.

    Example:
      nemo models list --package asr --language en
    """
    from nemo_core.models.catalogue import Catalogue

    models = [
        model
        for model in Catalogue().models
        if (language is None or _speaks(model.languages, language))
        and (package is None or model.distribution in (package, f"nemo-{package}"))
    ]
    if json:
        print_json([_described(model) for model in models])
        return
    if not models:
        wanted = [f" for {language}"] * bool(language) + [f" of {package}"] * bool(package)
        typer.echo("no published model" + ("".join(wanted) or "; plugins can register them"))
        return
    rows = [
        (m.name, ", ".join(m.languages), m.license, _megabytes(m.size), "here" if m.cached() else None, m.summary)
        for m in models
    ]
    table("", ["model", "languages", "licence", "MB", "cache", "summary"], rows)


@app.command()
def show(name: NameArgument, json: JsonOption = False) -> None:
    """Show one published model: what it is, under which licence, and where it comes from.

    Example:
      nemo models show NAME --json
    """
    from nemo_core.models.catalogue import Catalogue

    described = _described(Catalogue().get(name))
    if json:
        print_json(described)
        return
    rows = [(key, ", ".join(value) if isinstance(value, tuple) else value) for key, value in described.items() if value]
    table(name, ["", ""], rows)


@app.command()
def pull(name: NameArgument, json: JsonOption = False) -> None:
    """Fetch a published model into the cache, verify it, and print its path.

    NAME may also be an https:// address or hf://owner/repo/file[@revision]. A fetch that broke off is resumed.

    Example:
      nemo models pull hf://acme/birds/birds.nemo
    """
    from nemo_core.models.catalogue import Catalogue, locate

    catalogue = Catalogue()
    size = catalogue.get(name).size if name in catalogue else None
    with progress("Fetching", total=None if size is None else size / 1e6, unit="MB") as advance:
        shown = 0.0

        def report(here: int, _: int | None) -> None:
            nonlocal shown
            advance(here / 1e6 - shown)
            shown = here / 1e6

        path = locate(name, progress=report)
    if json:
        print_json({"name": name, "path": path, "size": path.stat().st_size})
    else:
        typer.echo(str(path))


def _speaks(languages: tuple[str, ...], wanted: str) -> bool:
    return any(tag.lower() == wanted.lower() or tag.lower().startswith(f"{wanted.lower()}-") for tag in languages)


def _megabytes(size: int | None) -> float | None:
    return None if size is None else round(size / 1e6, 1)


def _described(model: Any) -> dict[str, Any]:
    from dataclasses import asdict

    cached = model.cached()
    return {**asdict(model), "url": model.url, "cached": str(cached) if cached else None}
