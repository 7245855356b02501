"""A part of a model that another run has trained."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError
from nemo_core.models import restore

__all__ = ["Pretrained", "PretrainedText", "taken"]

T = TypeVar("T")


class Pretrained(Configured):
    """Stands in a recipe for a trained model, or a part of one.

    The model that is given it holds the real thing: archives contain the part itself, and need the file no more.

    Args:
        path: Archive, run folder, or name of a published model.
        part: Path of attributes to the part, such as ``network`` or ``text.encoder``; the whole model if not given.

    Example:
        ``autoencoder: {_target_: mm.Pretrained, path: runs/autoencoder/latest}``
    """

    def __init__(self, path: str, part: str | None = None) -> None:
        self.path, self.part = path, part

    def load(self) -> Any:
        """Return the part.

        Raises:
            ConfigError: The model has no such part.
        """
        found: Any = restore(self.path)
        for name in self.part.split(".") if self.part else ():
            if not hasattr(found, name):
                known = ", ".join(child for child, _ in getattr(found, "named_children", lambda: [])())
                raise ConfigError(f"{self.path}: {type(found).__name__} has no part {name!r}", hint=f"it has {known}")
            found = getattr(found, name)
        return found


class PretrainedText(Pretrained):
    """Stands in a recipe for the text encoder that a folder of Hugging Face holds: of T5 or CLIP.

    Args:
        path: The folder.
        max_length: Most tokens of a text.

    Example:
        ``text_encoder: {_target_: mm.PretrainedText, path: ./t5-v1_1-base, max_length: 120}``
    """

    def __init__(self, path: str, max_length: int | None = None) -> None:
        super().__init__(path)
        self.max_length = max_length

    def load(self) -> Any:
        """Return the text encoder."""
        from nemo_mm.modules.transformers_text import TransformersText

        return TransformersText.from_folder(self.path, self.max_length)


def taken(part: T | Pretrained | None, cls: type[T] | tuple[type, ...], what: str) -> T | None:
    """Return ``part``, loaded if it is only named.

    Raises:
        ConfigError: It is no ``cls``.
    """
    found: Any = part.load() if isinstance(part, Pretrained) else part
    if found is not None and not isinstance(found, cls):
        wanted = cls.__name__ if isinstance(cls, type) else " or ".join(each.__name__ for each in cls)
        raise ConfigError(f"{what} is a {type(found).__name__}, not {wanted}")
    return cast("T | None", found)
