"""Modules of multimodal models."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_mm.modules.dit import DiT as DiT

__getattr__, __dir__ = attach(__name__)
