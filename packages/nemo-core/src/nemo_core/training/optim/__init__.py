"""Optimisers that torch does not have."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.training.optim.adan import Adan as Adan
    from nemo_core.training.optim.fused_adam import FusedAdam as FusedAdam
    from nemo_core.training.optim.lamb import Lamb as Lamb
    from nemo_core.training.optim.muon import Muon as Muon
    from nemo_core.training.optim.novograd import NovoGrad as NovoGrad

__getattr__, __dir__ = attach(__name__)
