"""Loading: the switches, plugins that are broken, plugins that clash."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from typing import Any

import pytest

from nemo_core.errors import DuplicateComponentError, PluginError
from nemo_core.plugins import Plugins, PluginWarning, hookimpl, plugin_manager, plugins, registry

FAILING = {
    "raises": "1 / 0",
    "exits": "import sys; sys.exit(3)",
    "needs": "import surely_not_installed",
    "syntax": "def (",
    "hook raises": """
        from nemo_core.plugins import hookimpl

        @hookimpl
        def nemo_components(registry):
            registry.module("broken.First", "x:First")
            raise RuntimeError("half way")
    """,
    "unknown hook": """
        from nemo_core.plugins import hookimpl

        @hookimpl
        def nemo_component(registry): ...
    """,
    "wrong parameters": """
        from nemo_core.plugins import hookimpl

        @hookimpl
        def nemo_components(registy): ...
    """,
    "wrong kind": """
        from nemo_core.plugins import hookimpl

        @hookimpl
        def nemo_components(registry):
            registry.modul("a", "b:c")
    """,
}


def test_the_installed_plugins_are_loaded_once() -> None:
    assert registry() is plugins().registry is registry()
    assert plugin_manager() is plugins().manager
    core = plugins().info("nemo-core")
    assert core is plugins().info("core")
    assert core.error is None
    assert "nemo_components" in core.hooks
    assert core.components["cli"] >= 4
    assert plugins().infos[0] is core


def test_a_plugin_is_recorded(site: Any) -> None:
    site.install("nemo-frogs", version="1.2.3")
    (info,) = site.load().infos
    assert (info.name, info.distribution, info.version) == ("nemo-frogs", "nemo-frogs", "1.2.3")
    assert info.module == "nemo_frogs_plugin"
    assert info.location == str(site.path / "nemo_frogs_plugin.py")
    assert info.components == {"module": 1}
    assert info.hooks == ("nemo_components",)
    assert info.seconds > 0


def test_components_carry_their_distribution(site: Any) -> None:
    site.install("nemo-frogs", version="1.2.3")
    assert site.load().registry.get("module", "frogs.Encoder").source == "nemo-frogs 1.2.3"


@pytest.mark.parametrize(
    ("wanted", "loaded"),
    [
        (None, {"nemo-frogs", "nemo-toads"}),
        ("", set()),
        (" , ", set()),
        ("nemo-frogs", {"nemo-frogs"}),
        ("Nemo_Frogs, nemo.toads", {"nemo-frogs", "nemo-toads"}),
    ],
)
def test_nemo_plugins_chooses(site: Any, wanted: str | None, loaded: set[str]) -> None:
    site.install("nemo-frogs")
    site.install("nemo-toads")
    found: Plugins = site.load(**({} if wanted is None else {"NEMO_PLUGINS": wanted}))
    assert {info.distribution for info in found.infos} == loaded
    assert len(found.registry.components()) == len(loaded)


def test_nemo_plugins_that_are_not_installed_are_an_error(site: Any) -> None:
    site.install("nemo-frogs")
    with pytest.raises(PluginError, match=r"(?s)nemo-frog, which is not installed.*did you mean nemo-frogs"):
        site.load(NEMO_PLUGINS="nemo-frog")


@pytest.mark.parametrize("name", FAILING)
def test_a_broken_plugin_is_one_warning_and_the_rest_works(site: Any, name: str) -> None:
    site.install("nemo-broken", FAILING[name], version="0.9")
    site.install("nemo-frogs")
    with pytest.warns(PluginWarning) as caught:
        found: Plugins = site.load()
    assert len(caught) == 1
    assert "nemo-broken 0.9" in str(caught[0].message)
    assert found.info("nemo-broken").error
    assert [each.name for each in found.registry.components()] == ["frogs.Encoder"]
    names = [name for name, _ in found.manager.list_name_plugin()]
    assert names == ["nemo-frogs:nemo-frogs"]


@pytest.mark.parametrize("name", FAILING)
def test_strict_loading_raises(site: Any, name: str) -> None:
    site.install("nemo-broken", FAILING[name], version="0.9")
    with pytest.raises(PluginError, match=r"nemo-broken 0\.9") as caught:
        site.load(NEMO_STRICT_PLUGINS="1")
    assert "NEMO_PLUGINS" in (caught.value.hint or "")


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_strict_loading_can_be_off(site: Any, value: str) -> None:
    site.install("nemo-broken", "1 / 0")
    with pytest.warns(PluginWarning):
        site.load(NEMO_STRICT_PLUGINS=value)


def test_a_damaged_installation_is_not_the_end(site: Any) -> None:
    site.install("nemo-frogs")
    next(site.path.glob("*.dist-info/METADATA")).unlink()
    (info,) = site.load().infos
    assert (info.distribution, info.version, info.error) == ("unknown", "unknown", None)


def test_an_unknown_hook_comes_with_the_nearest(site: Any) -> None:
    site.install("nemo-broken", FAILING["unknown hook"])
    with pytest.warns(PluginWarning, match=r"nemo_component, which is not a hook \(did you mean nemo_components"):
        site.load()


def test_an_optional_hook_of_another_version_is_fine(site: Any) -> None:
    site.install(
        "nemo-frogs",
        """
        from nemo_core.plugins import hookimpl

        @hookimpl(optionalhook=True)
        def nemo_of_the_future(): ...
        """,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert site.load().infos[0].error is None


def test_two_plugins_that_claim_one_name_are_an_error_even_if_not_strict(site: Any, encoder_source: Any) -> None:
    site.install("nemo-frogs", encoder_source("frogs"), version="1.0")
    site.install("nemo-toads", encoder_source("frogs"), version="2.0")
    with pytest.raises(
        DuplicateComponentError, match=r"nemo-toads 2\.0 and nemo-frogs 1\.0 both register frogs.Encoder"
    ):
        site.load()
    assert len(site.load(NEMO_PLUGINS="nemo-toads").infos) == 1


def test_trace_says_what_was_loaded(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    site.install("nemo-broken", "1 / 0", version="0.9")
    site.install("nemo-frogs", version="1.2.3")
    with pytest.warns(PluginWarning):
        site.load(NEMO_TRACE_PLUGINS="1")
    broken, frogs = capsys.readouterr().err.splitlines()
    assert "nemo-broken 0.9" in broken
    assert "ZeroDivisionError" in broken
    assert f"nemo-frogs 1.2.3 (nemo_frogs_plugin from {site.path}/nemo_frogs_plugin.py) in " in frogs
    assert " ms: module 1" in frogs


def test_no_trace_by_default(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    site.install("nemo-frogs")
    site.load()
    assert capsys.readouterr().err == ""


def test_a_plugin_registered_by_hand_is_called_at_once(site: Any) -> None:
    class ByHand:
        @hookimpl
        def nemo_components(self, registry: Any) -> None:
            registry.loss("hand.Loss", "hand:Loss")

    found: Plugins = site.load()
    found.manager.register(ByHand())
    assert found.registry.get("loss", "hand.Loss").distribution is None


def test_info_of_a_stranger(site: Any) -> None:
    site.install("nemo-frogs")
    with pytest.raises(PluginError, match="did you mean nemo-frogs"):
        site.load().info("nemo-frog")


def test_call_names_the_plugin_that_failed(site: Any) -> None:
    site.install(
        "nemo-frogs",
        """
        from nemo_core.plugins import hookimpl

        @hookimpl
        def nemo_callbacks(config):
            yield config["frogs"]
        """,
    )
    found: Plugins = site.load()
    assert found.call("nemo_callbacks", config={"frogs": 3}) == [3]
    with pytest.raises(PluginError, match=r"hook nemo_callbacks of nemo-frogs:nemo-frogs failed: KeyError"):
        found.call("nemo_callbacks", config={})


def test_switches_reach_a_process_of_its_own(site: Any) -> None:
    site.install("nemo-frogs", version="1.2.3")
    code = "from nemo_core.plugins import registry; print(registry().get('module', 'frogs.Encoder').source)"
    environ = {**os.environ, "PYTHONPATH": str(site.path), "NEMO_PLUGINS": "nemo-frogs", "NEMO_TRACE_PLUGINS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "nemo-frogs 1.2.3\n"
    assert [line.split()[2] for line in done.stderr.splitlines()] == ["nemo-core", "nemo-frogs"]


def test_loading_plugins_loads_neither_torch_nor_lightning() -> None:
    code = (
        "import sys; from nemo_core.plugins import registry; registry(); "
        "print({'torch', 'pytorch_lightning', 'rich', 'hydra'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
