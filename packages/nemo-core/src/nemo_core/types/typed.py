"""The decorator that checks a module's calls against the types it declares.

>>> from nemo_core.types import Lengths, MelSpectrogram, NeuralType, typed
>>> class Stack:
...     input_types = {"features": NeuralType(("B", "D:2", "T"), MelSpectrogram)}
...     output_types = {"features": NeuralType(("B", "D", "T"), MelSpectrogram)}
...
...     @typed
...     def forward(self, features):
...         return features * 2
>>> import numpy
>>> Stack().forward(numpy.ones((1, 2, 3))).shape
(1, 2, 3)
>>> Stack().forward(numpy.ones((1, 3, 2)))
Traceback (most recent call last):
    ...
nemo_core.errors.NeuralTypeError: ndarray of shape (1, 3, 2) does not fit Stack.features (B, D:2, T) MelSpectrogram
  axis 1 has length 3, wanted 2; are the axes in another order? .transpose(1, 2) would fit
>>> with typed.disabled():
...     Stack().forward(numpy.ones((1, 3, 2))).shape
(1, 3, 2)
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar, overload

from nemo_core._environment import is_on
from nemo_core.types.calls import call_check
from nemo_core.types.neural_type import Declared

__all__ = ["typecheck", "typed"]

_Method = TypeVar("_Method", bound=Callable[..., Any])
_Types = Mapping[str, Declared]

_OFF, _SHAPES, _ALL = 0, 1, 2
# A context variable belongs to one thread and one async task, and resetting it restores what was there before: that is
# what makes the switches safe to nest and to use from several threads at once.
_LEVEL: ContextVar[int] = ContextVar("nemo_typed", default=_ALL if is_on("NEMO_TYPED", default=True) else _OFF)


class Typed:
    """Decorator for ``forward`` and other methods; :data:`typed` is the one instance.

    The method's arguments, positional or by name, are checked against ``self.input_types`` and what it returns against
    ``self.output_types`` (mappings from names to types; one that is empty or None is not checked):

    - names: unknown, missing, too many;
    - ranks, fixed sizes, and named sizes (``"T:frames"``), which must agree within a call;
    - element types, where a tensor came out of another typed module. The type travels on the tensor as its attribute
      ``neural_type`` and the port it came from as ``neural_port``; any operation on the tensor drops both.

    Nothing is checked while torch compiles, exports or traces the method. ``NEMO_TYPED=0`` in the environment turns
    the checks off for a whole process; the context managers do so for a block.
    """

    @overload
    def __call__(self, method: _Method) -> _Method: ...
    @overload
    def __call__(
        self, *, input_types: _Types | None = None, output_types: _Types | None = None
    ) -> Callable[[_Method], _Method]: ...

    def __call__(
        self,
        method: _Method | None = None,
        *,
        input_types: _Types | None = None,
        output_types: _Types | None = None,
    ) -> _Method | Callable[[_Method], _Method]:
        """Decorate a method: ``@typed``, ``@typed()``, or ``@typed(input_types=..., output_types=...)``.

        Args:
            method: What is decorated.
            input_types: Types to use in place of ``self.input_types``.
            output_types: Types to use in place of ``self.output_types``.
        """
        if method is None:
            return lambda method: _wrap(method, input_types, output_types)
        return _wrap(method, input_types, output_types)

    @contextlib.contextmanager
    def disabled(self) -> Iterator[None]:
        """Check nothing within the block, in this thread or async task."""
        token = _LEVEL.set(_OFF)
        try:
            yield
        finally:
            _LEVEL.reset(token)

    @contextlib.contextmanager
    def shapes_only(self) -> Iterator[None]:
        """Check names, ranks and sizes within the block, but not element types."""
        token = _LEVEL.set(min(_SHAPES, _LEVEL.get()))
        try:
            yield
        finally:
            _LEVEL.reset(token)

    @property
    def enabled(self) -> bool:
        """Whether calls are checked here and now."""
        return _LEVEL.get() != _OFF

    # The names NVIDIA NeMo gives the two.
    disable_checks = disabled
    disable_semantic_checks = shapes_only


def _wrap(method: _Method, input_types: _Types | None, output_types: _Types | None) -> _Method:
    following, tracing = _torch_states()

    @functools.wraps(method)
    def checked(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        # First, as the compiler that follows this very code cannot follow a context variable.
        if following() or not (level := _LEVEL.get()) or tracing():
            return method(self, *args, **kwargs)
        inputs = input_types if input_types is not None else self.input_types
        outputs = output_types if output_types is not None else self.output_types
        # Looked up by content, so that types which depend on an instance, or change with it, are always the present
        # ones.
        check = call_check(
            type(self),
            method,
            tuple(inputs.items()) if inputs else (),
            tuple(outputs.items()) if outputs else (),
        )
        sizes = check.inputs(args, kwargs, level == _ALL)
        result = method(self, *args, **kwargs)
        check.outputs(result, sizes, level == _ALL)
        return result

    return checked  # type: ignore[return-value]


def _torch_states() -> tuple[Callable[[], bool], Callable[[], bool]]:
    """Return what says that torch's compiler follows the code, and that torch exports or traces what it runs.

    A method of a torch module is decorated when torch is there; where it is not, there is nothing to be traced by.
    """
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "compiler"):
        return _never, _never
    exporting, tracing = torch.compiler.is_compiling, torch.jit.is_tracing
    return torch.compiler.is_dynamo_compiling, lambda: exporting() or tracing()


def _never() -> bool:
    return False


typed = Typed()
typecheck = typed
"""The name NVIDIA NeMo gives it."""
