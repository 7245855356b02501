"""Training: from a recipe to a run folder with checkpoints, logs, metrics and a model archive."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "RunFolder": ".run_folder",
        "RunResult": ".result",
        "attach_optimizer": ".optimization",
        "train": ".run",
    },
)
