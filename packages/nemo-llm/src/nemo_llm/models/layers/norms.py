"""Normalisation over the last dimension, in the engine's way of building and dividing modules."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_llm.models.layers.rms_norm import rms_norm

__all__ = ["AddNorm", "Norm", "PostNormAdd"]


class Norm(nn.Module):
    """Root-mean-square or layer norm, whichever the model has; ``(..., D) -> (..., D)``.

    Takes the place of the engine's own wrapper, which refuses sequence parallelism: here the weights are marked, so
    that the engine adds up their gradients over the processes among which the sequence is divided.

    Args:
        config: The engine's configuration; says what kind of norm it is.
        hidden_size: ``D``.
        eps: Added to the variance.
        options: What the engine hands to its own norms; not needed.

    Attributes:
        weight: ``(D,)``, around 1, or around 0 for ``rms_plus_one`` (Gemma), which adds the 1 itself.
        bias: ``(D,)`` for ``layer``, else None.
    """

    def __init__(self, config: Any, hidden_size: int, eps: float = 1e-5, **options: Any) -> None:
        super().__init__()
        if config.normalization == "LayerNorm":
            self.kind = "layer"
        else:
            self.kind = "rms_plus_one" if config.layernorm_zero_centered_gamma else "rms"
        self.eps = eps
        where = {"dtype": config.params_dtype, "device": None if config.use_cpu_initialization else "cuda"}
        start = 0.0 if self.kind == "rms_plus_one" else 1.0
        self.weight = nn.Parameter(torch.full((hidden_size,), start, **where))
        self.bias = nn.Parameter(torch.zeros(hidden_size, **where)) if self.kind == "layer" else None
        for parameter in self.parameters():
            parameter.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        if self.kind == "layer":
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
        if not x.is_cuda and torch.is_grad_enabled():
            return rms_norm(x, self.weight, self.eps, plus_one=self.kind == "rms_plus_one")
        if self.kind == "rms":
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        # In float32 to the end: 1 + weight in bfloat16 would lose most of a small weight.
        return F.rms_norm(x.float(), self.weight.shape, 1.0 + self.weight.float(), self.eps).to(x.dtype)

    def extra_repr(self) -> str:
        """Return what the representation shows."""
        return f"{self.weight.numel()}, kind={self.kind!r}, eps={self.eps}"


class PostNormAdd(nn.Module):
    """Dropout and residual connection behind a norm, as the engine's ``bias_dropout_add`` without one (Gemma 2 and 3).

    A layer calls it as it calls the engine's function: ``add(training, fused)((output, bias), residual, dropout)``.
    """

    def __init__(self, norm: type[nn.Module], config: Any) -> None:
        super().__init__()
        self.norm = norm(config=config, hidden_size=config.hidden_size, eps=config.layernorm_epsilon)

    def forward(self, training: bool, fused: bool) -> Any:
        """Return the function that adds."""

        def add(output_and_bias: tuple[Tensor, Tensor | None], residual: Tensor, probability: float) -> Tensor:
            output, bias = output_and_bias
            output = self.norm(output if bias is None else output + bias)
            return residual + F.dropout(output, probability, training)

        return add


class AddNorm(PostNormAdd):
    """Dropout, residual connection, and a norm behind both, as the first transformers had it (BERT)."""

    def forward(self, training: bool, fused: bool) -> Any:
        """Return the function that adds."""

        def add(output_and_bias: tuple[Tensor, Tensor | None], residual: Tensor, probability: float) -> Tensor:
            output, bias = output_and_bias
            output = F.dropout(output if bias is None else output + bias, probability, training)
            return self.norm(residual + output)

        return add
