"""Rotary position embeddings in ``config.json``: the spellings of ``transformers`` 4 and 5.

Version 5 has one group ``rope_parameters`` (Gemma 3: one for each kind of layer); version 4 has ``rope_theta`` beside a
group ``rope_scaling``, and ``partial_rotary_factor`` or ``rope_local_base_freq`` where they apply. Both are read, and
both are written, so that either version and what is built on it loads the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_llm.hf.keys import ConfigFile, Found, Translator

if TYPE_CHECKING:
    from nemo_llm.models.config import ModelConfig

__all__ = ["RopeKeys", "used_by"]

#: Kinds of stretching: our name, and which keys each has beside the base (theirs -> ours).
_LENGTH = {"original_max_position_embeddings": "original_length"}
_SCALINGS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "default": ("none", {}),
    "linear": ("linear", {"factor": "factor"}),
    "dynamic": ("ntk", {"factor": "factor"}),
    "yarn": (
        "yarn",
        {
            "factor": "factor",
            **_LENGTH,
            "beta_fast": "beta_fast",
            "beta_slow": "beta_slow",
            "mscale": "mscale",
            "mscale_all_dim": "mscale_all_dim",
            "attention_factor": "attention_factor",
            "truncate": "truncate",
        },
    ),
    "llama3": (
        "llama3",
        {
            "factor": "factor",
            **_LENGTH,
            "low_freq_factor": "low_freq_factor",
            "high_freq_factor": "high_freq_factor",
        },
    ),
    "longrope": (
        "longrope",
        {
            "factor": "factor",
            **_LENGTH,
            "short_factor": "short_factors",
            "long_factor": "long_factors",
            "attention_factor": "attention_factor",
        },
    ),
}
_NEEDED = {"linear": ("factor",), "dynamic": ("factor",), "yarn": (), "longrope": ("short_factor", "long_factor")}
_NEEDED["llama3"] = ("factor", "low_freq_factor", "high_freq_factor")
_OTHER_NAMES = {"su": "longrope"}
_FULL, _SLIDING = "full_attention", "sliding_attention"


def used_by(scaling: str) -> tuple[str, ...]:
    """Return the values of a :class:`~nemo_llm.models.config.Rope` that a kind of stretching looks at.

    >>> used_by("linear"), used_by("ntk")
    (('factor',), ('factor', 'original_length'))
    """
    for name, keys in _SCALINGS.values():
        if name == scaling:
            return (*keys.values(), *(("original_length",) if name == "ntk" else ()))
    return ()


@dataclass(frozen=True)
class RopeKeys(Translator):
    """Rotary position embeddings.

    Attributes:
        base: Base where the file does not say.
        local_base: Base of layers with a window where the file does not say; None: they have the same (not Gemma 3).
        partial: Whether a part of each head may be rotated (Phi-3).
        original_length: Length before stretching where the file does not say (Phi-3); None: its longest sequence.
        names: Kinds that this architecture spells otherwise.
        interleaved: Neighbouring dimensions are rotated; None: what the key ``rope_interleave`` says (DeepSeek-V3).
    """

    base: float = 10000.0
    local_base: float | None = None
    partial: bool = False
    original_length: int | None = None
    names: Mapping[str, str] | None = None
    interleaved: bool | None = False

    def read(self, file: ConfigFile, found: Found) -> None:  # noqa: D102
        new = file.take("rope_parameters", kind="dict", default={})
        old = file.take("rope_scaling", kind="dict", default={})
        base = file.take("rope_theta", kind="float", default=self.base)
        nested = _FULL in new or _SLIDING in new
        whole = (new.get(_FULL) or {}) if nested else new
        params = old or whole
        where = "rope_scaling" if old else f"rope_parameters.{_FULL}" if nested else "rope_parameters"
        rope = self._scaling(file, where, params)
        rope["base"] = _number(file, f"{where}.rope_theta", params.get("rope_theta", whole.get("rope_theta", base)))
        rope["interleaved"] = self._interleaved(file)
        fraction = file.take("partial_rotary_factor", kind="float", default=1.0)
        rope["fraction"] = params.get("partial_rotary_factor", whole.get("partial_rotary_factor")) or fraction
        if rope["fraction"] != 1.0 and not self.partial:
            raise file.error("partial_rotary_factor", f"is {rope['fraction']}; this architecture rotates whole heads")
        length = file.take("original_max_position_embeddings", kind="int", default=self.original_length)
        if rope["scaling"] == "ntk":
            rope["original_length"] = found["max_length"]
        elif rope["scaling"] not in ("none", "linear"):
            rope["original_length"] = length or rope.get("original_length") or found["max_length"]
            if rope.get("factor") is None:
                rope["factor"] = found["max_length"] / rope["original_length"]
        self._local(file, new.get(_SLIDING) if nested else None, rope, found)
        found["positions"] = "rope"
        found.update({f"rope.{name}": value for name, value in rope.items() if value is not None})

    def write(self, config: ModelConfig, out: Found) -> None:  # noqa: D102
        rope = config.rope
        kind = next((theirs for theirs, (ours, _) in _SCALINGS.items() if ours == rope.scaling), rope.scaling)
        scaled: dict[str, Any] = {"rope_type": kind}
        for theirs, ours in _SCALINGS[kind][1].items() if kind in _SCALINGS else ():
            value = getattr(rope, ours)
            if value is not None:
                scaled[theirs] = list(value) if isinstance(value, tuple) else value
        old = scaled
        if self.partial and kind == "longrope" and rope.factor == config.max_length / (rope.original_length or 1):
            # Phi-3 takes the factor from the two lengths, and its older versions allow no key beside these.
            del scaled["factor"]
            old = {"type": kind, "short_factor": scaled["short_factor"], "long_factor": scaled["long_factor"]}
            if rope.attention_factor is not None:
                old["attention_factor"] = rope.attention_factor
        params = {**scaled, "rope_theta": rope.base}
        out["rope_theta"] = rope.base
        out["rope_scaling"] = None if kind == "default" else old
        if self.partial:
            params["partial_rotary_factor"] = out["partial_rotary_factor"] = rope.fraction
        if self.original_length is not None:
            out["original_max_position_embeddings"] = rope.original_length or config.max_length
        if self.interleaved is None:
            out["rope_interleave"] = rope.interleaved
        if self.local_base is None:
            out["rope_parameters"] = params
            return
        local = {**(scaled if rope.scale_local else {"rope_type": "default"})}
        local["rope_theta"] = out["rope_local_base_freq"] = rope.base if rope.local_base is None else rope.local_base
        out["rope_parameters"] = {_FULL: params, _SLIDING: local}

    def _scaling(self, file: ConfigFile, where: str, params: Mapping[str, Any]) -> dict[str, Any]:
        told = params.get("rope_type", params.get("type", "default"))
        kind = (self.names or {}).get(told, _OTHER_NAMES.get(told, told))
        if kind not in _SCALINGS:
            raise file.error(
                f"{where}.rope_type",
                f"is {told!r}, a stretching of rotary embeddings that nemo-llm does not have",
                f"it has {', '.join(sorted(_SCALINGS))}",
            )
        name, keys = _SCALINGS[kind]
        known = {"rope_type", "type", "rope_theta", "partial_rotary_factor", *keys, *_LENGTH}
        for key, value in params.items():
            if key not in known and value is not None:
                raise file.error(f"{where}.{key}", f"is {value!r}, which nemo-llm does not compute for {kind!r}")
        for key in _NEEDED.get(kind, ()):
            if params.get(key) is None:
                raise file.error(where, f"has no {key}, which {kind!r} needs")
        found: dict[str, Any] = {"scaling": name}
        for theirs, ours in keys.items():
            value = params.get(theirs)
            if value is None:
                continue
            key = f"{where}.{theirs}"
            if ours.endswith("_factors"):
                if not isinstance(value, list):
                    raise file.error(key, f"is {value!r}, and has to be a list of numbers")
                found[ours] = tuple(_number(file, key, each) for each in value)
            elif ours == "truncate":
                found[ours] = bool(value)
            else:
                number = _number(file, key, value)
                found[ours] = int(number) if ours == "original_length" else number
        return found

    def _interleaved(self, file: ConfigFile) -> bool:
        if self.interleaved is None:
            return file.take("rope_interleave", kind="bool", default=True)
        return self.interleaved

    def _local(self, file: ConfigFile, params: Mapping[str, Any] | None, rope: dict[str, Any], found: Found) -> None:
        stretched = rope["scaling"] != "none"
        if self.local_base is None:
            rope["scale_local"] = stretched and found.get("window") is not None
            return
        base = file.take("rope_local_base_freq", kind="float", default=self.local_base)
        params = params or {}
        where = f"rope_parameters.{_SLIDING}"
        local = _number(file, f"{where}.rope_theta", params.get("rope_theta", base))
        rope["local_base"] = None if local == rope["base"] else local
        own = self._scaling(file, where, params)
        if own["scaling"] != "none":
            same = all(rope.get(key) == value for key, value in own.items())
            if not same:
                raise file.error(where, "is stretched otherwise than full_attention, which nemo-llm does not compute")
            rope["scale_local"] = True


def _number(file: ConfigFile, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise file.error(key, f"is {value!r}, and has to be a number")
    return float(value)
