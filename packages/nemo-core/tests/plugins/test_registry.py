"""The registry by itself: names, lookups, clashes, loading."""

from __future__ import annotations

import contextlib
import fractions
import pickle
import sys
import types
from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_core.errors import ComponentNotFoundError, DuplicateComponentError, PluginError
from nemo_core.plugins import BUILDABLE, KINDS, Component, Registry


@pytest.fixture
def registry() -> Registry:
    return Registry()


def register_by_kind(registry: Registry, kind: str, name: str) -> None:
    if kind == "pretrained":
        registry.pretrained(name, location="model.nemo", summary="s", license="MIT")
    elif kind == "cli":
        registry.command(name, "m:f", summary="s")
    elif kind == "recipes":
        registry.recipes(name)
    else:
        getattr(registry, kind)(name, f"m:{name}", summary="s")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_method_that_registers_it(registry: Registry, kind: str) -> None:
    register_by_kind(registry, kind, "thing")
    component = registry.get(kind, "thing")
    assert (component.kind, component.name) == (kind, "thing")
    assert registry.components(kind) == (component,) == registry.components()


@pytest.mark.parametrize("target", ["demo.Fraction", "old.Fraction", "fractions.Fraction", "fractions:Fraction"])
def test_find_takes_name_alias_and_import_path(registry: Registry, target: str) -> None:
    registry.loss("demo.Fraction", "fractions:Fraction", aliases=("old.Fraction",))
    found = registry.find(target)
    assert found is not None
    assert found.load() is fractions.Fraction


def test_find_knows_only_what_can_be_built(registry: Registry) -> None:
    for kind in set(KINDS) - BUILDABLE:
        register_by_kind(registry, kind, f"thing{kind}")
        assert registry.find(f"thing{kind}") is None
    assert registry.find("os.system") is None


def test_get_by_alias(registry: Registry) -> None:
    registry.optimizer("AdamW", "torch.optim:AdamW", aliases=("adamw",))
    assert registry.get("optimizer", "adamw") is registry.get("optimizer", "AdamW")


def test_get_says_what_may_have_been_meant(registry: Registry) -> None:
    registry.module("asr.ConformerEncoder", "m:ConformerEncoder")
    with pytest.raises(ComponentNotFoundError, match=r"(?s)no module is called ConformerEncodr.*asr\.ConformerEncoder"):
        registry.get("module", "ConformerEncodr")
    with pytest.raises(ComponentNotFoundError, match="is a module of this process, not a loss"):
        registry.get("loss", "asr.ConformerEncoder")
    with pytest.raises(ComponentNotFoundError, match="no installed plugin offers any dataset"):
        registry.get("dataset", "x")
    with pytest.raises(ComponentNotFoundError, match=r"(?s)modul.*did you mean module"):
        registry.components("modul")


def test_two_distributions_that_claim_one_name_are_both_named(registry: Registry) -> None:
    with registry.registering("nemo-frogs", "1.0"):
        registry.module("frogs.Encoder", "frogs:Encoder")
    with registry.registering("nemo-toads", "2.5"), pytest.raises(DuplicateComponentError) as caught:
        registry.model("toads.Model", "toads:Model", aliases=("frogs.Encoder",))
    message = str(caught.value)
    assert "nemo-frogs 1.0" in message
    assert "nemo-toads 2.5" in message
    assert "frogs.Encoder" in message
    assert "NEMO_PLUGINS" in message
    assert registry.find("toads.Model") is None


def test_buildable_kinds_share_names_and_others_do_not(registry: Registry) -> None:
    registry.command("thing", "m:f", summary="s")
    registry.exporter("thing", "m:f")
    registry.dataset("thing", "m:f")
    with pytest.raises(DuplicateComponentError):
        registry.tokenizer("thing", "m:g")


@pytest.mark.parametrize("name", ["", " ", " x", "x\n", None])
def test_names_must_be_names(registry: Registry, name: str) -> None:
    with pytest.raises(PluginError, match="under the name"):
        registry.module(name, "m:f")


@pytest.mark.parametrize("name", ["a  b", "--help", "a -b", ""])
def test_commands_must_be_words(registry: Registry, name: str) -> None:
    with pytest.raises(PluginError):
        registry.command(name, "m:f", summary="s")


def test_unknown_kind(registry: Registry) -> None:
    with pytest.raises(PluginError, match=r"(?s)unknown kind 'losss'.*did you mean loss"):
        registry.add("losss", "x", "m:f")


def test_source_is_recorded_and_restored(registry: Registry) -> None:
    with registry.registering("nemo-frogs", "1.0"):
        registry.module("frogs.Encoder", "frogs:Encoder")
    registry.module("mine", "m:f")
    assert registry.get("module", "frogs.Encoder").source == "nemo-frogs 1.0"
    assert registry.get("module", "mine").source == "this process"


def test_components_cross_process_borders(registry: Registry) -> None:
    registry.module("demo.Fraction", "fractions:Fraction", example={"numerator": 1})
    component = registry.get("module", "demo.Fraction")
    assert pickle.loads(pickle.dumps(component)) == component
    assert hash(component) == hash(pickle.loads(pickle.dumps(component)))


def test_recipes_have_a_prefix(registry: Registry) -> None:
    registry.recipes("nemo_frogs.conf")
    registry.recipes("toads.conf", prefix="amphibia")
    assert [each.metadata["prefix"] for each in registry.components("recipes")] == ["frogs", "amphibia"]


def test_pretrained_is_data(registry: Registry) -> None:
    registry.pretrained(
        "frogs-base",
        location="hf://frogs/base/frogs.nemo",
        summary="s",
        license="CC-BY-4.0",
        languages=("en",),
        wer=0.1,
    )
    entry = registry.get("pretrained", "frogs-base")
    assert entry.metadata["languages"] == ("en",)
    assert entry.metadata["location"] == entry.target == "hf://frogs/base/frogs.nemo"
    assert entry.metadata["wer"] == 0.1
    with pytest.raises(PluginError, match="not code"):
        entry.load()


def test_name_of_a_class(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    class Local: ...

    facade = types.ModuleType("facade")
    facade.Local = Local  # type: ignore[attr-defined]
    Local.__qualname__ = "Local"
    monkeypatch.setitem(sys.modules, "facade", facade)
    registry.module("demo.Fraction", "fractions:Fraction")
    registry.module("demo.Local", "facade:Local")
    assert registry.name_of(fractions.Fraction) == "demo.Fraction"
    assert registry.name_of(Local) == "demo.Local", "registered where it is re-exported"
    assert registry.name_of(Registry) is None


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_package.encoder:Encoder", "ModuleNotFoundError"),
        ("fractions:Fractoin", "AttributeError"),
        ("fractions:Fraction.no.such", "AttributeError"),
    ],
)
def test_what_cannot_be_loaded_names_who_is_to_blame(registry: Registry, target: str, said: str) -> None:
    with registry.registering("nemo-frogs", "1.0"):
        registry.module("frogs.Encoder", target)
    with pytest.raises(PluginError, match=said) as caught:
        registry.get("module", "frogs.Encoder").load()
    assert "nemo-frogs 1.0" in caught.value.message
    assert target in caught.value.message
    assert "nemo-frogs" in (caught.value.hint or "")
    assert caught.value.exit_code == 1


def test_missing_dependency_is_told_from_a_broken_plugin(
    registry: Registry, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_something.py").write_text("import surely_not_installed")  # type: ignore[operator]
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.module("x", "needs_something:X")
    with pytest.raises(PluginError) as caught:
        registry.get("module", "x").load()
    assert caught.value.hint == "install the package that provides the module surely_not_installed"


def test_registering_imports_nothing(registry: Registry) -> None:
    registry.module("x", "antigravity:x")
    registry.find("antigravity.x")
    assert "antigravity" not in sys.modules


NAMES = st.lists(st.text(ascii_lowercase, min_size=1, max_size=2), max_size=8)


@given(kept=NAMES, lost=NAMES)
def test_a_block_that_fails_leaves_no_trace(kept: list[str], lost: list[str]) -> None:
    registry, expected = Registry(), Registry()
    for each in (registry, expected):
        for name in dict.fromkeys(kept):
            each.module(name, f"m:{name}")
    with contextlib.suppress(DuplicateComponentError, ZeroDivisionError), registry.registering("nemo-frogs", "1.0"):
        for name in lost:
            registry.loss(name, f"frogs:{name}", aliases=(f"alias.{name}",))
        raise ZeroDivisionError
    assert registry.components() == expected.components()
    for name in lost:
        assert registry.find(f"alias.{name}") is None
        assert registry.find(f"frogs.{name}") is None


@given(names=st.sets(st.text(ascii_lowercase + ".", min_size=1, max_size=8), min_size=1))
def test_every_component_is_found_by_all_its_names(names: set[str]) -> None:
    registry = Registry()
    for name in names:
        registry.module(name, f"package.module:Class{name}", aliases=(f"alias {name}",))
    for name in names:
        expected = registry.get("module", name)
        assert isinstance(expected, Component)
        for spelling in (name, f"alias {name}", f"package.module.Class{name}", f"package.module:Class{name}"):
            assert registry.find(spelling) is expected
