"""What the work of a chat template costs, and the purse that it is paid from.

The unit is one turn of a loop, one item of a list, or one character. Whatever a template can do in one step is paid
for beforehand, so that no single step is long, and the clock is looked at between the steps.
"""

from __future__ import annotations

import functools
import operator
import re
import string
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["OPERATORS", "WORK", "Budget", "OverBudgetError", "guarded", "join", "pay", "pay_for", "spending"]

#: What the work of a template may cost, besides what the messages are worth that it is given.
WORK = 5_000_000
_MOST = 1000  # of a number that says how wide or how deep
_LONGEST_RANGE = 100_000
_LARGEST = 10_000  # bits of a number
_CHUNK = 1000
_PERCENT = re.compile(r"%(?:\([^)]*\))?([-+ #0-9.*]*)")


class OverBudgetError(Exception):
    """A template does more than it may."""


class Budget:
    """What a template may spend.

    Args:
        work: Turns, items and characters; :data:`WORK` if not given.
        seconds: Of processor time.

    Example:
        >>> budget = Budget(work=3)
        >>> budget.spend(2)
        >>> budget.left
        1
    """

    def __init__(self, work: int | None = None, seconds: float = 5.0) -> None:
        self.left = WORK if work is None else work
        self._end = time.thread_time() + seconds
        self._unlooked = 0

    def spend(self, amount: int) -> None:
        """Pay.

        Raises:
            OverBudgetError: Not so much is left.
        """
        self.left -= amount
        if self.left < 0:
            raise OverBudgetError("it makes too much text, or goes round too often")
        self._unlooked += 1 + amount
        if self._unlooked > _CHUNK:  # to look at the clock takes as long as a turn
            self._unlooked = 0
            if time.thread_time() > self._end:
                raise OverBudgetError("it takes too long")


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextmanager
def spending(budget: Budget) -> Iterator[None]:
    """Let what templates do inside the block be paid for by ``budget``."""
    token = _budget.set(budget)
    try:
        yield
    finally:
        _budget.reset(token)


def pay(amount: int) -> None:
    """Pay for ``amount`` units."""
    budget = _budget.get()
    if budget is None:
        raise OverBudgetError("it runs without a budget")
    budget.spend(amount)


def pay_for(*values: Any) -> int:
    """Pay for values with all that is in them, what is in there twice twice; return how much that was."""
    total = unpaid = 0
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        size = 1
        if isinstance(value, (str, bytes)):
            size += len(value)
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value)
            waiting.extend(value.values())
        total, unpaid = total + size, unpaid + size
        if unpaid > _CHUNK:
            pay(unpaid)
            unpaid = 0
    pay(unpaid)
    return total


def join(parts: Iterable[str]) -> str:
    """Return texts as one."""
    found = []
    for part in parts:
        pay(1 + len(part))
        found.append(part)
    return "".join(found)


def short_range(*args: int) -> range:
    """Return a range that is not too long."""
    numbers = range(*args)
    if len(numbers) > _LONGEST_RANGE:
        raise OverBudgetError(f"it asks for a range of {len(numbers)}")
    return numbers


# ----------------------------------------------------------------------------------------------------------- operators


def _add(left: Any, right: Any) -> Any:
    pay(sum(len(value) if isinstance(value, (str, list, tuple)) else 1 for value in (left, right)))
    return operator.add(left, right)


def _multiply(left: Any, right: Any) -> Any:
    if isinstance(right, (str, list, tuple)):
        left, right = right, left
    if isinstance(left, (str, list, tuple)) and isinstance(right, int):
        pay(max(0, right) * pay_for(left))
    elif isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > _LARGEST:
        raise OverBudgetError("it computes a huge number")
    return operator.mul(left, right)


def _power(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > _LARGEST:
        raise OverBudgetError("it computes a huge number")
    return operator.pow(left, right)


def _remainder(left: Any, right: Any) -> Any:
    if isinstance(left, str):
        widths = _PERCENT.findall(left)
        _pay_for_fields(left, widths, right if isinstance(right, tuple) else (right,))
    return operator.mod(left, right)


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {"+": _add, "*": _multiply, "**": _power, "%": _remainder}


def pay_for_pattern(pattern: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Pay for a text made by ``str.format``."""
    widths = [width for _, _, width, _ in string.Formatter().parse(pattern) if width is not None]
    _pay_for_fields(pattern, widths, (*args, *kwargs.values()))


def _pay_for_fields(pattern: str, specifications: Sequence[str], values: Sequence[Any]) -> None:
    for each in specifications:
        if "*" in each or "{" in each or re.search(r"\d{4,}", each):
            raise OverBudgetError("it pads a text to a huge width, or to one that it computes")
    pay(len(pattern) + len(specifications) * (_MOST + pay_for(*values)))


# ------------------------------------------------------------------------------------------------------------- calls


def pay_for_call(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Pay for a call of a function or of a method of a text; return the arguments to call it with."""
    text, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
    if not isinstance(text, str):
        pay(1)
        if text is not None:  # a method, of a number say
            _check_numbers(name, args, kwargs)
        return args
    if name in ("encode", "translate", "maketrans"):
        raise OverBudgetError(f"it calls {name}() of a text")
    pay(1 + len(text))
    if name in ("ljust", "rjust", "center", "zfill", "expandtabs"):
        _check_numbers(name, args, kwargs)
        pay(_MOST * (1 + text.count("\t")))
    elif name in ("strip", "lstrip", "rstrip"):
        _check_letters(args)
    elif name == "replace":
        _pay_for_replacing(text, args)
    elif name == "join" and len(args) == 1:
        items = args[0] if isinstance(args[0], str) else _items(args[0])
        pay(pay_for(items) + len(items) * len(text))
        return (items,)
    return args


def guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that pays for what it gets and what it makes.

    Args:
        name: What templates call it.
        function: Jinja's own.
    """
    # Some filters get something of Jinja's before the value.
    passed = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def paid(*args: Any, **kwargs: Any) -> Any:
        own, value, rest = args[:passed], args[passed], args[passed + 1 :]
        if name in ("join", "list", "sort", "unique", "min", "max", "groupby", "sum") and not isinstance(value, str):
            value = _items(value)
        pay(pay_for(value, *rest, *kwargs.values()))
        if name not in ("d", "default", "int", "float", "truncate"):
            _check_numbers(name, rest, kwargs)
        if name == "replace":
            _pay_for_replacing(str(value), rest)
        elif name == "format":
            _pay_for_fields(str(value), _PERCENT.findall(str(value)), (*rest, *kwargs.values()))
        elif name == "trim":
            _check_letters((*rest, *kwargs.values()))
        elif name == "join":
            pay(len(value) * max([len(each) for each in (*rest, *kwargs.values()) if isinstance(each, str)] + [1]))
        elif name == "sum" and any(not isinstance(each, (int, float)) for each in (*rest[1:], kwargs.get("start", 0))):
            raise OverBudgetError("it adds up what are no numbers")
        elif name in ("indent", "tojson"):
            widths = [
                len(each) if isinstance(each, str) else each
                for each in (*rest, *kwargs.values())
                if isinstance(each, (int, str))
            ]
            lines = pay_for(value) if name == "tojson" and widths else str(value).count("\n") + 1
            pay(lines * max([4, *widths]) * (4 if name == "tojson" else 1))
        made = function(*own, value, *rest, **kwargs)
        pay_for(made)
        return made

    return paid


def _items(values: Any) -> list[Any]:
    found = []
    for value in values:
        pay(1)
        found.append(value)
    return found


def _check_numbers(name: str, args: Iterable[Any], kwargs: Mapping[str, Any]) -> None:
    for value in (*args, *kwargs.values()):
        if isinstance(value, int) and abs(value) > _MOST:
            raise OverBudgetError(f"it calls {name} with {value if abs(value) < 10**20 else 'a huge number'}")


def _check_letters(args: Iterable[Any]) -> None:
    if any(isinstance(each, str) and len(each) > _MOST for each in args):
        raise OverBudgetError("it strips off too many letters")


def _pay_for_replacing(text: str, args: Sequence[Any]) -> None:
    if len(args) >= 2:
        pay((text.count(str(args[0])) + 1) * (1 + len(str(args[1]))))
