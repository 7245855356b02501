"""Models whose parts are trained in turn, each with an optimiser of its own: generative adversarial networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from nemo_core.errors import ConfigError, TrainingError
from nemo_core.models.model import Model

__all__ = ["TrainedInTurn"]


class TrainedInTurn(Model):
    """A model that makes several optimiser steps of each batch, one for each group of its parts.

    A subclass says in ``turns`` which parts are trained together, and in its ``training_step`` computes the loss of
    each turn and calls :meth:`take_turn`. All optimisers are built from the recipe's one ``optim`` section; its
    scheduler moves once for each batch. Steps of the run (``trainer.max_steps``, checkpoints, logs) are those of the
    first turn in ``turns``, so that a step is a batch, as for any other model. Checkpoints hold all optimisers, and
    runs resume exactly.

    Gradients cannot be clipped or accumulated by the trainer here: set neither ``gradient_clip_val`` nor
    ``accumulate_grad_batches``.

    Attributes:
        turns: Name of each turn, and the names of the parts that it trains.

    Example:
        >>> class Duel(TrainedInTurn):
        ...     turns = {"forger": ("forger",), "expert": ("expert",)}
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.forger, self.expert = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        >>> duel = Duel()
        >>> with duel.only("forger"):
        ...     [name for name, weight in duel.named_parameters() if weight.requires_grad]
        ['forger.weight', 'forger.bias']
    """

    turns: Mapping[str, Sequence[str]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def weights_of(self, turn: str) -> list[torch.nn.Parameter]:
        """Return the weights that ``turn`` trains."""
        parts = [getattr(self, name) for name in self.turns[turn]]
        return [weight for part in parts if part is not None for weight in part.parameters()]

    @contextmanager
    def only(self, turn: str) -> Iterator[None]:
        """Within the block, the weights of other turns get no gradients; what they compute passes them on."""
        others = [weight for name in self.turns if name != turn for weight in self.weights_of(name)]
        trained = [weight for weight in others if weight.requires_grad]
        for weight in trained:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in trained:
                weight.requires_grad_(True)

    def take_turn(self, turn: str, loss: torch.Tensor) -> None:
        """Make the step of ``turn``: the gradients of ``loss``, and the optimiser."""
        place = list(self.turns).index(turn)
        optimizer = self._optimizers()[place]
        if place > 0:
            # Lightning counts the steps that these two hooks see, which it sets anew for every batch.
            optimizer._on_before_step = optimizer._on_after_step = _nothing
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the schedulers that go by steps."""
        self._step_schedulers("step", batch_idx + 1)

    def on_train_epoch_end(self) -> None:
        """Move the schedulers that go by epochs."""
        self._step_schedulers("epoch", self.current_epoch + 1)

    def configure_optimizers(self) -> Any:
        """Return an optimiser for each turn, with its scheduler."""
        if self.optimizer_factory is None:
            return super().configure_optimizers()
        configured = []
        for turn in self.turns:
            if not self.weights_of(turn):
                raise TrainingError(
                    f"{type(self).__qualname__} has no weights to train in the turn {turn!r}",
                    hint=f"give the model {' and '.join(self.turns[turn])}",
                )
            with self.only(turn):
                configured.append(_without_monitor(self.optimizer_factory(self)))
        return configured

    def _optimizers(self) -> list[Any]:
        found = self.optimizers()
        return found if isinstance(found, list) else [found]

    def _step_schedulers(self, interval: str, done: int) -> None:
        for config in self.trainer.lr_scheduler_configs:
            if config.interval == interval and done % config.frequency == 0:
                scheduler: Any = config.scheduler
                scheduler.step()


def _without_monitor(made: Any) -> Any:
    """Return an optimiser and its scheduler without what only the trainer's own stepping looks at."""
    if not isinstance(made, Mapping) or "lr_scheduler" not in made:
        return made
    rules = dict(made["lr_scheduler"])
    if rules.pop("reduce_on_plateau", False):
        raise ConfigError(
            "optim.scheduler: ReduceLROnPlateau cannot follow parts that are trained in turn",
            hint="take one that goes by steps, such as CosineAnnealing",
        )
    return {**made, "lr_scheduler": {key: rules[key] for key in rules if key not in ("monitor", "strict")}}


def _nothing() -> None:
    pass
