"""Writing a model in a format of others.

A format is a component of the kind ``exporter``: a function ``write(model, path, *, overwrite)`` that returns the path
it wrote, and raises :class:`~nemo_core.errors.ExportError` for what the format cannot say. Any plugin can add one::

    registry.exporter("onnx", "nemo_birdsong.onnx:write", summary="ONNX graph")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nemo_core.models.model import Model

__all__ = ["Exporter", "export"]


class Exporter(Protocol):
    """What a component of the kind ``exporter`` is."""

    def __call__(self, model: Model, path: Path, *, overwrite: bool = False) -> Path:
        """Write ``model`` to ``path`` and return the path."""


def export(model: Model, path: str | Path, format: str, *, overwrite: bool = False) -> Path:
    """Write ``model`` to ``path`` in the format of that name.

    Args:
        model: The model.
        path: The file to write.
        format: Name of an exporter, such as ``nvidia-nemo``.
        overwrite: Replace a file that is there.

    Returns:
        The path.

    Raises:
        ComponentNotFoundError: No installed plugin offers the format.
        ExportError: The format cannot express the model; the message names the setting.
        ArchiveError: The file is there already, or cannot be written.
    """
    from nemo_core.plugins import registry

    write: Exporter = registry().get("exporter", format).load()
    return write(model, Path(path), overwrite=overwrite)
