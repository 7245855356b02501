"""Which line of which file a key of a recipe comes from; asked only when there is a mistake to point at."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from nemo_core.config.problems import Problem

__all__ = ["point_at_lines"]

_KEYS = re.compile(r"[^.\[\]]+")


def point_at_lines(
    problems: Sequence[Problem], recipe: Path, folders: Sequence[Path], overridden: Sequence[str]
) -> list[Problem]:
    """Return the problems with file and line, where a file is what they come from.

    Args:
        problems: Mistakes of a composed recipe.
        recipe: Its file.
        folders: Where the files that it includes are looked for.
        overridden: Keys that the command line set.
    """
    if not problems:
        return []
    documents = list(_documents(recipe, folders, set()))
    return [
        problem
        if problem.where or any(_within(problem.path, key) for key in overridden)
        else dataclasses.replace(problem, where=_line(problem.path, documents))
        for problem in problems
    ]


def _within(path: str, key: str) -> bool:
    return path == key or path.startswith((f"{key}.", f"{key}["))


def _line(path: str, documents: Sequence[tuple[Path, yaml.Node]]) -> str | None:
    """Return ``file:line`` of the key, or of the nearest mapping around it, in the first file that has it."""
    keys = _KEYS.findall(path)
    best: tuple[int, str | None] = (0, None)
    for file, root in documents:
        depth, line = _follow(root, keys)
        if depth > best[0]:
            best = depth, f"{_short(file)}:{line}"
    return best[1]


def _follow(node: yaml.Node, keys: Sequence[str]) -> tuple[int, int]:
    """Return how many of the keys lead somewhere, and the line (from 1) of the last that does."""
    depth, line = 0, 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            found = next(((name, value) for name, value in node.value if name.value == key), None)
        elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            found = (node.value[int(key)],) * 2
        else:
            found = None
        if found is None:
            break
        depth, line, node = depth + 1, found[0].start_mark.line + 1, found[1]
    return depth, line


def _documents(file: Path, folders: Sequence[Path], seen: set[Path]) -> Iterator[tuple[Path, yaml.Node]]:
    """Yield a recipe and what its defaults list includes by plain names, the recipe first."""
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeError, yaml.YAMLError):
        return
    seen.add(file)
    if not isinstance(root, yaml.MappingNode):
        return
    yield file, root
    for name, value in root.value:
        if name.value == "defaults" and isinstance(value, yaml.SequenceNode):
            for item in reversed(value.value):
                for candidate in _included(item, file, folders):
                    if candidate not in seen and candidate.is_file():
                        yield from _documents(candidate, folders, seen)
                        break


def _included(item: yaml.Node, file: Path, folders: Sequence[Path]) -> Iterator[Path]:
    if isinstance(item, yaml.ScalarNode):
        name = item.value
    elif isinstance(item, yaml.MappingNode) and isinstance(item.value[0][1], yaml.ScalarNode):
        group = item.value[0][0].value.removeprefix("override ").removeprefix("optional ")
        name = f"{group.partition('@')[0]}/{item.value[0][1].value}"
    else:
        return
    name = name.partition("@")[0].removesuffix(".yaml")
    if not name.startswith("/"):
        yield file.parent / f"{name}.yaml"
    for folder in folders:
        yield folder / f"{name.lstrip('/')}.yaml"


def _short(file: Path) -> str:
    relative = os.path.relpath(file)
    return relative if len(relative) < len(str(file)) and not relative.startswith("..") else str(file)
