"""Which implementation computes a transducer loss."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from nemo_core.errors import ConfigError

_OLDEST_TRITON = (3, 4)  # kernels take tuples of constants
_VOLTA = (7, 0)  # what Triton compiles for, at the least

try:
    import triton
    from triton import language as tl

    if tuple(int(part) for part in triton.__version__.split(".")[:2]) < _OLDEST_TRITON:
        raise ImportError("too old")
    jit = triton.jit
except ImportError:  # CUDA builds of torch bring it, others do not

    def jit(function):
        """Leave a kernel as it is: without Triton nothing starts it."""
        return function

    triton = tl = None

__all__ = ["check_backend", "jit", "tl", "triton", "with_triton"]


def check_backend(backend: str, known: Sequence[str]) -> str:
    """Return ``backend`` if it is one of those that a loss knows.

    Raises:
        ConfigError: It is not.
    """
    if backend not in known:
        raise ConfigError(f"backend {backend!r} is not known", hint=f"one of {', '.join(known)}")
    return backend


def with_triton(backend: str, device: torch.device) -> bool:
    """Return whether Triton's kernels are to compute on ``device``: on CUDA, or anywhere in Triton's interpreter.

    Raises:
        ConfigError: They were asked for and cannot.

    Example:
        >>> with_triton("auto", torch.device("cpu"))
        False
    """
    if backend == "auto":
        if triton is None or device.type != "cuda":
            return False
        return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= _VOLTA
    if backend != "triton":
        return False
    if triton is None:
        raise ConfigError(
            f"backend 'triton': Triton {'.'.join(map(str, _OLDEST_TRITON))} or later is not installed",
            hint="pip install triton, or backend: auto, which does without",
        )
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ConfigError(
            f"backend 'triton' computes on CUDA, the logits are on {device}",
            hint="backend: auto takes what the device has; for tests set TRITON_INTERPRET=1",
        )
    return True
