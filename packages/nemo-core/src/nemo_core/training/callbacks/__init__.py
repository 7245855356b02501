"""What happens around the steps of a training run."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Checkpoints": ".checkpoints",
        "Curve": ".curve",
        "ExactState": ".exact_state",
        "Interruption": ".interruption",
        "NaNGuard": ".nan_guard",
        "PlainProgress": ".progress",
        "Telemetry": ".telemetry",
    },
)
