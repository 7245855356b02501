"""Which dimensions of an exported model are free: read off the types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nemo_core.types.axes import Axis, AxisKind
from nemo_core.types.neural_type import NeuralType

__all__ = ["dynamic_axes", "dynamic_shapes"]

# The length of a feature axis is a property of the model, whether or not the type states it.
_FREE = {
    AxisKind.Batch: "batch",
    AxisKind.Time: "time",
    AxisKind.Sequence: "sequence",
    AxisKind.Height: "height",
    AxisKind.Width: "width",
}


def dynamic_axes(types: Mapping[str, NeuralType]) -> dict[str, dict[int, str]]:
    """Return the free axes of each tensor, as ``torch.onnx.export(dynamic_axes=...)`` takes them.

    Batch, time, sequence, height and width are free unless the type fixes their size. The batch axis has one name in
    all tensors and a named size (``"T:frames"``) is its own name; other axes are named after their tensor.

    Args:
        types: Names of inputs or outputs and their types. Ports that are no single tensor are left out.

    Example:
        >>> from nemo_core.types import AudioSignal, Lengths
        >>> dynamic_axes({"audio": NeuralType(("B", "T"), AudioSignal()), "length": NeuralType(("B",), Lengths())})
        {'audio': {0: 'batch', 1: 'audio_time'}, 'length': {0: 'batch'}}
    """
    free = {}
    for port, type in types.items():
        if isinstance(type, NeuralType) and type.axes is not None and not any(axis.is_list for axis in type.axes):
            named: dict[int, str] = {}
            for index, axis in enumerate(type.axes):
                name = _name(port, axis)
                if name is not None:
                    named[index] = f"{name}_{index}" if name in named.values() and axis.size is None else name
            free[port] = named
    return free


def dynamic_shapes(types: Mapping[str, NeuralType]) -> dict[str, dict[int, Any]]:
    """Return the free axes as ``torch.export.export(dynamic_shapes=...)`` takes them.

    ``torch.export`` finds out by itself which of the free dimensions are tied to each other.
    """
    import torch

    return {port: dict.fromkeys(axes, torch.export.Dim.AUTO) for port, axes in dynamic_axes(types).items()}


def _name(port: str, axis: Axis) -> str | None:
    if isinstance(axis.size, str):
        return axis.size
    label = _FREE.get(axis.kind)
    if axis.size is not None or label is None:
        return None
    return label if axis.kind is AxisKind.Batch else f"{port}_{label}"
