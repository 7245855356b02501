"""Sliding windows in ``config.json``: which layers have one, in the four ways that architectures say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nemo_llm.hf.keys import ConfigFile, Found, Translator

if TYPE_CHECKING:
    from nemo_llm.models.config import ModelConfig

__all__ = ["Windows"]

_SLIDING, _FULL = "sliding_attention", "full_attention"


@dataclass(frozen=True)
class Windows(Translator):
    """Which layers see a window of tokens only.

    Attributes:
        layers: ``all`` layers have the window that ``sliding_window`` gives; ``later`` ones (Qwen2, Qwen3: from
            ``max_window_layers`` on); ``earlier`` ones (Qwen2-MoE: every other one up to it); ``every`` layer but each
            n-th (Gemma 2 and 3). The list ``layer_types`` is obeyed where it is there (not by ``all``).
        size: Of the window, where the file does not say.
        every: The n of ``every``.
        switch: Whether ``use_sliding_window`` switches windows on.
    """

    layers: Literal["all", "later", "earlier", "every"] = "all"
    size: int | None = None
    every: int = 2
    switch: bool = False

    def read(self, file: ConfigFile, found: Found) -> None:  # noqa: D102
        size = file.take("sliding_window", kind="int", default=None if file.has("sliding_window") else self.size)
        count: int = found["num_layers"]
        switched = file.take("use_sliding_window", kind="bool", default=False) if self.switch else True
        if self.layers == "all":
            found["window"] = size or None if switched else None
            return
        bound = file.take("max_window_layers", kind="int", default=28)
        every = file.take("sliding_window_pattern", "_sliding_window_pattern", kind="int", default=self.every)
        types = file.take("layer_types", kind="list", default=None)
        if types is None:
            sliding = [self._default(layer, bound, every) and switched for layer in range(count)]
        else:
            sliding = self._told(file, types, count)
        if not any(sliding):
            return
        if not size or not switched:
            reason = f"sliding_window is {size!r}" if switched else "use_sliding_window is false"
            raise file.error("layer_types", f"says {_SLIDING}, but {reason}")
        found["window"] = size
        found.update(_pattern(sliding, self.every if self.layers == "every" else None))

    def write(self, config: ModelConfig, out: Found) -> None:  # noqa: D102
        sliding = [config.window_of(layer) is not None for layer in range(config.num_layers)]
        out["sliding_window"] = config.window
        if self.switch:
            out["use_sliding_window"] = any(sliding)
        if self.layers == "all":
            return
        out["layer_types"] = [_SLIDING if each else _FULL for each in sliding]
        if self.layers == "every":
            if config.global_every is not None:
                out["sliding_window_pattern"] = config.global_every
        else:
            out["max_window_layers"] = sliding.index(True) if any(sliding) else config.num_layers

    def _default(self, layer: int, bound: int, every: int) -> bool:
        if self.layers == "later":
            return layer >= bound
        if self.layers == "earlier":
            return (layer + 1) % 2 == 1 and layer < bound
        return (layer + 1) % every != 0

    def _told(self, file: ConfigFile, types: Sequence[Any], count: int) -> list[bool]:
        for each in types:
            if each not in (_SLIDING, _FULL):
                raise file.error("layer_types", f"has {each!r}, a kind of layer that nemo-llm does not have")
        if len(types) != count:
            raise file.error("layer_types", f"has {len(types)} entries for {count} layers")
        return [each == _SLIDING for each in types]


def _pattern(sliding: Sequence[bool], usual: int | None) -> dict[str, Any]:
    """Say which layers have the window: each but every n-th, if that is so, all of them, or a boolean for each."""
    first = next((layer for layer, each in enumerate(sliding) if not each), None)
    candidates = [usual, None if first is None else first + 1]
    for every in candidates:
        if every and all(each == ((layer + 1) % every != 0) for layer, each in enumerate(sliding)):
            return {"global_every": every}
    return {} if all(sliding) else {"window_layers": tuple(sliding)}
