"""Hooks are a promise to strangers: each is documented, tested, and changes only on purpose.

After a change that is meant, ``NEMO_UPDATE_SNAPSHOTS=1 pytest`` writes the new ``hooks.json``; say it in CHANGELOG.md.
"""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import Any

import pytest

from nemo_core.plugins import Check, Plugins, hookspecs, plugins

SNAPSHOT = Path(__file__).with_name("hooks.json")
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("nemo_"))


def surface() -> dict[str, Any]:
    return {
        name: {
            "signature": str(inspect.signature(getattr(hookspecs, name))),
            "options": {key: value for key, value in getattr(hookspecs, name).nemo_spec.items() if value},
        }
        for name in HOOKS
    }


def test_hooks_are_as_recorded() -> None:
    if os.environ.get("NEMO_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(surface(), indent=2) + "\n")
    assert surface() == json.loads(SNAPSHOT.read_text())


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_are_documented(name: str) -> None:
    hook = getattr(hookspecs, name)
    text = inspect.getdoc(hook) or ""
    summary = text.partition("\n")[0]
    assert summary.endswith(".")
    assert len(summary) < 120
    assert "Called " in text, "say when it is called"
    assert "What wins: " in text, "say what happens where several plugins implement it"
    for parameter in inspect.signature(hook).parameters:
        assert f"    {parameter}: " in text
    assert ("Returns:" in text) == (inspect.signature(hook).return_annotation != "None")


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_have_tests(name: str) -> None:
    assert f"test_hook_{name}" in globals()


def test_the_manager_knows_them_all() -> None:
    assert sorted(vars(plugins().manager.hook)) == HOOKS


def implement(site: Any, body: str) -> Plugins:
    site.install("nemo-frogs", "from nemo_core.plugins import *\n" + inspect.cleandoc(body))
    found: Plugins = site.load(NEMO_STRICT_PLUGINS="1")
    return found


def test_hook_nemo_components(site: Any) -> None:
    found = implement(
        site,
        """
        @hookimpl
        def nemo_components(registry):
            registry.metric("frogs.Croaks", "frogs:Croaks")
        """,
    )
    assert found.registry.get("metric", "frogs.Croaks").distribution == "nemo-frogs"


def test_hook_nemo_callbacks(site: Any) -> None:
    found = implement(
        site,
        """
        @hookimpl
        def nemo_callbacks(config):
            return ["callback"] * config["count"]
        """,
    )
    assert found.call("nemo_callbacks", config={"count": 2}) == ["callback", "callback"]


def test_hook_nemo_config_problems(site: Any) -> None:
    found = implement(
        site,
        """
        @hookimpl
        def nemo_config_problems(config):
            if config["pond"] == "dry":
                yield "frogs need water"
        """,
    )
    assert found.call("nemo_config_problems", config={"pond": "dry"}) == ["frogs need water"]
    assert found.call("nemo_config_problems", config={"pond": "wet"}) == []


def test_hook_nemo_doctor(site: Any) -> None:
    found = implement(
        site,
        """
        @hookimpl
        def nemo_doctor():
            return [Check("pond", "missing", cost="no frogs")]
        """,
    )
    assert found.call("nemo_doctor") == [Check("pond", "missing", cost="no frogs")]
