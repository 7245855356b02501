"""Reading YAML that nobody vouches for: plain values only, and neither deep nor multiplied past reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from nemo_core.errors import ArchiveError, UnsafeArchiveError

__all__ = ["dump", "load"]

# libyaml composes by recursion in C and would overflow the stack; its parser is a plain loop.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEPTH = 100
_NODES = 500_000
_REFERENCE = re.compile(r"\$\{\s*([A-Za-z_][\w]*(?:\.\w+)*)\s*\}")


def load(content: bytes, where: str, *, references: bool = False) -> dict[str, Any]:
    r"""Return the mapping that a YAML file holds.

    Args:
        content: The text, UTF-8.
        where: What to call it in errors.
        references: Replace ``${a.b}``, where it stands alone, by the value at ``a.b`` of the same file, if there is
            one. No other interpolation is ever done: resolvers could read the environment.

    Raises:
        ArchiveError: The text is no YAML, or no mapping.
        UnsafeArchiveError: It nests deeper, or unfolds (through anchors) to more values, than any honest file.

    Example:
        >>> load(b"rate: 16000\nencoder: {rate: '${rate}'}", "demo", references=True)
        {'rate': 16000, 'encoder': {'rate': 16000}}
    """
    try:
        _check_depth(content, where)
        value = yaml.load(content, Loader=_LOADER)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        problem = str(error).replace("\n", " ")
        raise ArchiveError(f"{where} is not plain YAML: {problem}") from error
    if not isinstance(value, dict):
        raise ArchiveError(f"{where} holds no mapping but {type(value).__name__}")
    budget = iter(range(_NODES))
    root = value if references else {}
    return {key: _unfold(item, root, budget, where, 0) for key, item in value.items()}


def dump(value: dict[str, Any]) -> str:
    """Return ``value`` as YAML, in its order and without anchors."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    # A dumper class of its own: ignore_aliases is a method, and the shared class is not ours to change.
    plain = type("PlainDumper", (dumper,), {"ignore_aliases": lambda self, data: True})
    text: str = yaml.dump(value, Dumper=plain, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100)
    return text


def _check_depth(content: bytes, where: str) -> None:
    depth = 0
    for event in yaml.parse(content, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEPTH:
                raise UnsafeArchiveError(f"{where} is nested more than {_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _unfold(value: Any, root: dict[str, Any], budget: Iterator[int], where: str, depth: int) -> Any:
    """Copy ``value`` so that no part is shared, with references followed, at most ``_NODES`` values in all."""
    if next(budget, None) is None or depth > _DEPTH:
        raise UnsafeArchiveError(f"{where} unfolds to more than {_NODES:,} values or refers to itself")
    if isinstance(value, dict):
        return {key: _unfold(item, root, budget, where, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_unfold(item, root, budget, where, depth + 1) for item in value]
    if isinstance(value, str) and (match := _REFERENCE.fullmatch(value)):
        found, target = _lookup(root, match.group(1))
        return _unfold(target, root, budget, where, depth + 1) if found else value
    return value


def _lookup(root: dict[str, Any], path: str) -> tuple[bool, Any]:
    node: Any = root
    for key in path.split("."):
        if not isinstance(node, dict) or key not in node:
            return False, None
        node = node[key]
    return True, node
