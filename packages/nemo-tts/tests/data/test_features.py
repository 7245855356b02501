"""Pitch and energy, frame by frame as the spectrogram has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nemo_core.audio import MelSpectrogram
from nemo_tts.data import SpeechFeatures


def mel(**changes: object) -> MelSpectrogram:
    usual = {"n_window_size": 256, "n_window_stride": 64, "n_fft": 256, "features": 20, "normalize": None}
    return MelSpectrogram(8000, **{**usual, "preemph": None, "dither": 0.0, "pad_to": 0, **changes})


@pytest.mark.parametrize("changes", [{}, {"exact_pad": True}, {"n_fft": 512}, {"feature_version": 1}])
@pytest.mark.parametrize("samples", [640, 1000, 4001])
def test_there_is_one_of_each_for_each_frame_and_energy_is_that_of_the_spectrum(
    changes: dict[str, object], samples: int
) -> None:
    front = mel(**changes)
    audio = np.random.default_rng(0).normal(size=samples).astype(np.float32)
    found = SpeechFeatures(front)(audio)
    spectrum, length = front(audio=torch.tensor(audio)[None], length=torch.tensor([samples]))
    assert found.shape == (2, int(length[0]))
    assert found.dtype == np.float32
    if front.feature_version == 2 and not front.exact_pad:
        power = front._power_spectrum(torch.tensor(audio)[None])[0].sum(0).sqrt()
        np.testing.assert_allclose(found[1], power[: found.shape[1]], rtol=1e-3)
    assert spectrum.shape[2] >= found.shape[1]


def test_other_settings_have_another_key() -> None:
    keys = {
        SpeechFeatures(front, pitch_fmax=fmax).key()
        for front in (mel(), mel(n_window_stride=80), mel(n_fft=512))
        for fmax in (400.0, 500.0)
    }
    assert len(keys) == 6
    assert SpeechFeatures(mel()).key() == SpeechFeatures(mel(features=40)).key()  # mel bins play no part
