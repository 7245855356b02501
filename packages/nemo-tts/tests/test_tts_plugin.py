"""What every plugin must keep; the kit is the one that third parties use."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import nemo_tts
from nemo_core.plugins import registry
from nemo_core.testing import PluginConformance


class TestPlugin(PluginConformance):
    plugin = "nemo-tts"


def test_the_version_is_the_one_that_is_installed() -> None:
    assert nemo_tts.__version__ == importlib.metadata.version("nemo-tts")


@pytest.mark.parametrize("module", ["nemo_tts", "nemo_tts.plugin", "nemo_tts.catalogue"])
def test_importing_is_light(module: str) -> None:
    code = f"import sys, {module}; print({{'torch', 'pytorch_lightning', 'numpy'}} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("models.fastpitch.FastPitchModel", "tts.FastPitch"),
        ("models.hifigan.HifiGanModel", "tts.HiFiGan"),
        ("modules.hifigan_modules.Generator", "tts.HiFiGanGenerator"),
        ("modules.aligner.AlignmentEncoder", "tts.Aligner"),
    ],
)
def test_nvidias_names_are_ours_too(theirs: str, ours: str) -> None:
    found = registry().find(f"nemo.collections.tts.{theirs}")
    assert found is not None
    assert found.name == ours


def test_published_models_name_a_model_that_reads_them() -> None:
    published = [
        each for each in registry().components() if each.kind == "pretrained" and each.distribution == "nemo-tts"
    ]
    assert len(published) == 17
    for each in published:
        assert each.target.startswith("https://api.ngc.nvidia.com/")
        assert each.target.endswith(".nemo")
        model = registry().find(each.metadata["model"])
        assert model is not None
        assert hasattr(model.load(), "from_nvidia")
