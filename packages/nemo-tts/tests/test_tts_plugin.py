"""What every plugin must keep; the kit is the one that third parties use."""

from __future__ import annotations

import importlib.metadata

import nemo_tts
from nemo_core.testing import PluginConformance


class TestPlugin(PluginConformance):
    plugin = "nemo-tts"


def test_the_version_is_the_one_that_is_installed() -> None:
    assert nemo_tts.__version__ == importlib.metadata.version("nemo-tts")
