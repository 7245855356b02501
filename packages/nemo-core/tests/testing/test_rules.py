"""The kit finds what is wrong with a plugin, and leaves a sound one alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nemo_core.errors import PluginError
from nemo_core.testing import PluginConformance, check_plugin, write_distribution
from nemo_core.testing.rules import HEAVY, RULES

#: Breaks every rule there is.
PLUGIN = """
    import scipy_stand_in
    from nemo_core.plugins import hookimpl

    @hookimpl
    def nemo_components(registry):
        registry.dataset("wrong.Gone", "no_such_module:Gone", summary="Not there")
        registry.metric("wrong.Silent", "wrong_parts:Silent")
        registry.loss("Unprefixed", "wrong_parts:Unprefixed", summary="Takes any name", example={})
        registry.module("wrong.Liar", "wrong_parts:Liar", summary="Gives not what it says")
        registry.module("wrong.Forgetful", "wrong_parts:Forgetful", summary="Keeps weights to itself")
        registry.module("wrong.Needy", "wrong_parts:Needy", summary="Needs arguments")
        registry.tokenizer("wrong.Fickle", "wrong_parts:Fickle", summary="Says other than it is", example={"size": 3})
        registry.recipes("wrong_conf", prefix="wrong")
        registry.command("wrong", "wrong_parts:number", summary="Is not a command")

    def nemo_callbacks(config):
        return []
"""
PARTS = '''
    import torch
    from nemo_core.config import Configured
    from nemo_core.modules import Loss, NeuralModule
    from nemo_core.types import Logits, NeuralType, typed

    number = 3

    class Silent: ...

    class Unprefixed(Loss):
        """A loss."""
        input_types = {"logits": NeuralType(("B", "D"), Logits())}
        output_types = {"logits": NeuralType(("B", "D"), Logits())}

        @typed
        def forward(self, logits): return logits

    class Liar(Unprefixed):
        """A liar."""
        @typed
        def forward(self, logits): return logits[0]

    class Forgetful(Unprefixed):
        """Not all of it is in its weights."""
        def __init__(self):
            super().__init__()
            self.secret = torch.randn(1)

        @typed
        def forward(self, logits): return logits * self.secret

    class Needy(Unprefixed):
        """Needs arguments."""
        def __init__(self, size):
            super().__init__()

    class Fickle(Configured):
        """Is not what it says."""
        def __init__(self, size): ...

        def to_config(self):
            return {"_target_": "wrong.Fickle", "size": torch.randint(1 << 40, ()).item()}
'''
RECIPE = """# @package _global_
defaults: [/nemo/base, _self_]
name: wrong
model: {_target_: wrong.Liar}
data: {_target_: wrong.Fickle, syze: 3}
optim: {name: adamw, lr: 1e-3}
"""
#: What stands for a heavy package, since any real one may be missing or loaded already.
HEAVY_STAND_IN = "import sys, types; sys.modules.setdefault('tensorflow', types.ModuleType('tensorflow'))"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    site = tmp_path_factory.mktemp("site")
    modules = {"wrong_plugin": PLUGIN, "wrong_parts": PARTS, "scipy_stand_in": HEAVY_STAND_IN}
    write_distribution(site, "nemo-wrong", modules)
    (site / "wrong_conf" / "wrong").mkdir(parents=True)
    (site / "wrong_conf" / "wrong" / "recipe.yaml").write_text(RECIPE)
    done = subprocess.run(
        [sys.executable, "-m", "nemo_core.cli.main", "plugins", "check", "nemo-wrong", "--json"],
        env={**os.environ, "PYTHONPATH": str(site), "NEMO_PLUGINS": "nemo-wrong"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("rule", "subject", "detail"),
    [
        ("imports_light", "wrong_plugin", "imports tensorflow: import it where it is used"),
        ("hooks_marked", "wrong_plugin", "nemo_callbacks: mark it @hookimpl"),
        ("loads", "wrong.Gone", "No module named 'no_such_module'"),
        ("documented", "wrong.Silent", "has no summary"),
        ("named_apart", "Unprefixed", "<prefix>.Unprefixed"),
        ("typed", "wrong.Liar", "does not fit Liar.logits"),
        ("weights", "wrong.Forgetful", "differs after weights were saved and loaded"),
        ("configurable", "wrong.Fickle", "wrong.Fickle"),
        ("recipes_compose", "wrong/recipe", "syze"),
        ("recipes_described", "wrong/recipe", "has no recipe: {summary: ...}"),
        ("commands_help", "wrong", "is a int"),
    ],
)
def test_each_rule_finds_who_breaks_it(results: list[dict[str, Any]], rule: str, subject: str, detail: str) -> None:
    failed = {(each["check"], each["subject"]): each["detail"] for each in results if each["status"] == "failed"}
    assert detail in failed[rule, subject]


def test_every_rule_can_fail(results: list[dict[str, Any]]) -> None:
    assert {each["check"] for each in results if each["status"] == "failed"} == set(RULES)


def test_what_cannot_be_built_is_skipped_with_a_reason(results: list[dict[str, Any]]) -> None:
    skipped = {each["detail"] for each in results if each["status"] == "skipped"}
    assert skipped == {"needs size: register it with example={...} for this check"}


def test_the_innocent_pass(results: list[dict[str, Any]]) -> None:
    passed = {(each["check"], each["subject"]) for each in results if each["status"] == "passed"}
    assert {("typed", "Unprefixed"), ("weights", "Unprefixed"), ("typed", "wrong.Forgetful")} <= passed


def test_our_own_plugin_keeps_the_rules() -> None:
    assert not [each for each in check_plugin("nemo-core") if each.status == "failed"]


def test_a_plugin_that_could_not_be_loaded_fails(tmp_path: Path) -> None:
    site = write_distribution(tmp_path, "nemo-broken", {"broken_plugin": "1 / 0"})
    done = subprocess.run(
        [sys.executable, "-m", "nemo_core.cli.main", "plugins", "check", "nemo-broken", "--json"],
        env={**os.environ, "PYTHONPATH": str(site), "NEMO_PLUGINS": "nemo-broken"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    (result,) = json.loads(done.stdout)
    assert "ZeroDivisionError" in result["detail"]


def test_an_unknown_plugin_is_an_error() -> None:
    with pytest.raises(PluginError, match="no plugin called nemo-nothing"):
        check_plugin("nemo-nothing")


def test_the_test_class_has_a_test_for_each_rule() -> None:
    tests = {name.removeprefix("test_") for name in vars(PluginConformance) if name.startswith("test_")}
    assert tests == set(RULES)
    for name, rule in RULES.items():
        assert rule.__doc__, name


def test_the_test_class_fails_with_all_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    class TestCore(PluginConformance):
        plugin = "nemo-core"

    TestCore().test_documented()
    with pytest.raises(PluginError):
        type("TestNone", (PluginConformance,), {"plugin": "nemo-nothing"})().test_documented()


def test_the_kit_needs_no_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from nemo_core.testing import PluginConformance, check_module, check_plugin, write_distribution\n"
        f"print({{'torch', *{HEAVY!r}}} - set(sys.modules) != set())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"
