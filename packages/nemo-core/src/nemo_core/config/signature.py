"""What a constructor takes, read from its source."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

from nemo_core.config.annotations import accepts, parse
from nemo_core.config.static import Definition

__all__ = ["Parameter", "Signature", "signature"]


@dataclass(frozen=True)
class Parameter:
    """One argument of a constructor, or one key of a schema."""

    name: str
    annotation: ast.expr | None = None
    required: bool = False
    nullable: bool = False  # None is the default, so None is allowed whatever the annotation says
    lenient: bool = False  # where only text is wanted, a number is taken as text

    @classmethod
    def of_field(cls, each: dataclasses.Field[object]) -> Parameter:
        """Read a field of a dataclass whose annotations are text (``from __future__ import annotations``)."""
        required = each.default in (dataclasses.MISSING, "???") and each.default_factory is dataclasses.MISSING
        return cls(each.name, parse(str(each.type)), required, nullable=each.default is None, lenient=True)

    def adapt(self, value: Any) -> Any:
        """Return ``value`` as it will be used: a number as text, where this is lenient and only text will do.

        >>> version = Parameter("version", parse("str | None"), lenient=True)
        >>> version.adapt(3), version.adapt(True), Parameter("devices", parse("int | str"), lenient=True).adapt(3)
        ('3', True, 3)
        """
        if self.lenient and type(value) in (int, float) and not accepts(self.annotation, value):
            return str(value) if accepts(self.annotation, str(value)) else value
        return value


@dataclass(frozen=True)
class Signature:
    """The arguments of a callable.

    Attributes:
        parameters: By name, those that can be given by keyword.
        order: Names of those that can be given by position, in order.
        open: Whether further keyword arguments may be taken (``**kwargs``, or source does not tell).
        variadic: Whether any number of positional ones may be taken.
    """

    parameters: Mapping[str, Parameter]
    order: tuple[str, ...] = ()
    open: bool = False
    variadic: bool = False

    def without_first(self) -> Signature:
        """Return the signature less its first parameter: what an optimizer takes besides ``params``."""
        first = self.order[:1]
        kept = {name: each for name, each in self.parameters.items() if name not in first}
        return Signature(kept, self.order[1:], self.open, self.variadic)


_UNKNOWN = Signature({}, open=True, variadic=True)


def signature(definition: Definition | None) -> Signature:
    """Return what the class or function takes; an open signature where source does not tell.

    >>> from nemo_core.config.static import locate
    >>> found = signature(locate("json.JSONDecoder"))
    >>> list(found.parameters)
    ['object_hook', 'parse_float', 'parse_int', 'parse_constant', 'strict', 'object_pairs_hook']
    >>> found.open
    False
    """
    if definition is None:
        return _UNKNOWN
    if isinstance(definition.node, ast.ClassDef):
        return _of_class(definition)
    return _of_function(definition.node, skip=0)


@lru_cache(maxsize=1024)
def _of_class(definition: Definition) -> Signature:
    node = definition.node
    body = {each.name: each for each in getattr(node, "body", ()) if isinstance(each, ast.FunctionDef)}
    if "__init__" in body:
        constructor = body["__init__"]
        taken = _of_function(constructor, skip=1)
        if taken.open and constructor.args.kwarg:
            passed = _passed_to_super(constructor)
            if passed is not None:
                return _extend(taken, _of_bases(definition), *passed)
        return taken
    if "__new__" in body:
        return _of_function(body["__new__"], skip=1)
    if any(_is_dataclass(decorator) for decorator in node.decorator_list):
        return _of_dataclass(definition)
    return _of_bases(definition)


def _of_bases(definition: Definition) -> Signature:
    """Return the constructor that is inherited: the first that a base has."""
    if not isinstance(definition.node, ast.ClassDef) or not definition.node.bases:
        return Signature({})
    for expression, base in zip(definition.node.bases, definition.bases(), strict=True):
        name = ast.unparse(expression)
        if name in ("object", "ABC", "abc.ABC") or name.startswith(("Generic[", "Protocol[")):
            continue
        if base is None:
            return _UNKNOWN
        found = _of_class(base) if isinstance(base.node, ast.ClassDef) else _UNKNOWN
        if found != Signature({}):
            return found
    return Signature({})


def _of_function(node: ast.FunctionDef | ast.AsyncFunctionDef, skip: int) -> Signature:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = list(zip(positional, defaults, strict=True))[skip:]
    by_position_only = {each.arg for each in arguments.posonlyargs}
    named = [pair for pair in pairs if pair[0].arg not in by_position_only]
    named += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return Signature(
        {each.arg: Parameter(each.arg, each.annotation, default is None, _is_none(default)) for each, default in named},
        tuple(each.arg for each, _ in pairs),
        open=arguments.kwarg is not None,
        variadic=arguments.vararg is not None,
    )


def _passed_to_super(node: ast.FunctionDef) -> tuple[int, frozenset[str]] | None:
    """Return what ``super().__init__(...)`` is given besides ``**kwargs``: how many positional, and which names."""
    assert node.args.kwarg is not None
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
            spread = [each for each in call.keywords if each.arg is None]
            handed_on = [each for each in spread if ast.unparse(each.value) == node.args.kwarg.arg]
            if handed_on:
                positional = list(takewhile(lambda each: not isinstance(each, ast.Starred), call.args))
                return len(positional), frozenset(each.arg for each in call.keywords if each.arg)
    return None


def _extend(own: Signature, inherited: Signature, positional: int, names: frozenset[str]) -> Signature:
    used = names | set(inherited.order[:positional])
    further = {name: each for name, each in inherited.parameters.items() if name not in used}
    return Signature({**further, **own.parameters}, own.order, inherited.open, own.variadic)


def _of_dataclass(definition: Definition) -> Signature:
    parameters: dict[str, Parameter] = {}
    order: dict[str, None] = {}
    for base in reversed(list(definition.bases())):
        if base is None:
            return _UNKNOWN
        decorators = base.node.decorator_list if isinstance(base.node, ast.ClassDef) else []
        if any(_is_dataclass(each) for each in decorators):  # another base's constructor is not called
            inherited = _of_dataclass(base)
            parameters.update(inherited.parameters)
            order.update(dict.fromkeys(inherited.order))
    by_keyword = _is_keyword_only(definition.node)
    for name, annotation, default in _fields(definition.node):
        if ast.unparse(annotation) in ("KW_ONLY", "dataclasses.KW_ONLY"):
            by_keyword = True
            continue
        parameters[name] = Parameter(name, annotation, default is None, _is_none(default))
        if by_keyword:
            order.pop(name, None)
        else:
            order[name] = None
    return Signature(parameters, tuple(order))


def _is_keyword_only(node: ast.AST) -> bool:
    """Return whether the decorator of a dataclass says ``kw_only=True``."""
    calls = [each for each in getattr(node, "decorator_list", ()) if _is_dataclass(each) and isinstance(each, ast.Call)]
    options = {keyword.arg: ast.unparse(keyword.value) for call in calls for keyword in call.keywords}
    return options.get("kw_only") == "True"


def _fields(node: ast.AST) -> Iterator[tuple[str, ast.expr, ast.expr | None]]:
    for each in getattr(node, "body", ()):
        if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
            continue
        if ast.unparse(each.annotation).startswith(("ClassVar", "typing.ClassVar")):
            continue
        default = each.value
        if isinstance(default, ast.Call) and ast.unparse(default.func).endswith("field"):
            options = {keyword.arg: keyword.value for keyword in default.keywords}
            if "init" in options and ast.unparse(options["init"]) == "False":
                continue
            default = options.get("default", options.get("default_factory"))
        yield each.target.id, each.annotation, default


def _is_dataclass(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(called) in ("dataclass", "dataclasses.dataclass")


def _is_none(default: ast.expr | None) -> bool:
    return isinstance(default, ast.Constant) and default.value is None
