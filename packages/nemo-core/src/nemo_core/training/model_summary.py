"""What is trained, in a line: the model, and the weights of its parts."""

from __future__ import annotations

from torch import nn

__all__ = ["describe_model"]


def describe_model(model: nn.Module) -> str:
    """Return the name of a model and the number of its weights, in all and by part; parts without any are left out.

    A model whose weights are made when its processes are there says it itself, in ``description``.

    Example:
        >>> import torch
        >>> model = torch.nn.ModuleDict({"encoder": torch.nn.Linear(99, 10), "mask": torch.nn.Dropout()})
        >>> describe_model(model)
        'ModuleDict: 1,000 weights (encoder 1,000)'
        >>> _ = model["encoder"].bias.requires_grad_(False)
        >>> describe_model(model)
        'ModuleDict: 1,000 weights, 10 of them frozen (encoder 1,000)'
    """
    own = getattr(model, "description", None)
    if isinstance(own, str):
        return own
    total, frozen = _count(model), _count(model, frozen=True)
    parts = [f"{name} {count:,}" for name, part in model.named_children() if (count := _count(part))]
    text = f"{type(model).__name__}: {total:,} weights"
    if frozen:
        text += f", {frozen:,} of them frozen"
    return f"{text} ({', '.join(parts)})" if parts else text


def _count(module: nn.Module, *, frozen: bool = False) -> int:
    return sum(weight.numel() for weight in module.parameters() if not (frozen and weight.requires_grad))
