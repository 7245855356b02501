"""The base class of building blocks."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from nemo_core.config.configured import Configured
from nemo_core.modules.freezing import TrainState
from nemo_core.modules.ports import Chain, Direction, Ports, chain
from nemo_core.types import Declared, synthetic_batch

__all__ = ["NeuralModule"]


class NeuralModule(torch.nn.Module, Configured):
    """A torch module with typed inputs and outputs, which knows how it was configured.

    Subclasses say what they take and give with ``input_types`` and ``output_types``, as class attributes where the
    types are always the same, as properties where they depend on the configuration, and decorate ``forward`` with
    :func:`nemo_core.types.typed`. The types are read at every call: :func:`functools.cached_property` saves making them
    anew.

    Example:
        >>> from nemo_core.types import AcousticEncoded, MelSpectrogram, NeuralType, typed
        >>> class Projection(NeuralModule):
        ...     output_types = {"encoded": NeuralType(("B", "D", "T"), AcousticEncoded())}
        ...
        ...     def __init__(self, n_mels=80, width=256):
        ...         super().__init__()
        ...         self.conv = torch.nn.Conv1d(n_mels, width, 1)
        ...
        ...     @functools.cached_property
        ...     def input_types(self):
        ...         return {"features": NeuralType(("B", f"D:{self.conv.in_channels}", "T"), MelSpectrogram())}
        ...
        ...     @typed
        ...     def forward(self, features):
        ...         return self.conv(features)
        >>> module = Projection(width=4)
        >>> module.num_weights
        324
        >>> module(**module.input_example({"T": 10})).shape
        torch.Size([2, 4, 10])
        >>> module.outputs.encoded
        <projection.outputs.encoded (B, D, T) AcousticEncoded>
    """

    _before_freeze: TrainState | None = None

    @property
    def input_types(self) -> Mapping[str, Declared]:
        """Names of the inputs, in the order of ``forward``'s arguments, and their types; empty: nothing is checked."""
        return {}

    @property
    def output_types(self) -> Mapping[str, Declared]:
        """Names of the outputs, in the order in which ``forward`` returns them, and their types."""
        return {}

    @property
    def inputs(self) -> Ports:
        """The input ports: ``module.inputs.features``."""
        return self.ports_of(self, "inputs")

    @property
    def outputs(self) -> Ports:
        """The output ports: ``module.outputs.encoded``."""
        return self.ports_of(self, "outputs")

    def ports_of(self, owner: Any, direction: Direction) -> Ports:
        """Return the ports of this module as those of ``owner``: the module itself, or its node in a graph."""
        if direction == "outputs":
            return Ports(owner, direction, self.output_types)
        return Ports(owner, direction, self.input_types, _with_default(type(self).forward))

    def __rshift__(self, other: Any) -> Chain:
        return chain(self, other)

    @property
    def num_weights(self) -> int:
        """Number of elements of all parameters, trained or not; shared ones count once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def input_example(
        self, sizes: Mapping[str, int | Mapping[str, int]] | None = None, *, seed: int = 0
    ) -> dict[str, Any]:
        """Return made-up inputs that ``forward(**inputs)`` takes, on the device and in the precision of the module.

        Args:
            sizes: Length per kind of axis, see :func:`nemo_core.types.synthetic_batch`.
            seed: The same seed gives the same inputs.
        """
        weight = next((p for p in self.parameters() if p.is_floating_point()), None)
        device = "cpu" if weight is None else weight.device
        batch = synthetic_batch(self.input_types, sizes, seed=seed, device=device)
        return batch if weight is None else {name: _to_precision(value, weight.dtype) for name, value in batch.items()}

    def freeze(self) -> None:
        """Stop training: no parameter gets gradients, and the module goes into evaluation mode.

        What was trained before is remembered for ``unfreeze(partial=True)``; freezing twice is freezing once.
        """
        if self._before_freeze is None:
            self._before_freeze = TrainState(self)
        self.requires_grad_(False)
        self.eval()

    def unfreeze(self, partial: bool = False) -> None:
        """Train again.

        Args:
            partial: Put back what was before ``freeze()``, so that parameters which were not trained then are not now,
                and nothing changes if the module was not frozen. Otherwise all parameters are trained and the whole
                module goes into training mode.
        """
        if not partial:
            for parameter in self.parameters():
                if parameter.is_floating_point() or parameter.is_complex():
                    parameter.requires_grad_(True)
            self.train()
        elif self._before_freeze is not None:
            self._before_freeze.restore(self)
        self._before_freeze = None

    @contextlib.contextmanager
    def as_frozen(self) -> Iterator[None]:
        """Freeze within a block, and put everything back after it as it was; blocks nest."""
        before, remembered = TrainState(self), self._before_freeze
        self.freeze()
        try:
            yield
        finally:
            before.restore(self)
            self._before_freeze = remembered


@functools.lru_cache(maxsize=1024)
def _with_default(forward: Callable[..., Any]) -> frozenset[str]:
    parameters = inspect.signature(forward).parameters.values()
    return frozenset(parameter.name for parameter in parameters if parameter.default is not inspect.Parameter.empty)


def _to_precision(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_to_precision(item, dtype) for item in value)
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value
