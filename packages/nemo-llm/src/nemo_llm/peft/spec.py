"""What a low-rank adapter is, as data; and which parts of a model its targets name."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["PARTS", "LoRA", "matches", "parse_spec"]

#: Matrices that hold several projections, and the names of these: each has an adapter of its own.
PARTS: dict[str, tuple[str, ...]] = {
    "linear_qkv": ("linear_q", "linear_k", "linear_v"),
    "linear_fc1": ("linear_fc1_gate", "linear_fc1_up"),  # if there is a gate
}

_NAMES = ("lora", "dora")


@dataclass(frozen=True)
class LoRA:
    """Low-rank adaptation (Hu et al., 2021, arXiv:2106.09685): ``y = W x + scale * B A x``, where only A and B learn.

    Attributes:
        targets: Which matrices get adapters: their names (``linear_qkv``, ``linear_proj``, ``linear_fc1``,
            ``linear_fc2``), names of their parts (``linear_q``, ``linear_fc1_up``), or patterns of whole names
            (``layers.[0-3].*``, ``*.self_attention.*``).
        dim: Rank of the adapters.
        alpha: The scale is ``alpha / dim``.
        dropout: Of what goes into an adapter (or what comes out), in training.
        dropout_position: ``pre`` drops what goes in, ``post`` what comes out.
        rslora: The scale is ``alpha / sqrt(dim)`` (arXiv:2312.03732).
        dora: Learn the length of each row of the matrix apart from its direction (DoRA, arXiv:2402.09353).
        dims, alphas: Values that differ for some targets: names or patterns as in ``targets``; the first that fits.

    Example:
        >>> LoRA(dim=0)
        Traceback (most recent call last):
        nemo_core.errors.ConfigError: peft.dim is 0
          give a whole number from 1 on
    """

    targets: tuple[str, ...] = ("linear_qkv", "linear_proj")
    dim: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    dropout_position: Literal["pre", "post"] = "pre"
    rslora: bool = False
    dora: bool = False
    dims: Mapping[str, int] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        targets = (self.targets,) if isinstance(self.targets, str) else tuple(self.targets)
        object.__setattr__(self, "targets", targets)
        if not targets:
            raise ConfigError("peft.targets is empty", hint="name matrices, such as linear_qkv and linear_proj")
        for name, dim in [("dim", self.dim), *((f"dims.{key}", value) for key, value in self.dims.items())]:
            if not isinstance(dim, int) or isinstance(dim, bool) or dim < 1:
                raise ConfigError(f"peft.{name} is {dim!r}", hint="give a whole number from 1 on")
        for name, alpha in [("alpha", self.alpha), *((f"alphas.{key}", value) for key, value in self.alphas.items())]:
            if not isinstance(alpha, int | float) or not alpha > 0:
                raise ConfigError(f"peft.{name} is {alpha!r}", hint="give a number above 0")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"peft.dropout is {self.dropout}", hint="give a number from 0 on and below 1")
        if self.dropout_position not in ("pre", "post"):
            raise ConfigError(f"peft.dropout_position is {self.dropout_position!r}", hint="pre or post")
        if self.dora and self.dropout_position == "post" and self.dropout:
            raise ConfigError(
                "peft.dropout_position is post, and DoRA scales the whole output", hint="pre or post: pre"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return {
            "name": "dora" if self.dora else "lora",
            **values,
            "targets": list(self.targets),
            "dims": dict(self.dims),
            "alphas": dict(self.alphas),
        }

    def rank_of(self, name: str) -> int:
        """Return the rank of the adapter of a matrix or part, by its whole name."""
        return next((dim for pattern, dim in self.dims.items() if matches(name, pattern)), self.dim)

    def alpha_of(self, name: str) -> float:
        """Return the alpha of the adapter of a matrix or part, by its whole name."""
        return next((alpha for pattern, alpha in self.alphas.items() if matches(name, pattern)), self.alpha)

    def scale_of(self, name: str) -> float:
        """Return what the product of an adapter is multiplied by.

        Example:
            >>> LoRA(dim=4, alpha=8).scale_of("linear_fc2"), LoRA(dim=4, alpha=8, rslora=True).scale_of("linear_fc2")
            (2.0, 4.0)
        """
        rank = self.rank_of(name)
        return self.alpha_of(name) / (math.sqrt(rank) if self.rslora else rank)

    def parts(self, matrix: str, among: Iterable[str]) -> list[str]:
        """Return which parts of a matrix are meant.

        Args:
            matrix: Whole name, such as ``layers.0.self_attention.linear_qkv``.
            among: Names of its parts, such as ``linear_q``; its own last name if it has none.

        Example:
            >>> spec = LoRA(targets=("linear_q", "layers.1.*"))
            >>> spec.parts("layers.0.self_attention.linear_qkv", PARTS["linear_qkv"])
            ['linear_q']
        """
        stem = matrix.rpartition(".")[0]
        names = {part: f"{stem}.{part}" if stem else part for part in among}
        return [
            part
            for part, name in names.items()
            if any(matches(matrix, target) or matches(name, target) for target in self.targets)
        ]


def parse_spec(given: str | Mapping[str, Any] | LoRA) -> LoRA:
    """Return the adapter that a name describes, or a mapping with ``name`` and settings.

    Raises:
        ConfigError: The name or a setting is not known, or a value is not possible.

    Example:
        >>> parse_spec("dora").dora, parse_spec({"name": "lora", "dim": 8}).dim
        (True, 8)
        >>> parse_spec({"name": "lora", "drop_out": 0.1})
        Traceback (most recent call last):
        nemo_core.errors.ConfigError: peft.drop_out is not a setting of an adapter
          did you mean dropout?
    """
    if isinstance(given, LoRA):
        return given
    values: dict[str, Any] = {"name": given} if isinstance(given, str) else dict(given)
    name = str(values.pop("name", "lora")).lower()
    if name not in _NAMES:
        raise ConfigError(f"peft {name!r} is not known", hint=did_you_mean(name, _NAMES) or "known: lora, dora")
    known = [each.name for each in dataclasses.fields(LoRA)]
    for key in values:
        if key not in known:
            near = did_you_mean(str(key), known)
            raise ConfigError(
                f"peft.{key} is not a setting of an adapter", hint=near or f"known: name, {', '.join(known)}"
            )
    if name == "dora":
        if values.get("dora") is False:
            raise ConfigError("peft.name is dora, and peft.dora is false", hint="leave one of them out")
        values["dora"] = True
    return LoRA(**values)


def matches(name: str, pattern: str) -> bool:
    """Return whether a whole name is meant: by its last name, or by a pattern of the whole.

    Example:
        >>> matches("layers.0.mlp.linear_fc1", "linear_fc1"), matches("layers.0.mlp.linear_fc1", "layers.*.linear_fc?")
        (True, True)
    """
    return fnmatch.fnmatchcase(name if "." in pattern else name.rpartition(".")[2], pattern)
