from __future__ import annotations

import importlib.util
import sys

import pytest
import torch

from nemo_asr.torchaudio_support import Parts, load, parts
from nemo_core.errors import ConfigError

INSTALLED = importlib.util.find_spec("torchaudio") is not None
installed = pytest.mark.skipif(not INSTALLED, reason="torchaudio is not installed")


def test_it_is_known_what_is_there():
    assert (parts() is Parts.NONE) == (not INSTALLED)
    assert parts() is parts()


@pytest.mark.skipif(INSTALLED, reason="torchaudio is installed")
@pytest.mark.parametrize("extension", [False, True])
def test_without_torchaudio_the_way_to_it_is_told(extension):
    with pytest.raises(ConfigError, match="not installed") as caught:
        load(extension)
    assert "nemo-asr[torchaudio]" in caught.value.hint
    assert "torchaudio" not in sys.modules


@installed
def test_plain_python_parts_work_beside_any_torch():
    torchaudio = load()
    assert torchaudio is sys.modules["torchaudio"]
    audio = torch.sin(torch.arange(8000) / 5)
    assert torchaudio.transforms.Spectrogram(n_fft=400)(audio).shape == (201, 41)
    assert torchaudio.functional.lfilter(audio, torch.tensor([1.0, 0.5]), torch.tensor([1.0, 0.2])).shape == (8000,)


@installed
@pytest.mark.skipif(parts() is Parts.ALL, reason="torchaudio's compiled parts load")
def test_compiled_parts_that_do_not_load_are_told():
    with pytest.raises(ConfigError, match="no compiled parts that load"):
        load(extension=True)
    with pytest.raises(ConfigError, match="forced_align needs compiled parts"):
        load().functional.forced_align(torch.zeros(1, 4, 3), torch.tensor([[1]]))


@installed
@pytest.mark.skipif(parts() is not Parts.ALL, reason="torchaudio's compiled parts do not load")
def test_compiled_parts_that_load_are_given():
    assert callable(load(extension=True).functional.rnnt_loss)
