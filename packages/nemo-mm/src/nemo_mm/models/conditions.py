"""What images are made of: classes, texts, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["Conditions", "encode_conditions", "read_classes"]


@dataclass(frozen=True)
class Conditions:
    """Conditions of a batch of images.

    Attributes:
        classes: (B,); -1 is none.
        text: Encoded (B, S, D).
        text_mask: Which of the S positions hold something (B, S); a row without any is no text.

    Example:
        >>> conditions = Conditions(torch.tensor([3, 5])).repeat(2)
        >>> conditions.classes, conditions.without(torch.tensor([True, False, False, False])).classes
        (tensor([3, 3, 5, 5]), tensor([-1,  3,  5,  5]))
    """

    classes: Tensor | None = None
    text: Tensor | None = None
    text_mask: Tensor | None = None

    def __len__(self) -> int:
        for each in self._present():
            return len(each)
        return 0

    @property
    def empty(self) -> bool:
        """Whether there is no condition at all."""
        return not self._present()

    def arguments(self) -> dict[str, Tensor]:
        """Return what there is, by name, as a network takes it."""
        named = {"classes": self.classes, "text": self.text, "text_mask": self.text_mask}
        return {name: value for name, value in named.items() if value is not None}

    def without(self, dropped: Tensor) -> Conditions:
        """Return the conditions, none of them where ``dropped`` (B,) is true."""
        classes, mask = self.classes, self.text_mask
        return replace(
            self,
            classes=None if classes is None else torch.where(dropped, -1, classes),
            text_mask=None if mask is None else mask & ~dropped.unsqueeze(1),
        )

    def repeat(self, times: int) -> Conditions:
        """Return each condition ``times`` times in a row."""
        return self._each(lambda value: value.repeat_interleave(times, 0))

    def repeat_whole(self, times: int) -> Conditions:
        """Return all conditions, then all of them again, ``times`` times."""
        return self._each(lambda value: torch.cat([value] * times))

    def part(self, part: slice) -> Conditions:
        """Return some of them."""
        return self._each(lambda value: value[part])

    def _each(self, change: Any) -> Conditions:
        return Conditions(**{name: change(value) for name, value in self.arguments().items()})

    def _present(self) -> list[Tensor]:
        return list(self.arguments().values())


def read_classes(given: Sequence[int | str] | int | str, count: int, names: Sequence[str] | None) -> list[int]:
    """Return the numbers of classes that are given by number or name.

    Raises:
        ConfigError: There is no such class, or none is given.

    Example:
        >>> read_classes(["seven", "3", 4], 5, ["zero", "one", "two", "three", "seven"])
        [4, 3, 4]
    """
    wanted = [given] if isinstance(given, (int, str)) else list(given)
    if not wanted:
        raise ConfigError("no class is given", hint="give one, or leave classes out")
    return [_read_class(each, count, names or []) for each in wanted]


def _read_class(given: int | str, count: int, names: Sequence[str]) -> int:
    if given in names:
        return list(names).index(str(given))
    try:
        number = int(given)
    except ValueError:
        number = -1
    if not 0 <= number < count:
        known = f"classes are {', '.join(names)}" if names else f"classes are 0 to {count - 1}"
        raise ConfigError(f"there is no class {given!r}", hint=did_you_mean(str(given), names) or known)
    return number


def encode_conditions(
    classes: list[int] | None, texts: Sequence[str] | str | None, encoder: Any, device: torch.device
) -> Conditions:
    """Return the conditions for classes, texts, or pairs of them.

    Raises:
        ConfigError: There are not as many texts as classes, or none.
    """
    numbers = None if classes is None else torch.tensor(classes, device=device)
    if texts is None:
        return Conditions(numbers)
    wanted = [texts] if isinstance(texts, str) else list(texts)
    if not wanted:
        raise ConfigError("no text is given", hint="give one, or leave texts out")
    if numbers is not None and len(numbers) != len(wanted):
        raise ConfigError(f"{len(numbers)} classes and {len(wanted)} texts make no pairs")
    return Conditions(numbers, *encoder.encode_texts(wanted))
