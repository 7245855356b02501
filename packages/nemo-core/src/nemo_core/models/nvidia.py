"""Reading NVIDIA NeMo's archives: whose model they describe, and in whose words.

The mapping itself belongs to the model classes: the registry knows ``target`` as an alias of a model, and the model's
class translates configuration (``from_nvidia``) and names of weights (``nvidia_weights``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ArchiveError, NemoError

if TYPE_CHECKING:
    from nemo_core.models.archive import Archive
    from nemo_core.plugins import Component

__all__ = ["COLLECTIONS", "find_component", "modernized", "translate_config", "translate_weights"]

#: Which of our distributions takes over which part of NVIDIA's package.
COLLECTIONS: Mapping[str, str] = {
    "nemo.collections.asr.": "nemo-asr",
    "nemo.collections.audio.": "nemo-asr",
    "nemo.collections.tts.": "nemo-tts",
    "nemo.collections.nlp.": "nemo-llm",
    "nemo.collections.llm.": "nemo-llm",
    "nemo.collections.multimodal.": "nemo-mm",
    "nemo.collections.vlm.": "nemo-mm",
    "nemo.collections.speechlm": "nemo-mm",
}


def find_component(target: str) -> Component | None:
    """Return the model that stands in for NVIDIA's class ``target``, or None."""
    from nemo_core.plugins import registry

    component = registry().find(target)
    return component if component is not None and component.kind == "model" else None


def hint_for(target: str) -> str:
    """Say what would have to be installed to read a model of NVIDIA's class ``target``."""
    from importlib.util import find_spec

    for prefix, distribution in COLLECTIONS.items():
        if target.startswith(prefix):
            if find_spec(distribution.replace("-", "_")) is None:
                return f"install {distribution}: pip install {distribution}"
            return f"{distribution} is installed and does not know this class; a newer version may"
    return "`nemo archive show` prints what is in it; a plugin can register a model with this alias"


def translate_config(archive: Archive, artifacts: Mapping[str, Path]) -> dict[str, Any]:
    """Return the node that builds our model from NVIDIA's configuration.

    Raises:
        ArchiveError: No installed model reads this ``target``, or it does not understand the configuration.
    """
    component = find_component(archive.target)
    if component is None:
        raise ArchiveError(
            f"{archive.path}: no installed plugin offers a model for NVIDIA's {archive.target}",
            hint=hint_for(archive.target),
        )
    cls = component.load()
    translate = getattr(cls, "from_nvidia", None)
    if translate is None:
        raise ArchiveError(
            f"{archive.path}: {component.name} of {component.source} does not read NVIDIA's archives yet",
            hint=hint_for(archive.target),
        )
    try:
        node = dict(translate(modernized(archive.with_paths(artifacts)), dict(artifacts)))
    except NemoError as error:
        if str(archive.path) in error.message:
            raise
        raise ArchiveError(f"{archive.path}: {error.message}", hint=error.hint) from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ArchiveError(
            f"{archive.path}: {component.name} does not understand this configuration of {archive.target}: "
            f"{type(error).__name__}: {error}",
            hint="if NVIDIA NeMo reads the archive, please report it",
        ) from error
    node.setdefault("_target_", component.name)
    return node


def modernized(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration in the form of NVIDIA NeMo 1.0 and later; its first betas wrote ``cls`` and ``params``.

    Example:
        >>> modernized({"encoder": {"cls": "a.B", "params": {"size": 3}}})
        {'encoder': {'_target_': 'a.B', 'size': 3}}
    """
    modern: dict[str, Any] = {}
    for key, value in config.items():
        if key == "cls" and "_target_" not in config:
            modern["_target_"] = value
        elif key == "params" and isinstance(value, Mapping):
            modern.update(modernized(value))
        else:
            modern[key] = modernized(value) if isinstance(value, Mapping) else value
    return modern


def translate_weights(model: object, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return NVIDIA's weights under the names that ``model`` uses; unchanged where it has no ``nvidia_weights``."""
    translate = getattr(model, "nvidia_weights", None)
    return dict(state if translate is None else translate(dict(state)))
