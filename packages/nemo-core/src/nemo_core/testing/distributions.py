"""Installed distributions without an installer: for tests of plugins, and for benchmarks with many of them."""

from __future__ import annotations

import importlib.metadata
import textwrap
from collections.abc import Mapping
from pathlib import Path

from nemo_core.plugins import GROUP

__all__ = ["entry_points", "write_distribution"]


def write_distribution(
    site: str | Path,
    name: str,
    modules: Mapping[str, str] | None = None,
    *,
    version: str = "0.1.0",
    plugin: str | None = None,
) -> Path:
    """Write a distribution as an installer would leave it in ``site-packages``, with a plugin entry point.

    A process that has ``site`` on its ``PYTHONPATH`` sees the distribution as installed.

    Args:
        site: Folder that stands for ``site-packages``.
        name: Name of the distribution.
        modules: Module name -> source, indented as you like.
        version: Its version.
        plugin: Module that the entry point names; by default the first of ``modules``.

    Returns:
        ``site``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as site:
        ...     _ = write_distribution(site, "nemo-frogs", {"nemo_frogs_plugin": "x = 1"}, version="3.0")
        ...     [(point.name, point.value, point.dist.version) for point in entry_points(site)]
        [('nemo-frogs', 'nemo_frogs_plugin', '3.0')]
    """
    site = Path(site)
    modules = modules or {}
    for module, source in modules.items():
        path = site.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    plugin = plugin or next(iter(modules), None)
    if plugin is None:
        raise ValueError("name the plugin, or give modules")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {plugin}\n", encoding="utf-8")
    return site


def entry_points(site: str | Path) -> list[importlib.metadata.EntryPoint]:
    """Return the plugin entry points of the distributions in ``site``, for :func:`nemo_core.plugins.load_plugins`."""
    found = importlib.metadata.distributions(path=[str(site)])
    return [point for each in found for point in each.entry_points if point.group == GROUP]
