"""What happens around the steps of a training run."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.training.callbacks.checkpoints import Checkpoints as Checkpoints
    from nemo_core.training.callbacks.curve import Curve as Curve
    from nemo_core.training.callbacks.exact_state import ExactState as ExactState
    from nemo_core.training.callbacks.interruption import Interruption as Interruption
    from nemo_core.training.callbacks.nan_guard import NaNGuard as NaNGuard
    from nemo_core.training.callbacks.progress import PlainProgress as PlainProgress
    from nemo_core.training.callbacks.telemetry import Telemetry as Telemetry

__getattr__, __dir__ = attach(__name__)
