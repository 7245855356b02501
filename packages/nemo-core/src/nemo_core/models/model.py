"""The base of all models: a small ``LightningModule`` that can be configured, archived and restored.

A model is made of parts that exist already. It reads no data, knows no trainer and opens no file; a ``DataModule``
feeds it, the training glue gives it an optimiser, and :mod:`nemo_core.models.archive` keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytorch_lightning as pl

from nemo_core.config.configured import Configured
from nemo_core.errors import TrainingError
from nemo_core.modules.freezing import TrainState

if TYPE_CHECKING:
    import torch

    from nemo_core.config import Trust
    from nemo_core.models.report import LoadReport

__all__ = ["Model"]


class Model(pl.LightningModule, Configured):
    """A trainable model built of modules.

    A subclass takes its parts as constructor arguments and defines Lightning's hooks (``forward``, ``training_step``,
    ``validation_step``). Since the arguments are noted (:class:`~nemo_core.config.configured.Configured`), it can be
    written to an archive and rebuilt from one without further code.

    To read NVIDIA NeMo's archives as well, a subclass registers their ``target`` as an alias of its own name and
    defines

    - ``from_nvidia(cls, config, artifacts) -> dict``, a classmethod: NVIDIA's configuration to the node that builds
      this model (``nemo:`` references in it are paths already; ``artifacts`` has all files by member name), and
    - ``nvidia_weights(state_dict) -> state_dict``, any kind of method: NVIDIA's names of weights to this model's.

    To be written as one (``nemo export --format nvidia-nemo``), it defines

    - ``to_nvidia() -> NvidiaModel``, the way back; see :class:`~nemo_core.models.nvidia_export.NvidiaModel`.

    Attributes:
        optim: Optimiser settings of the present run; set by the training glue, never archived.
        optimizer_factory: Builds what Lightning's ``configure_optimizers`` returns; set by the training glue.
        load_report: What became of each weight when this model was restored or initialised from another.

    Example:
        >>> import torch
        >>> class Line(Model):
        ...     def __init__(self, size: int = 3):
        ...         super().__init__()
        ...         self.layer = torch.nn.Linear(size, 1)
        >>> model = Line(size=4)
        >>> model.num_weights
        5
        >>> with model.as_frozen():
        ...     any(weight.requires_grad for weight in model.parameters())
        False
    """

    def __init__(self) -> None:
        super().__init__()
        self.optim: Mapping[str, Any] | None = None
        self.optimizer_factory: Callable[[Model], Any] | None = None
        self.load_report: LoadReport | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, trust: Trust | None = None) -> Self:
        """Build a model from the node that :meth:`to_config` wrote, or from a recipe's ``model`` section.

        Args:
            config: A mapping with ``_target_`` (left out, it is this class) and the arguments.
            trust: Which targets may be built; registered components and the allow-list if not given.

        Raises:
            ConfigError: The configuration has mistakes, or describes another model.
            UntrustedTargetError: It names code that ``trust`` does not cover.
        """
        from nemo_core.config import Trust
        from nemo_core.models.build import build

        return build(config, cls, trust or Trust.user())

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write this model to an archive, in one step: readers see the old file or the whole new one.

        Args:
            path: The file to write, ``.nemo`` by custom; its folder is made where it is missing.
            overwrite: Replace a file that is there.

        Raises:
            ArchiveError: The file is there already, or a weight or argument cannot be archived.
        """
        from nemo_core.models.saving import save

        return save(self, path, overwrite=overwrite)

    def archive(self, stem: Path) -> Path | None:
        """Write this model when a run ends, in a way of its own, and return where; called on all processes.

        Args:
            stem: Where to, without the ending.

        Returns:
            None: the run is to write an archive, ``stem`` with ``.nemo`` after it.
        """
        return None

    def init_from(self, spec: Any) -> Any:
        """Take over weights before a run begins; see :func:`nemo_core.models.init_from`. Called on all processes.

        A model whose weights are not built yet notes ``spec`` and does it when they are.

        Returns:
            What is to be said about it in the run's log.
        """
        from nemo_core.models.transfer import init_from

        return init_from(self, spec)

    @classmethod
    def restore(
        cls,
        path_or_name: str | Path,
        *,
        map_location: str | torch.device = "cpu",
        strict: bool = True,
        override_config: Any = None,
        return_config: bool = False,
        trust: Trust | None = None,
    ) -> Any:
        """Restore a model of this class; see :func:`nemo_core.models.restore`.

        Raises:
            ArchiveError: The archive holds a model of another class, or is damaged.
        """
        from nemo_core.models.loading import restore

        return restore(
            path_or_name,
            expect=cls,
            map_location=map_location,
            strict=strict,
            override_config=override_config,
            return_config=return_config,
            trust=trust,
        )

    @property
    def num_weights(self) -> int:
        """Number of trainable scalars."""
        return sum(weight.numel() for weight in self.parameters() if weight.requires_grad)

    @contextmanager
    def as_frozen(self) -> Iterator[Self]:
        """Freeze all weights and switch to evaluation mode; on leaving, put everything back as it was."""
        before = TrainState(self)
        self.freeze()
        try:
            yield self
        finally:
            before.restore(self)

    def configure_optimizers(self) -> Any:
        """Return what the training glue builds for this model (Lightning calls this)."""
        if self.optimizer_factory is None:
            raise TrainingError(
                f"{type(self).__qualname__} has no optimiser",
                hint="train with `nemo train`, set model.optimizer_factory, or override configure_optimizers",
            )
        return self.optimizer_factory(self)
