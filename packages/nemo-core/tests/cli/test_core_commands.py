"""The commands about what is installed: plugins, components, recipes, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nemo_core.testing import write_distribution

PLUGIN = """
    from nemo_core.plugins import Check, hookimpl

    @hookimpl
    def nemo_components(registry):
        registry.recipes("pond_conf", prefix="pond")
        registry.metric("pond.Fraction", "fractions:Fraction", summary="A rational number", aliases=("old.Fraction",))

    @hookimpl
    def nemo_doctor():
        yield Check("pond", "missing", cost="no frogs", hint="dig one")
        raise RuntimeError("the spade broke")
"""
RECIPE = """
# @package _global_
defaults: [/nemo/base, _self_]
name: frogs
recipe: {summary: Counts frogs, size: tiny, data: none}
model: {_target_: pond.Fraction, numerator: 1}
data: {_target_: pond.Fraction, numerator: 2}
optim: {name: adamw, lr: 1e-3}
"""


@pytest.fixture
def pond(tmp_path: Path) -> dict[str, str]:
    site = write_distribution(tmp_path / "site", "nemo-pond", {"pond_plugin": PLUGIN}, version="1.5")
    (site / "pond_conf" / "pond").mkdir(parents=True)
    (site / "pond_conf" / "pond" / "frogs.yaml").write_text(RECIPE.lstrip())
    return {"PYTHONPATH": str(site), "NEMO_PLUGINS": "nemo-pond"}


def test_plugins_list(nemo: Any, pond: dict[str, str]) -> None:
    printed = nemo("plugins", "list", **pond).stdout
    (line,) = [line for line in printed.splitlines() if line.startswith("nemo-pond")]
    assert line.split()[:6] == ["nemo-pond", "1.5", "recipes", "1", "metric", "1"]
    assert line.rstrip().endswith("ms")
    core, listed = json.loads(nemo("plugins", "list", "--json", **pond).stdout)
    assert core["distribution"] == "nemo-core"
    assert listed["components"] == {"recipes": 1, "metric": 1}
    assert listed["hooks"] == ["nemo_components", "nemo_doctor"]


def test_plugins_show(nemo: Any, pond: dict[str, str]) -> None:
    printed = nemo("plugins", "show", "nemo_pond", **pond).stdout
    assert "pond_plugin.py" in printed
    assert "pond.Fraction" in printed
    shown = json.loads(nemo("plugins", "show", "nemo-pond", "--json", **pond).stdout)
    assert shown["plugin"]["version"] == "1.5"
    assert [each["name"] for each in shown["components"]] == ["pond_conf", "pond.Fraction"]


def test_plugins_check_of_a_broken_one(nemo: Any, tmp_path: Path) -> None:
    source = """
        from nemo_core.plugins import hookimpl

        @hookimpl
        def nemo_components(registry):
            registry.dataset("toads.Gone", "no_such_module:Gone")
    """
    site = write_distribution(tmp_path / "site", "nemo-toads", {"toads_plugin": source})
    done = nemo("plugins", "check", "nemo-toads", "--json", PYTHONPATH=str(site), NEMO_PLUGINS="nemo-toads")
    assert done.returncode == 1
    assert "checks failed" in done.stderr
    failed = {(each["check"], each["subject"]) for each in json.loads(done.stdout) if each["status"] == "failed"}
    assert failed == {("loads", "toads.Gone"), ("documented", "toads.Gone")}


def test_plugins_new_says_what_comes_next(nemo: Any, tmp_path: Path) -> None:
    done = nemo("plugins", "new", "nemo-newts", "--directory", str(tmp_path / "newts"))
    assert done.returncode == 0
    assert "pytest" in done.stdout
    assert (tmp_path / "newts" / "src" / "nemo_newts" / "plugin.py").exists()
    again = nemo("plugins", "new", "nemo-newts", "--directory", str(tmp_path / "newts"))
    assert again.returncode == 2
    assert "not an empty folder" in again.stderr


def test_components_list(nemo: Any, pond: dict[str, str]) -> None:
    assert "pond.Fraction" in nemo("components", "list", **pond).stdout
    (metric,) = json.loads(nemo("components", "list", "--kind", "metric", "--json", **pond).stdout)
    assert (metric["name"], metric["distribution"], metric["aliases"]) == (
        "pond.Fraction",
        "nemo-pond",
        ["old.Fraction"],
    )


@pytest.mark.parametrize("name", ["pond.Fraction", "old.Fraction", "fractions.Fraction"])
def test_components_show(nemo: Any, pond: dict[str, str], name: str) -> None:
    shown = json.loads(nemo("components", "show", name, "--json", **pond).stdout)
    assert shown["component"]["name"] == "pond.Fraction"
    assert shown["documentation"].startswith("This class implements rational numbers")
    assert any(parameter.startswith("numerator") for parameter in shown["parameters"])
    assert "This class implements rational numbers" in nemo("components", "show", name, **pond).stdout


def test_components_show_of_a_stranger(nemo: Any, pond: dict[str, str]) -> None:
    done = nemo("components", "show", "pond.Fractoin", **pond)
    assert done.returncode == 2
    assert "did you mean pond.Fraction" in done.stderr


def test_recipes_list(nemo: Any, pond: dict[str, str]) -> None:
    assert "Counts frogs" in nemo("recipes", "list", **pond).stdout
    (recipe,) = json.loads(nemo("recipes", "list", "--json", **pond).stdout)
    assert (recipe["name"], recipe["summary"], recipe["metadata"]["size"]) == ("pond/frogs", "Counts frogs", "tiny")


def test_recipes_show(nemo: Any, pond: dict[str, str]) -> None:
    done = nemo("recipes", "show", "pond/frogs", "optim.lr=0.5", "--json", **pond)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["optim"]["lr"] == 0.5
    assert shown["trainer"]["devices"] == 1
    assert "lr: 0.001" in nemo("recipes", "show", "pond/frogs", **pond).stdout
    missing = nemo("recipes", "show", "pond/frosg", **pond)
    assert missing.returncode == 2
    assert "did you mean pond/frogs" in missing.stderr


def test_doctor(nemo: Any, pond: dict[str, str]) -> None:
    done = nemo("doctor", "--json", **pond)
    checks = {each["name"]: each for each in json.loads(done.stdout)}
    for name in ("python", "torch", "pytorch-lightning", "cpu", "nemo-core", "nemo-pond"):
        assert checks[name]["status"] == "ok", checks[name]
    assert checks["pond"] == {
        "name": "pond",
        "status": "missing",
        "detail": "",
        "cost": "no frogs",
        "hint": "dig one",
    }
    broken = checks["checks of nemo-pond:nemo-pond"]
    assert "the spade broke" in broken["detail"]
    assert done.returncode == 1, "something is broken"


def test_doctor_of_a_sound_installation(nemo: Any) -> None:
    done = nemo("doctor", NEMO_PLUGINS="")
    assert done.returncode == 0, done.stdout
    assert "torch" in done.stdout


def test_doctor_answers_when_plugins_clash(nemo: Any, tmp_path: Path) -> None:
    for name in ("frogs", "toads"):
        source = """
            from nemo_core.plugins import hookimpl

            @hookimpl
            def nemo_components(registry):
                registry.module("pond.Encoder", "pond:Encoder")
        """
        write_distribution(tmp_path / "site", f"nemo-{name}", {f"{name}_plugin": source})
    done = nemo("doctor", "--json", PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 1
    checks = {each["name"]: each for each in json.loads(done.stdout)}
    assert "both register pond.Encoder" in checks["plugins"]["detail"]
    assert checks["torch"]["status"] == "ok"
