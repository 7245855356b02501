from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nemo_asr
from nemo_core.plugins import registry

OURS = [component for component in registry().components() if component.distribution == "nemo-asr"]


@pytest.mark.parametrize("module", ["nemo_asr", "nemo_asr.plugin", "nemo_asr.cli.transcribe", "nemo_asr.cli.digits"])
def test_importing_is_light(module):
    code = f"import sys, {module}; print({{'torch', 'pytorch_lightning', 'lightning', 'numpy'}} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"


CODE = [component for component in OURS if component.kind not in ("recipes", "pretrained") and component.target]


@pytest.mark.parametrize("component", CODE, ids=lambda c: c.name)
def test_every_component_can_be_loaded_and_says_what_it_is(component):
    assert component.load() is not None
    assert component.summary


def test_nvidias_names_are_ours_too():
    for name, target in {
        "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor": "MelSpectrogram",
        "nemo.collections.asr.modules.SpectrogramAugmentation": "asr.SpecAugment",
        "nemo.collections.asr.modules.ConvASREncoder": "asr.ConvASREncoder",
        "nemo.collections.asr.modules.ConformerEncoder": "asr.ConformerEncoder",
        "nemo.collections.asr.modules.ConvASRDecoder": "asr.CTCDecoder",
        "nemo.collections.asr.modules.RNNTDecoder": "asr.LSTMPredictor",
        "nemo.collections.asr.modules.StatelessTransducerDecoder": "asr.StatelessPredictor",
        "nemo.collections.asr.modules.RNNTJoint": "asr.RNNTJoint",
        "nemo.collections.asr.modules.HATJoint": "asr.HATJoint",
        "nemo.collections.asr.models.rnnt_models.EncDecRNNTModel": "asr.TransducerModel",
        "nemo.collections.asr.models.EncDecRNNTBPEModel": "asr.TransducerModel",
        "nemo.collections.asr.models.hybrid_rnnt_ctc_models.EncDecHybridRNNTCTCModel": "asr.HybridModel",
        "nemo.collections.asr.models.EncDecHybridRNNTCTCBPEModel": "asr.HybridModel",
        "nemo.collections.asr.models.EncDecMultiTaskModel": "asr.MultitaskModel",
        "nemo.collections.asr.models.aed_multitask_models.EncDecMultiTaskModel": "asr.MultitaskModel",
        "nemo.collections.asr.models.EncDecCTCModel": "asr.CTCModel",
        "nemo.collections.asr.models.ctc_models.EncDecCTCModel": "asr.CTCModel",
        "nemo.collections.asr.models.EncDecCTCModelBPE": "asr.CTCModel",
        "nemo.collections.asr.models.ctc_bpe_models.EncDecCTCModelBPE": "asr.CTCModel",
    }.items():
        assert registry().find(name).name == target


@pytest.mark.parametrize(
    "package",
    ["", ".data", ".decoding", ".losses", ".metrics", ".models", ".modules", ".prompts", ".tokenizers"],
)
def test_public_names_exist(package):
    import importlib

    module = importlib.import_module("nemo_asr" + package)
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert nemo_asr.__version__ == project["version"]
