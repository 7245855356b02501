"""What nemo-tts registers with nemo-core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_core.plugins import hookimpl

if TYPE_CHECKING:
    from nemo_core.plugins import Registry


@hookimpl
def nemo_components(registry: Registry) -> None:
    """Offer nothing yet: the package holds its place in the workspace until its components arrive."""
