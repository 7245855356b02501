"""Neural modules: torch modules whose inputs and outputs are typed."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.modules.dropout import Dropout as Dropout
    from nemo_core.modules.dropout import dropout as dropout
    from nemo_core.modules.loss import Loss as Loss
    from nemo_core.modules.module import NeuralModule as NeuralModule
    from nemo_core.modules.ports import Chain as Chain
    from nemo_core.modules.ports import Port as Port
    from nemo_core.modules.ports import Ports as Ports

__getattr__, __dir__ = attach(__name__)
