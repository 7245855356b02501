"""Data for training: which items form which batch, in which order, and how to go on exactly where a run was stopped."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.data.loader import ResumableLoader as ResumableLoader
    from nemo_core.data.module import DataModule as DataModule
    from nemo_core.data.order import BatchOrder as BatchOrder
    from nemo_core.data.order import item_rng as item_rng

__getattr__, __dir__ = attach(__name__)
