"""What every plugin must keep; the kit is the one that third parties use."""

from __future__ import annotations

import importlib.metadata

import nemo_mm
from nemo_core.testing import PluginConformance


class TestPlugin(PluginConformance):
    plugin = "nemo-mm"


def test_the_version_is_the_one_that_is_installed() -> None:
    assert nemo_mm.__version__ == importlib.metadata.version("nemo-mm")
