"""The rules for plugins as a test class to inherit."""

from __future__ import annotations

from typing import ClassVar

from nemo_core.testing.rules import check_plugin

__all__ = ["PluginConformance"]


class PluginConformance:
    """Tests that a plugin keeps the rules; inherit, and name the plugin.

    Each test applies one rule to all that the plugin offers, and fails with all that is wrong. Rules that do not
    suit are switched off by ``test_... = None`` in the subclass, best with a comment that says why.

    Attributes:
        plugin: Name of the distribution, installed where the tests run.

    Example::

        class TestBirdsong(PluginConformance):
            plugin = "nemo-birdsong"
    """

    plugin: ClassVar[str]

    def test_imports_light(self) -> None:
        """Loading the plugin imports nothing heavy."""
        self._apply("imports_light")

    def test_hooks_marked(self) -> None:
        """Functions named like hooks are hooks."""
        self._apply("hooks_marked")

    def test_loads(self) -> None:
        """Every component can be imported."""
        self._apply("loads")

    def test_documented(self) -> None:
        """Every component has a summary and a docstring."""
        self._apply("documented")

    def test_named_apart(self) -> None:
        """Names carry the plugin's prefix."""
        self._apply("named_apart")

    def test_typed(self) -> None:
        """The types that modules declare hold."""
        self._apply("typed")

    def test_weights(self) -> None:
        """Weights saved and loaded give the same outputs."""
        self._apply("weights")

    def test_configurable(self) -> None:
        """What a component says of itself builds its like."""
        self._apply("configurable")

    def test_recipes_compose(self) -> None:
        """Recipes have no mistakes."""
        self._apply("recipes_compose")

    def test_recipes_described(self) -> None:
        """Recipes say what they train."""
        self._apply("recipes_described")

    def test_commands_help(self) -> None:
        """Commands answer --help."""
        self._apply("commands_help")

    def _apply(self, rule: str) -> None:
        failed = [each for each in check_plugin(self.plugin, (rule,)) if each.status == "failed"]
        assert not failed, "\n".join(f"{each.subject}: {each.detail}" for each in failed)
