"""What commands print: tables, JSON, progress and problems. Data goes to stdout, all else to stderr.

Rich is imported when a table or a bar is drawn: it takes longer than most commands that only list something.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_core.errors import NemoError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "JsonOption",
    "OverwriteOption",
    "console",
    "print_json",
    "print_problem",
    "progress",
    "refuse_overwrite",
    "table",
    "track",
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace output files that exist.")]

#: Words that say how something went have colours of their own.
_STYLES = {"ok": "green", "passed": "green", "missing": "yellow", "skipped": "yellow", "broken": "red", "failed": "red"}

#: Where output is not a terminal, tables are as wide as they need to be: whoever reads a pipe or a file can scroll.
_WIDE = 10_000


def console(*, stderr: bool = False) -> Console:
    """Return a rich console on stdout or stderr; colours only on a terminal, and not where ``NO_COLOR`` is set."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, markup=False, width=None if stream.isatty() else _WIDE)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table on stdout.

    Args:
        title: Stands above it; empty for none.
        columns: Headings; all empty for none.
        rows: Cells of any type; numbers are set right, None is left blank.
    """
    from rich import box
    from rich.table import Table

    rows = [tuple(row) for row in rows]
    drawn = Table(
        box=box.SIMPLE_HEAD,
        header_style="bold",
        show_header=any(columns),
        show_edge=False,
        pad_edge=False,
    )
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows if row[index] is not None]
        numeric = bool(cells) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)
        style = "cyan" if index == 0 else None
        # Names stay in one piece, so that they can be copied; a column of paths or sentences may be broken.
        whole = index == 0 and max((len(line) for cell in cells for line in _cell(cell).splitlines()), default=0) <= 40
        drawn.add_column(column, justify="right" if numeric else "left", style=style, overflow="fold", no_wrap=whole)
    for row in rows:
        drawn.add_row(*map(_styled, row))
    out = console()
    if title:
        out.print(title, style="bold", soft_wrap=True)  # as part of the table it would be as narrow as that
    out.print(drawn)


def print_json(value: Any) -> None:
    """Print ``value`` as JSON on stdout; dataclasses, mappings, sets and paths are written as what they hold.

    >>> print_json({"path": Path("a.wav"), "wer": 0.02})
    {
      "path": "a.wav",
      "wer": 0.02
    }
    """
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def print_problem(kind: str, message: str, hint: str | None = None) -> None:
    """Print ``kind: message`` and, below it, ``hint: ...`` on stderr."""
    colour = {"error": typer.colors.RED, "warning": typer.colors.YELLOW}.get(kind)
    plain = "NO_COLOR" in os.environ
    typer.secho(f"{kind}: {message}", err=True, fg=None if plain else colour)
    if hint:
        typer.secho(f"hint: {hint}", err=True, fg=None if plain else typer.colors.CYAN)


@contextlib.contextmanager
def progress(description: str, total: float | None = None, *, unit: str = "") -> Iterator[Callable[[float], None]]:
    """Show progress on stderr: a bar on a terminal; elsewhere a line now and then once two seconds have passed.

    Args:
        description: What is going on.
        total: How much there is to do; None if nobody knows.
        unit: What is counted, such as ``files``.

    Yields:
        A function to call with the amount done since the last call.

    Example:
        >>> with progress("Transcribing", total=3, unit="files") as advance:
        ...     for _ in range(3):
        ...         advance(1)
    """
    if not sys.stderr.isatty():
        yield _Lines(description, total, unit).advance
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:g}}{f'/{total:g}' if total is not None else ''} {unit}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda amount: bar.update(task, advance=amount)


def track(items: Iterable[Any], description: str, *, unit: str = "") -> Iterator[Any]:
    """Yield ``items``, showing :func:`progress`.

    >>> sum(track([1, 2, 3], "Adding"))
    6
    """
    total = len(items) if isinstance(items, Sized) else None
    with progress(description, total, unit=unit) as advance:
        for item in items:
            yield item
            advance(1)


def refuse_overwrite(path: str | Path, overwrite: bool = False) -> Path:
    """Return ``path`` if it may be written.

    Raises:
        NemoError: It exists, and ``overwrite`` is not set.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise NemoError(f"{path} exists already", hint="choose another output, or give --overwrite to replace it")
    return path


class _Lines:
    """Progress as lines of text: the first after two seconds, the next each time the wait has doubled, at most 30 s."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = 0.0
        self.pause = 2.0
        self.next = time.monotonic() + self.pause

    def advance(self, amount: float) -> None:
        self.done += amount
        if time.monotonic() < self.next:
            return
        of = f"/{self.total:g} ({100 * self.done / self.total:.0f} %)" if self.total else ""
        print(f"{self.description}: {self.done:g}{of} {self.unit}".rstrip(), file=sys.stderr, flush=True)
        self.pause = min(30.0, 2 * self.pause)
        self.next = time.monotonic() + self.pause


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _styled(value: Any) -> Any:
    from rich.text import Text

    return Text(_cell(value), style=_STYLES.get(value, "") if isinstance(value, str) else "")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "item") and callable(value.item):  # a scalar of numpy or torch
        return value.item()
    return str(value)
