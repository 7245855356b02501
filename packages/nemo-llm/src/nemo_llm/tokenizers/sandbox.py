"""Jinja for templates from strangers: no way into Python, and a bound on what a template may do.

Jinja's own sandbox keeps templates from Python's attributes and from changing what they are given, but lets them run
for ever and fill the memory. Here each turn of a loop, each call, and whatever makes a text or a list longer, is paid
for out of a :class:`Budget` before it happens; :mod:`nemo_llm.tokenizers.tolls` says what costs how much.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2 import Template, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from jinja2.utils import Namespace

from nemo_llm.tokenizers import tolls
from nemo_llm.tokenizers.tolls import OverBudgetError

__all__ = ["Sandbox", "TemplateRefusalError", "marking"]

#: Filters that search with regular expressions, pad, or whose result is not the same each time: no template needs them.
_LEFT_OUT = ("batch", "center", "pprint", "random", "slice", "striptags", "urlize", "wordwrap", "xmlattr")

_marks: ContextVar[tuple[str, str] | None] = ContextVar("marks", default=None)


class TemplateRefusalError(Exception):
    """A template called ``raise_exception``."""


@contextmanager
def marking(start: str, end: str) -> Iterator[None]:
    """Let ``{% generation %}`` blocks stand between ``start`` and ``end`` in what is rendered inside the block."""
    token = _marks.set((start, end))
    try:
        yield
    finally:
        _marks.reset(token)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment that chat templates are written for, with its doors shut and its work counted.

    Example:
        >>> template = Sandbox().load("{% for x in range(3) %}{{ x }},{% endfor %}")
        >>> with tolls.spending(tolls.Budget()):
        ...     template.render()
        '0,1,2,'
    """

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[loopcontrols, _Generation, _Tolls],
            optimized=False,
            cache_size=0,
        )
        known = {name: function for name, function in self.filters.items() if name not in _LEFT_OUT}
        known["tojson"] = _tojson
        self.filters = {name: tolls.guarded(name, function) for name, function in known.items()}
        self.globals = {
            "range": tolls.short_range,
            "dict": _make_dict,
            "namespace": _Names,
            "cycler": self.globals["cycler"],
            "joiner": self.globals["joiner"],
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
        }
        self.binop_table.update(tolls.OPERATORS)
        self.concat = tolls.join  # type: ignore[method-assign]

    def load(self, source: str) -> Template:
        """Return the template of ``source``; nothing of it runs yet.

        Raises:
            SecurityError: It names an attribute that only Python's insides have.
            TemplateSyntaxError: It is no Jinja.
        """
        tree = self.parse(source)
        for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.NSRef)):
            name = _attribute(node)
            if isinstance(name, str) and name.startswith("__"):
                raise SecurityError(f"line {node.lineno}: it reaches for {name!r}")
        extension = self.extensions[_Tolls.identifier]
        assert isinstance(extension, _Tolls)
        extension.put_up(tree)
        # Whatever the compiler can compute it computes while it compiles.
        with tolls.spending(tolls.Budget()):
            return self.template_class.from_code(self, self.compile(tree), self.make_globals(None))

    def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
        """Refuse at once: Jinja's own answer prints as nothing, so that nobody would see what was asked for."""
        raise SecurityError(f"it reaches for {attribute!r} of a {type(obj).__name__}")

    def call(self, context: Context, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call ``function``, for its price."""
        if not isinstance(function, Macro):
            args = tolls.pay_for_call(function, args, kwargs)
        return super().call(context, function, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Any:
        """Return ``str.format`` as Jinja's sandbox has it, for its price."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        pattern = str(value.__self__)

        def paid(*args: Any, **kwargs: Any) -> str:
            tolls.pay_for_pattern(pattern, args, kwargs)
            return wrapped(*args, **kwargs)

        return paid


def _attribute(node: nodes.Node) -> Any:
    if isinstance(node, (nodes.Getattr, nodes.NSRef)):
        return node.attr
    return node.arg.value if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) else None


class _Tolls(Extension):
    """Sees to it that what the language itself does is paid for: loops, macros, ``~``, and lists that are written."""

    def turn(self) -> str:
        """Pay for a turn of a loop, or a call of a macro."""
        tolls.pay(1)
        return ""

    def joined(self, *parts: Any) -> str:
        """Return ``a ~ b``."""
        return tolls.join(map(str, parts))

    def made(self, value: Any) -> Any:
        """Return a list, tuple or dict, paid for with all that is in it: so none can hold itself a million times."""
        tolls.pay_for(value)
        return value

    def put_up(self, tree: nodes.Template) -> None:
        """Change a template's tree so that it pays."""
        for node in tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock)):
            assert isinstance(node, (nodes.For, nodes.Macro, nodes.CallBlock))
            node.body.insert(0, nodes.ExprStmt(self.call_method("turn")).set_lineno(node.lineno))
        self._replace(tree)

    def _replace(self, node: nodes.Node) -> nodes.Node:
        for field, value in node.iter_fields():
            if isinstance(value, nodes.Node):
                setattr(node, field, self._replace(value))
            elif isinstance(value, list):
                setattr(node, field, [self._replace(one) if isinstance(one, nodes.Node) else one for one in value])
        if isinstance(node, nodes.Concat):
            return self.call_method("joined", node.nodes).set_lineno(node.lineno)
        if isinstance(node, (nodes.List, nodes.Dict)) or (isinstance(node, nodes.Tuple) and node.ctx == "load"):
            return self.call_method("made", [node]).set_lineno(node.lineno)
        return node


class _Generation(Extension):
    """``{% generation %}...{% endgeneration %}``: what the assistant says, as Hugging Face's templates tell it."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        """Make a call of the block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("mark"), [], [], body).set_lineno(line)

    def mark(self, caller: Callable[[], str]) -> str:
        """Return what the block renders, between marks if these are wanted."""
        marks = _marks.get()
        return caller() if marks is None else f"{marks[0]}{caller()}{marks[1]}"


class _Names(Namespace):
    """A namespace whose names are its own."""

    def __init__(*args: Any, **values: Any) -> None:  # as in Jinja, so that a name may be called ``self``
        self, given = args[0], dict(*args[1:], **values)
        for name in given:
            _check_name(name)
        Namespace.__init__(self, given)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or name.startswith("_"):
        raise SecurityError(f"it puts {name!r} into a namespace")


def _make_dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    made = dict(*args, **kwargs)
    tolls.pay_for(made)
    return made


def _raise_exception(message: Any) -> None:
    raise TemplateRefusalError(str(message))


def _strftime_now(pattern: str) -> str:
    if len(pattern) > 200 or re.search(r"\d{3,}", pattern):
        raise OverBudgetError("it asks for a date of huge width")
    return datetime.datetime.now().strftime(pattern)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
