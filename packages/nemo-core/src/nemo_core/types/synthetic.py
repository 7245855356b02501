"""Made-up batches that look like what the types describe: for examples, export and measuring memory.

>>> from nemo_core.types import AudioSignal, Lengths
>>> types = {"audio": NeuralType(("B", "T"), AudioSignal(16000)), "length": NeuralType(("B",), Lengths())}
>>> batch = synthetic_batch(types, {"B": 3, "T": 400})
>>> batch["audio"].shape, batch["length"].max()
(torch.Size([3, 400]), tensor(400))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nemo_core.errors import NeuralTypeError
from nemo_core.types import elements as e
from nemo_core.types.axes import Axis, AxisKind
from nemo_core.types.neural_type import Declared, NeuralType

if TYPE_CHECKING:
    import torch

__all__ = ["synthetic_batch"]

_DEFAULT_SIZES = {"B": 2, "T": 64, "D": 8, "W": 16, "H": 16, "SEQ": 16, "FLOWGROUP": 2, "ANY": 4}
_DURATION_SHARE = 4  # tokens last a few frames


def synthetic_batch(
    types: Mapping[str, Declared],
    sizes: Mapping[str, int | Mapping[str, int]] | None = None,
    *,
    classes: int = 10,
    seed: int = 0,
    device: str | torch.device = "cpu",
    include_optional: bool = True,
) -> dict[str, Any]:
    """Return a plausible value for each type: a tensor, or a list of them where the type says so.

    Lengths never exceed the time axis of the tensor they belong to, and one of them reaches it. A length belongs to
    the port whose name it carries (``audio_length`` to ``audio``), else to the last port before it that has a time or
    sequence axis, else to the first one that has.

    Args:
        types: Names and types, in the order of ``forward``'s arguments.
        sizes: Length per kind of axis (``{"B": 4, "T": 16000}``), per named size (``{"frames": 100}``), or per port
            (``{"audio": {"T": 16000}}``); the more specific wins. What the type fixes is not asked for.
        classes: Labels and token indices are below this.
        seed: The same seed gives the same batch.
        device: Where the tensors are put.
        include_optional: Whether optional ports get a value too.

    Raises:
        NeuralTypeError: ``sizes`` names no axis or port of the types.
    """
    import torch

    sizes = dict(sizes or {})
    _check_sizes(types, sizes)
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for port, declared in types.items():
        if include_optional or not (isinstance(declared, NeuralType) and declared.optional):
            maker = _Maker(generator, sizes, port, classes, _longest(types, port, sizes))
            made[port] = _to(maker.make(declared), device)
    return made


class _Maker:
    def __init__(
        self, generator: torch.Generator, sizes: Mapping[str, Any], port: str, classes: int, longest: int
    ) -> None:
        self.generator, self.sizes, self.port, self.classes, self.longest = generator, sizes, port, classes, longest

    def make(self, declared: Declared) -> Any:
        if isinstance(declared, list):
            return [self.make(item) for item in declared * _size(Axis("B"), self.port, self.sizes)]
        if isinstance(declared, tuple):
            return tuple(self.make(item) for item in declared)
        axes = declared.axes or ()
        if axes and axes[0].is_list:
            inner = NeuralType(axes[1:], declared.element)
            return [self.make(inner) for _ in range(_size(axes[0], self.port, self.sizes))]
        shape = [_size(axis, self.port, self.sizes) for axis in axes]
        for cls in type(declared.element).__mro__:
            if cls in _VALUES:
                return _VALUES[cls](self, shape, [axis.kind for axis in axes])
        raise AssertionError("ElementType itself is in the table")


def _normal(make: _Maker, shape: list[int], kinds: list[AxisKind]) -> Any:
    import torch

    return torch.randn(shape, generator=make.generator)


def _uniform(make: _Maker, shape: list[int], kinds: list[AxisKind]) -> Any:
    import torch

    return torch.rand(shape, generator=make.generator)


def _signal(make: _Maker, shape: list[int], kinds: list[AxisKind]) -> Any:
    """A tone in noise that stays within [-1, 1]."""
    import torch

    noise = torch.rand(shape, generator=make.generator) - 0.5
    steps = shape[kinds.index(AxisKind.Time)] if AxisKind.Time in kinds else 1
    tone = 0.5 * torch.sin(2 * math.pi * 0.02 * torch.arange(steps))
    along = [steps if kind is AxisKind.Time and i == kinds.index(AxisKind.Time) else 1 for i, kind in enumerate(kinds)]
    return 0.2 * noise + tone.reshape(along)


def _integers(make: _Maker, shape: list[int], kinds: list[AxisKind]) -> Any:
    import torch

    return torch.randint(make.classes, shape, generator=make.generator)


def _lengths(make: _Maker, shape: list[int], kinds: list[AxisKind]) -> Any:
    import torch

    lengths = torch.randint(max(1, make.longest // 2), make.longest + 1, shape, generator=make.generator)
    if lengths.numel():
        lengths.view(-1)[0] = make.longest
    return lengths


def _durations(make: _Maker, shape: list[int], kinds: list[AxisKind]) -> Any:
    import torch

    return torch.randint(1, 2 * _DURATION_SHARE, shape, generator=make.generator)


def _booleans(make: _Maker, shape: list[int], kinds: list[AxisKind]) -> Any:
    import torch

    return torch.rand(shape, generator=make.generator) < 0.5


def _mask(make: _Maker, shape: list[int], kinds: list[AxisKind]) -> Any:
    """True up to some point of the last axis, as padding masks are."""
    import torch

    if not shape:
        return torch.tensor(True)
    ends = torch.randint(max(1, shape[-1] // 2), shape[-1] + 1, [*shape[:-1], 1], generator=make.generator)
    return torch.arange(shape[-1]) < ends


def _probabilities(make: _Maker, shape: list[int], kinds: list[AxisKind]) -> Any:
    return _normal(make, shape, kinds).softmax(_class_axis(kinds)) if shape else _uniform(make, shape, kinds)


def _log_probabilities(make: _Maker, shape: list[int], kinds: list[AxisKind]) -> Any:
    return _normal(make, shape, kinds).log_softmax(_class_axis(kinds)) if shape else _uniform(make, shape, kinds).log()


def _class_axis(kinds: list[AxisKind]) -> int:
    return kinds.index(AxisKind.Dimension) if AxisKind.Dimension in kinds else len(kinds) - 1


def _pixels(make: _Maker, shape: list[int], kinds: list[AxisKind]) -> Any:
    return (_uniform(make, shape, kinds) * 255).round()


def _texts(make: _Maker, shape: list[int], kinds: list[AxisKind]) -> Any:
    if not shape:
        return "text"
    return [_texts(make, shape[1:], kinds[1:]) for _ in range(shape[0])]


_VALUES: dict[type, Callable[[_Maker, list[int], list[AxisKind]], Any]] = {
    e.ElementType: _normal,
    e.AudioSignal: _signal,
    e.VideoSignal: _uniform,
    e.ImageValue: _pixels,
    e.NormalizedImageValue: _uniform,
    e.Probs: _probabilities,
    e.LogProbs: _log_probabilities,
    e.Labels: _integers,
    e.RegressionValues: _normal,
    e.Mask: _mask,
    e.Lengths: _lengths,
    e.Loss: _uniform,
    e.Index: _integers,
    e.ClassificationTarget: _integers,
    e.String: _texts,
    e.Bool: _booleans,
    e.Int: _integers,
    e.Length: _lengths,
    e.SequenceToSequenceAlignment: _probabilities,
    e.TokenDuration: _durations,
}


def _size(axis: Axis, port: str, sizes: Mapping[str, Any]) -> int:
    if isinstance(axis.size, int):
        return axis.size
    names = [name for name in (axis.size, axis.kind.value) if name is not None]
    own = sizes.get(port)
    for source in (own if isinstance(own, Mapping) else {}, sizes, _DEFAULT_SIZES):
        for name in names:
            if isinstance(source.get(name), int):
                return int(source[name])
    return 1  # Singleton as a list


def _steps(declared: Declared, port: str, sizes: Mapping[str, Any]) -> int | None:
    """Length of the time or sequence axis of a tensor, if it has one."""
    if isinstance(declared, NeuralType):
        for axis in declared.axes or ():
            if axis.kind in (AxisKind.Time, AxisKind.Sequence) and not axis.is_list:
                return _size(axis, port, sizes)
    return None


def _longest(types: Mapping[str, Declared], port: str, sizes: Mapping[str, Any]) -> int:
    """Return what a length at ``port`` may reach at most."""
    steps = {name: count for name, type in types.items() if (count := _steps(type, name, sizes)) is not None}
    named = [name for name in steps if name != port and port.startswith(name)]
    if named:
        return steps[max(named, key=len)]
    order = list(types)
    before = [name for name in steps if order.index(name) < order.index(port)]
    return steps[before[-1]] if before else next(iter(steps.values()), _DEFAULT_SIZES["T"])


def _check_sizes(types: Mapping[str, Declared], sizes: Mapping[str, Any]) -> None:
    known = {*types, *_DEFAULT_SIZES}
    for type in types.values():
        axes = type.axes if isinstance(type, NeuralType) else None
        known |= {axis.size for axis in axes or () if isinstance(axis.size, str)}
    unknown = [name for name in sizes if name not in known]
    if unknown:
        raise NeuralTypeError(
            f"sizes: {', '.join(unknown)} is neither an axis nor a port", hint=f"use {', '.join(sorted(known))}"
        )


def _to(value: Any, device: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_to(item, device) for item in value)
    return value.to(device) if hasattr(value, "to") else value
