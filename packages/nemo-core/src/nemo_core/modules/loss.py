"""Base of losses."""

from __future__ import annotations

from collections.abc import Mapping

from nemo_core.modules.module import NeuralModule
from nemo_core.types import Declared, NeuralType
from nemo_core.types import Loss as LossElement

__all__ = ["Loss"]


class Loss(NeuralModule):
    """A module whose output is one scalar to minimise.

    Subclasses declare ``input_types`` and return the loss of the batch, a tensor of shape ``()``.

    Example:
        >>> import torch
        >>> from nemo_core.types import RegressionValues, typed
        >>> class AbsoluteError(Loss):
        ...     input_types = {name: NeuralType(("B", "T"), RegressionValues) for name in ("predicted", "wanted")}
        ...
        ...     @typed
        ...     def forward(self, predicted, wanted):
        ...         return (predicted - wanted).abs().mean()
        >>> AbsoluteError()(torch.zeros(2, 3), torch.ones(2, 3))
        tensor(1.)
    """

    @property
    def output_types(self) -> Mapping[str, Declared]:
        """One scalar, ``loss``."""
        return _OUTPUT_TYPES


_OUTPUT_TYPES = {"loss": NeuralType((), LossElement())}
