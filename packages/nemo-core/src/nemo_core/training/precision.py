"""Names of precisions, and what they mean to Lightning and to torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch

from nemo_core.errors import ConfigError

__all__ = ["PRECISIONS", "lightning_precision", "matmul_precision"]

PRECISIONS = {
    "fp32": "32-true",  # all in single precision
    "tf32": "32-true",  # single precision; matrix products on tensor cores with 10-bit mantissas
    "fp16": "16-mixed",  # half precision where safe, with loss scaling
    "bf16": "bf16-mixed",  # bfloat16 where safe
    "fp16-true": "16-true",
    "bf16-true": "bf16-true",
    "fp64": "64-true",
    "fp8": "transformer-engine",  # 8-bit matrix products by NVIDIA Transformer Engine
}


def lightning_precision(name: str, device: str = "cpu") -> str:
    """Return Lightning's name for a precision; Lightning's own names are accepted as well.

    Args:
        name: One of :data:`PRECISIONS`.
        device: Type of the device that is trained on.

    Raises:
        ConfigError: Unknown, or not possible here.

    >>> lightning_precision("bf16")
    'bf16-mixed'
    """
    own = {value: value for value in PRECISIONS.values()} | {"32": "32-true", "16": "16-mixed", "64": "64-true"}
    found = PRECISIONS.get(str(name)) or own.get(str(name))
    if found is None:
        raise ConfigError(f"trainer.precision: {name!r} is not a precision", hint=f"one of {', '.join(PRECISIONS)}")
    if found == "transformer-engine":
        if find_spec("transformer_engine") is None:
            raise ConfigError(
                "trainer.precision: fp8 needs NVIDIA Transformer Engine, which is not installed",
                hint="pip install transformer-engine[pytorch], or use trainer.precision=bf16",
            )
        if device != "cuda":
            raise ConfigError("trainer.precision: fp8 needs an NVIDIA GPU", hint="use trainer.precision=bf16 or fp32")
    return found


@contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """Let float32 matrix products use TF32 while inside, if ``name`` is ``tf32``, and forbid it if ``fp32``."""
    before = torch.get_float32_matmul_precision()
    if name in ("fp32", "tf32"):
        torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
