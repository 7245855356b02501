"""Plugins: how packages, ours and anyone's, offer components to the framework.

A plugin is a module named by an entry point of the group ``nemo.plugins``; it holds functions marked :data:`hookimpl`
for some of the hooks in :mod:`nemo_core.plugins.hookspecs`. Nothing is imported to register a component: a plugin
names it by import path, and the path is followed when the component is first used.

>>> from nemo_core.plugins import Registry
>>> registry = Registry()
>>> registry.module("demo.Fraction", "fractions:Fraction", summary="A rational number")
>>> registry.get("module", "demo.Fraction").load()(3, 4)
Fraction(3, 4)
"""

from nemo_core.plugins.components import BUILDABLE, KINDS, Component, Registry
from nemo_core.plugins.hookspecs import Check, hookimpl
from nemo_core.plugins.manager import (
    GROUP,
    PluginInfo,
    Plugins,
    PluginWarning,
    load_plugins,
    plugin_manager,
    plugins,
    registry,
)

__all__ = [
    "BUILDABLE",
    "GROUP",
    "KINDS",
    "Check",
    "Component",
    "PluginInfo",
    "PluginWarning",
    "Plugins",
    "Registry",
    "hookimpl",
    "load_plugins",
    "plugin_manager",
    "plugins",
    "registry",
]
