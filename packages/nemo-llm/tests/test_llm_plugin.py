"""What every plugin must keep; the kit is the one that third parties use."""

from __future__ import annotations

import importlib.metadata

import nemo_llm
from nemo_core.testing import PluginConformance


class TestPlugin(PluginConformance):
    plugin = "nemo-llm"


def test_the_version_is_the_one_that_is_installed() -> None:
    assert nemo_llm.__version__ == importlib.metadata.version("nemo-llm")
