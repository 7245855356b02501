"""Building a model whose weights come from elsewhere, without drawing random ones first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["SkipRandomInit"]

# Functions of torch.nn.init that announce themselves to a mode do so first, before the tensor's method is reached.
_RANDOM = frozenset(
    {
        torch.Tensor.uniform_,
        torch.Tensor.normal_,
        torch.nn.init.uniform_,
        torch.nn.init.normal_,
        torch.nn.init.trunc_normal_,
        torch.nn.init.xavier_uniform_,
        torch.nn.init.xavier_normal_,
        torch.nn.init.kaiming_uniform_,
        torch.nn.init.kaiming_normal_,
    }
)


class SkipRandomInit(TorchFunctionMode):
    """Inside, parameters that would be drawn at random are set to zero.

    Drawing takes most of the time of building a large model, and is in vain where all weights are loaded afterwards.
    Zero and not whatever the memory held, so that what constructors compute from weights (norms) stays finite. Buffers
    and constants are not touched; the random generator does not advance.

    Example:
        >>> with SkipRandomInit():
        ...     layer = torch.nn.Linear(2, 3)
        >>> layer.weight.count_nonzero().item()
        0
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run ``func``, unless it draws values for a parameter."""
        kwargs = kwargs or {}
        if func in _RANDOM:
            tensor = args[0] if args else kwargs.get("tensor")
            if isinstance(tensor, torch.nn.Parameter):
                with torch.no_grad():
                    return tensor.zero_()
        return func(*args, **kwargs)
