"""Which parameters of a module are trained, and which of its parts are in training mode: noted, set, put back."""

from __future__ import annotations

from torch import nn

__all__ = ["TrainState"]


class TrainState:
    """What ``requires_grad`` and ``training`` were, by name of parameter and of sub-module.

    Args:
        module: The module whose state is noted.
    """

    def __init__(self, module: nn.Module) -> None:
        self.requires_grad = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
        self.training = {name: part.training for name, part in module.named_modules()}

    def restore(self, module: nn.Module) -> None:
        """Put back what was noted; what the module has got since then is left as it is."""
        for name, parameter in module.named_parameters():
            if name in self.requires_grad:
                parameter.requires_grad_(self.requires_grad[name])
        for name, part in module.named_modules():
            if name in self.training:
                part.training = self.training[name]
