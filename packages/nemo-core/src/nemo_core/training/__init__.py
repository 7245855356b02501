"""Training: from a recipe to a run folder with checkpoints, logs, metrics and a model archive."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.training.checkpoint_io import AtomicCheckpointIO as AtomicCheckpointIO
    from nemo_core.training.optimization import attach_optimizer as attach_optimizer
    from nemo_core.training.result import RunResult as RunResult
    from nemo_core.training.run import train as train
    from nemo_core.training.run_folder import RunFolder as RunFolder

__getattr__, __dir__ = attach(__name__)
