"""Data for training: which items form which batch, in which order, and how to go on exactly where a run was stopped."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "BatchOrder": ".order",
        "DataModule": ".module",
        "ResumableLoader": ".loader",
        "item_rng": ".order",
    },
)
