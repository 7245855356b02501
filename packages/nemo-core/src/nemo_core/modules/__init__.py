"""Neural modules: torch modules whose inputs and outputs are typed."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Chain": ".ports",
        "Loss": ".loss",
        "NeuralModule": ".module",
        "Port": ".ports",
        "Ports": ".ports",
    },
)
