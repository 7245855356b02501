"""The norms of few rows at a time: on a processor the calls cost more than the arithmetic, so there are few of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nemo_llm.models.layers.linear import full
from nemo_llm.models.layers.norms import Norm

__all__ = ["RootMeanSquare", "norm"]


class RootMeanSquare:
    """Root-mean-square norm in four operations; in float32 to the end, rounded once.

    ``x / sqrt(mean(x^2) + eps)`` is ``sqrt(D) x / hypot(|x|, sqrt(D eps))``.

    Args:
        module: Whose weights it takes, as they are now.

    Example:
        >>> from types import SimpleNamespace
        >>> module = Norm(SimpleNamespace(normalization="RMSNorm", layernorm_zero_centered_gamma=False,
        ...     params_dtype=torch.float32, use_cpu_initialization=True, sequence_parallel=False), 2, eps=0.0)
        >>> RootMeanSquare(module)(torch.tensor([[3.0, -3.0]])).round(decimals=3).tolist()
        [[1.0, -1.0]]
    """

    def __init__(self, module: Norm) -> None:
        weight = full(module.weight.detach())
        size = len(weight)
        self.weight = (weight + 1.0 if module.kind == "rms_plus_one" else weight) * size**0.5
        self.floor = torch.tensor((size * module.eps) ** 0.5, dtype=weight.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (..., D)."""
        wide = full(x)
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        return torch.div(wide, torch.hypot(length, self.floor)).mul_(self.weight).to(x.dtype)


def norm(module: Any) -> Any:
    """Return what computes the norm ``module`` fastest here; None where there is none."""
    if isinstance(module, Norm) and module.kind != "layer" and not module.weight.is_cuda:
        return RootMeanSquare(module)
    return module
