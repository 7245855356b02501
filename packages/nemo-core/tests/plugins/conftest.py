"""Installed plugins, made up: a folder that stands for site-packages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nemo_core.plugins import Plugins, load_plugins
from nemo_core.testing.distributions import entry_points, write_distribution

#: A plugin with one module, which it names but does not import.
ENCODER = """
    from nemo_core.plugins import hookimpl

    @hookimpl
    def nemo_components(registry):
        registry.module("{name}.Encoder", "{name}_encoder:Encoder", summary="An encoder")
"""


class Site:
    """A folder of installed distributions, importable in this process while the test runs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def install(self, distribution: str, source: str = ENCODER, *, version: str = "0.1.0") -> None:
        name = distribution.removeprefix("nemo-")
        module = f"nemo_{name.replace('-', '_')}_plugin"
        write_distribution(self.path, distribution, {module: source.replace("{name}", name)}, version=version)

    def load(self, **environ: str) -> Plugins:
        return load_plugins(environ, entry_points(self.path))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if name.startswith("nemo_") and str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def encoder_source() -> Callable[[str], str]:
    return lambda name: ENCODER.replace("{name}", name)
