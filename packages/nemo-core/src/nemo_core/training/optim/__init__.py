"""Optimisers that torch does not have."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Adan": ".adan",
        "FusedAdam": ".fused_adam",
        "Lamb": ".lamb",
        "Muon": ".muon",
        "NovoGrad": ".novograd",
    },
)
