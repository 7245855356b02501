"""Building a model from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from nemo_core.config.configured import import_path
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_core.config import Trust
    from nemo_core.models.model import Model

__all__ = ["build"]

M = TypeVar("M", bound="Model")


def build(node: Mapping[str, Any], expect: type[M], trust: Trust) -> M:
    """Build the model that ``node`` describes, which must be an ``expect``.

    Whoever names a class by calling a method of it trusts that class, registered or not; its parts still have to be
    covered by ``trust``.

    Raises:
        ConfigError: The node has mistakes, or describes another model.
        UntrustedTargetError: It names code that ``trust`` does not cover.
    """
    from nemo_core.config import instantiate

    named = node.get("_target_", import_path(expect))
    if named == import_path(expect):
        arguments = instantiate({key: value for key, value in node.items() if key != "_target_"}, trust=trust)
        try:
            return expect(**arguments)
        except TypeError as error:
            raise ConfigError(f"{expect.__qualname__} cannot be built: {error}") from error
    model = instantiate(node, trust=trust)
    if not isinstance(model, expect):
        raise ConfigError(
            f"the configuration describes a {type(model).__qualname__}, not a {expect.__qualname__}",
            hint=f"use {type(model).__qualname__}, or Model for any model",
        )
    return model
