"""``nemo archive``: what is in a model archive, and whether it is sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, console, print_json, print_problem, table
from nemo_core.errors import ArchiveError, UnsafeArchiveError

if TYPE_CHECKING:
    from nemo_core.models.inspect import ArchiveInfo

ArchiveArgument = Annotated[Path, typer.Argument(metavar="ARCHIVE", help="A .nemo file, ours or NVIDIA's.")]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Show, verify and unpack model archives; nothing in them is ever executed."""


@app.command()
def show(path: ArchiveArgument, json: JsonOption = False) -> None:
    """Show what is in an archive: model, components, files, weights, configuration, and what is suspicious.

    Example:
      nemo archive show model.nemo
    """
    from nemo_core.models.inspect import inspect_archive

    info = inspect_archive(path)
    if json:
        print_json(info)
    else:
        _print(info)


@app.command()
def verify(path: ArchiveArgument, json: JsonOption = False) -> None:
    """Check an archive's hashes, structure and configuration; exit code 2 if it would be refused.

    Example:
      nemo archive verify model.nemo
    """
    from nemo_core.models.inspect import inspect_archive

    info = inspect_archive(path)
    problems = info.problems
    if json:
        print_json({"path": info.path, "ok": not problems, "members": info.members, "findings": info.findings})
        if problems:
            raise typer.Exit(2)
        return
    if problems:
        lines = "\n".join(f"  {finding.where}: {finding.message}" for finding in problems)
        unsafe = any(finding.severity == "danger" for finding in problems)
        raise (UnsafeArchiveError if unsafe else ArchiveError)(f"{path} cannot be used:\n{lines}")
    checked = "hashes fit" if info.kind == "nemo" else "NVIDIA's archives carry no hashes; checksums of the weights fit"
    for finding in info.findings:
        print_problem(finding.severity, f"{finding.where} {finding.message}")
    typer.echo(f"{path}: ok ({len(info.members)} files, {_bytes(info.size)}; {checked})")


@app.command()
def extract(
    path: ArchiveArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to make; it must not be there yet.")
    ],
) -> None:
    """Unpack the files of an archive into a new folder, after the checks of `verify` on its structure and hashes.

    Example:
      nemo archive extract model.nemo -o model/
    """
    from nemo_core.models.archive import Archive

    with Archive(path) as archive:
        archive.verify()
        folder = archive.extract(output)
        typer.echo(f"{folder}: {len(archive.members)} files")


def _print(info: ArchiveInfo) -> None:
    from nemo_core.models import safe_yaml

    out = console()
    made = ", ".join(f"{name} {version}" for name, version in info.created_by.items()) or "unknown"
    weights = info.weights
    facts: list[tuple[str, Any]] = [
        ("model", info.target),
        ("read by", info.component or "no installed plugin"),
        ("format", f"{'nemo-core' if info.kind == 'nemo' else 'NVIDIA NeMo'}{_version(info)}"),
        ("written by", made),
        ("size", f"{_bytes(info.size)}{' (gzipped)' if info.compressed else ''}"),
        ("weights", _describe(weights)),
    ]
    table(info.path, ["", ""], facts)
    table(
        "\nComponents",
        ["name", "distribution", "written with", "installed"],
        [(c["name"], c["distribution"], c["version"], c["installed"] or "missing") for c in info.components],
    )
    state = {True: "ok", False: "broken", None: None}
    table(
        "\nFiles",
        ["name", "bytes", "SHA-256", "manifest"],
        [(m["name"], m["size"], m["sha256"], state[m["ok"]]) for m in info.members],
    )
    rows = [(finding.severity, finding.where, finding.message) for finding in info.findings]
    table("\nFindings", ["", "where", "what"], rows or [("none", "", "nothing suspicious")])
    out.print("\nConfiguration", style="bold")
    out.print(safe_yaml.dump(dict(info.config)).rstrip(), soft_wrap=True)


def _version(info: ArchiveInfo) -> str:
    return f", version {info.format_version}" if info.format_version is not None else ""


def _describe(weights: Any) -> str:
    if not weights:
        return "unreadable"
    parts = [f"{weights['format']}, {_bytes(weights['bytes'])}"]
    if "tensors" in weights:
        parts.append(f"{weights['tensors']} tensors")
    if "values" in weights:
        parts.append(f"{weights['values']:,} values")
    if "dtypes" in weights:
        parts.append(", ".join(f"{count} {dtype}" for dtype, count in sorted(weights["dtypes"].items())))
    return "; ".join(parts)


def _bytes(count: int) -> str:
    size, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{count} bytes" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
