"""Judge a value of a configuration by an annotation that is known only as source: ``list[int] | None``.

Only what is certain is called wrong. An annotation that names a class of the author's own accepts anything, as does a
value that will be built (a mapping with ``_target_``).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

__all__ = ["accepts", "parse", "show"]

_SCALARS: Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "Path": (str,),
    "PathLike": (str,),
    "None": (type(None),),
}
_LISTS = frozenset({"list", "List", "Sequence", "Iterable", "Collection", "MutableSequence", "set", "Set", "frozenset"})
_MAPPINGS = frozenset({"dict", "Dict", "Mapping", "MutableMapping"})


def parse(text: str) -> ast.expr | None:
    """Return the syntax tree of an annotation; None if it is not an expression."""
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


def accepts(annotation: ast.expr | None, value: Any) -> bool:
    """Whether ``value``, of plain Python types, can be meant by ``annotation``.

    >>> accepts(parse("int | None"), None), accepts(parse("int"), "x"), accepts(parse("list[float]"), [1, 0.5])
    (True, False, True)
    >>> accepts(parse("Literal['min', 'max']"), "mean"), accepts(parse("Encoder"), 3)
    (False, True)
    """
    if annotation is None or (isinstance(value, Mapping) and "_target_" in value):
        return True
    if isinstance(annotation, ast.Constant):
        if isinstance(annotation.value, str):  # a quoted annotation
            return accepts(parse(annotation.value), value)
        return value is None if annotation.value is None else True
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return accepts(annotation.left, value) or accepts(annotation.right, value)
    if isinstance(annotation, ast.Subscript):
        return _accepts_generic(annotation, value)
    name = _name(annotation)
    if name in _SCALARS:
        return _is(value, _SCALARS[name])
    if name in _LISTS or name in ("tuple", "Tuple"):
        return isinstance(value, (list, tuple))
    return isinstance(value, Mapping) if name in _MAPPINGS else True


def show(annotation: ast.expr) -> str:
    """Return an annotation as a person reads it.

    >>> show(parse("Optional[Literal['min', 'max']]"))
    "'min', 'max' or null"
    """
    return " or ".join(dict.fromkeys(_words(annotation)))


def _accepts_generic(annotation: ast.Subscript, value: Any) -> bool:
    name = _name(annotation.value)
    arguments = list(annotation.slice.elts) if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
    if name == "Optional":
        return value is None or accepts(arguments[0], value)
    if name == "Union":
        return any(accepts(argument, value) for argument in arguments)
    if name in ("Annotated", "Final", "ClassVar", "Required"):
        return accepts(arguments[0], value)
    if name == "Literal":
        known = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
        return len(known) < len(arguments) or any(type(value) is type(each) and value == each for each in known)
    if name in _LISTS:
        return isinstance(value, (list, tuple)) and all(accepts(arguments[0], item) for item in value)
    if name in ("tuple", "Tuple"):
        if not isinstance(value, (list, tuple)):
            return False
        if isinstance(arguments[-1], ast.Constant) and arguments[-1].value is ...:
            return all(accepts(arguments[0], item) for item in value)
        return len(value) == len(arguments) and all(map(accepts, arguments, value))
    if name in _MAPPINGS:
        return isinstance(value, Mapping) and all(accepts(arguments[-1], item) for item in value.values())
    return True


def _is(value: Any, types: tuple[type, ...]) -> bool:
    # A bool is an int to Python, but `n_layers: true` is a mistake.
    return isinstance(value, types) and (not isinstance(value, bool) or bool in types)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _words(annotation: ast.expr) -> list[str]:
    if isinstance(annotation, ast.BinOp):
        return _words(annotation.left) + _words(annotation.right)
    if isinstance(annotation, ast.Constant):
        inner = parse(annotation.value) if isinstance(annotation.value, str) else None
        return _words(inner) if inner is not None else ["null" if annotation.value is None else repr(annotation.value)]
    if isinstance(annotation, ast.Subscript):
        arguments = list(annotation.slice.elts) if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        name = _name(annotation.value)
        if name == "Optional":
            return [*_words(arguments[0]), "null"]
        if name == "Union":
            return [word for argument in arguments for word in _words(argument)]
        if name == "Literal":
            return [", ".join(ast.unparse(argument) for argument in arguments)]
    return [ast.unparse(annotation)]
