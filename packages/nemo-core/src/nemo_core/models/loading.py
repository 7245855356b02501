"""Restoring models from archives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from nemo_core.errors import ArchiveError, ConfigError, UntrustedTargetError
from nemo_core.models import nvidia
from nemo_core.models.archive import Archive
from nemo_core.models.build import build
from nemo_core.models.model import Model
from nemo_core.models.skip_init import SkipRandomInit
from nemo_core.models.weights import load_into, read_checkpoint, read_safetensors

if TYPE_CHECKING:
    from nemo_core.config import Trust

__all__ = ["archive_state", "merge_overrides", "restore"]

M = TypeVar("M", bound=Model)


def restore(
    path_or_name: str | Path,
    *,
    expect: type[M] = Model,  # type: ignore[assignment]
    map_location: str | torch.device = "cpu",
    strict: bool = True,
    override_config: Mapping[str, Any] | Sequence[str] | None = None,
    return_config: bool = False,
    trust: Trust | None = None,
) -> Any:
    """Restore a model from an archive, ours or NVIDIA's.

    The model comes in evaluation mode; ``model.train()`` before training it on. ``model.load_report`` says what became
    of each weight.

    Args:
        path_or_name: A file, the name of a published model, or a location (``https://``, ``hf://owner/repo/file``).
        expect: The class that the model must be of.
        map_location: Device to put the model on.
        strict: Refuse an archive whose weights do not fit the configured model one to one.
        override_config: Changes to the model's configuration: a (nested) mapping, or ``"encoder.dropout=0.1"`` strings.
        return_config: Return the configuration, with ``override_config`` applied, and build nothing.
        trust: Whose code may be built; registered components and the allow-list if not given. Only the caller can
            extend it, nothing in the archive can.

    Returns:
        The model, or its configuration as a dict.

    Raises:
        ArchiveError: The archive is damaged, describes another model, or its weights do not fit.
        UnsafeArchiveError: The archive could run code or write outside its folder.
        UntrustedTargetError: Its configuration names code that ``trust`` does not cover.
        ComponentNotFoundError: No published model has this name.
    """
    from nemo_core.config import Trust
    from nemo_core.models.catalogue import locate

    device = _device(map_location)
    path = locate(path_or_name)
    with Archive(path) as archive, archive.unpacked_artifacts() as artifacts:
        archive.verify()
        if archive.kind == "nvidia":
            config = nvidia.translate_config(archive, artifacts)
        else:
            config = archive.config if return_config else archive.with_paths(artifacts)
        config = merge_overrides(config, override_config)
        if return_config:
            return config
        trust = trust or Trust.archive()
        keep_dtype = archive.kind == "nemo"
        with SkipRandomInit():
            model = _build(config, expect, trust, archive)
        report = load_into(model, archive_state(archive, model), str(path), keep_dtype=keep_dtype)
        if strict and not report.complete:
            raise ArchiveError(
                f"the weights do not fit {type(model).__qualname__}:\n{report}",
                hint="with strict=False the weights that fit are loaded and the rest keep their initial values",
            )
        if report.missing or report.mismatched:  # these need the initial values that were skipped
            model = _build(config, expect, trust, archive)
            report = load_into(model, archive_state(archive, model), str(path), keep_dtype=keep_dtype)
    model.load_report = report
    return model.to(device).eval()


def _build(config: Mapping[str, Any], expect: type[M], trust: Trust, archive: Archive) -> M:
    try:
        return build(config, expect, trust)
    except UntrustedTargetError as error:
        raise UntrustedTargetError(f"{archive.path}: {error.message}", hint=_wanted(archive) or error.hint) from error
    except ConfigError as error:
        raise ArchiveError(f"{archive.path}: {error.message}", hint=error.hint) from error


def _wanted(archive: Archive) -> str | None:
    """Say which distributions the archive was written with and this environment lacks."""
    from nemo_core.plugins import registry

    components = archive.manifest.components if archive.manifest else ()
    lacking = {
        f"{component['distribution']} {component.get('version') or ''}".strip()
        for component in components
        if component.get("distribution") and registry().find(str(component.get("name"))) is None
    }
    if not lacking:
        return None
    return (
        f"it was written with {', '.join(sorted(lacking))}, not installed here; install that if you trust its authors"
    )


def archive_state(archive: Archive, model: object) -> dict[str, Any]:
    """Return an archive's weights under the names that ``model`` uses; valid until the archive is closed."""
    where = f"{archive.path}: {archive.weights}"
    view = archive.view(archive.weights)
    safe = archive.weights.endswith(".safetensors")
    state = read_safetensors(view, where) if safe else read_checkpoint(view, where)
    if archive.manifest is None:
        return nvidia.translate_weights(model, state)
    for name, stored in archive.manifest.tied_weights.items():
        if stored not in state:
            raise ArchiveError(f"{where}: {name} shares its values with {stored}, which is missing")
        state[name] = state[stored]
    return state


def merge_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any] | Sequence[str] | None) -> dict[str, Any]:
    """Return ``config`` with the caller's changes.

    Args:
        config: A model's node.
        overrides: A mapping, nested or with dotted keys, or ``"key.path=value"`` strings with YAML values.

    Raises:
        ConfigError: An override is malformed, or goes through a value that has no keys.

    Example:
        >>> merge_overrides({"encoder": {"dropout": 0.2, "layers": 4}}, ["encoder.dropout=0.1"])
        {'encoder': {'dropout': 0.1, 'layers': 4}}
    """
    if overrides is None:
        return dict(config)
    if isinstance(overrides, str):
        overrides = [overrides]
    changes = _plain_mapping(overrides) if isinstance(overrides, Mapping) else _parsed(overrides)
    merged = dict(config)
    for path, value in changes.items():
        merged = _changed(merged, path.split("."), value, path)
    return merged


def _parsed(overrides: Sequence[str]) -> dict[str, Any]:
    import yaml

    changes = {}
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path.strip():
            raise ConfigError(f"the override {override!r} is not of the form key.path=value")
        try:
            changes[path.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"the override {override!r} has no readable value: {error}") from error
    return changes


def _plain_mapping(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping without OmegaConf's containers."""
    from omegaconf import OmegaConf

    if OmegaConf.is_config(overrides):
        return dict(OmegaConf.to_container(overrides, resolve=True))  # type: ignore[arg-type]
    return dict(overrides)


def _changed(node: Any, keys: list[str], value: Any, path: str) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        raise ConfigError(f"the override {path} goes through a value that has no keys")
    key, rest = keys[0], keys[1:]
    if rest:
        return {**node, key: _changed(node.get(key, {}), rest, value, path)}
    old = node.get(key)
    # A node with another _target_ is another object: the old one's arguments are not its.
    if (
        isinstance(value, Mapping)
        and isinstance(old, Mapping)
        and value.get("_target_", old.get("_target_")) == old.get("_target_")
    ):
        for inner, item in value.items():
            old = _changed(old, [inner], item, f"{path}.{inner}")
        return {**node, key: old}
    return {**node, key: value}


def _device(map_location: str | torch.device) -> torch.device:
    try:
        device = torch.device(map_location)
        torch.empty(0, device=device)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"map_location={map_location!r} is not a device here: {reason}", hint="use cpu, or see `nemo doctor`"
        ) from error
    return device
