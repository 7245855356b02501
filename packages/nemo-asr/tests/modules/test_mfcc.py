from __future__ import annotations

import tarfile

import numpy as np
import pytest
import torch
import yaml

from nemo_asr.modules.mfcc import MFCC, dct_matrix, htk_filterbank
from nemo_core.errors import ConfigError


def test_features_are_those_of_nvidia_nemo(nvidia):
    folder = nvidia / "matchboxnet_3x1x64"
    with tarfile.open(folder / "matchboxnet_3x1x64.nemo") as archive:
        config = yaml.safe_load(archive.extractfile("./model_config.yaml").read())["preprocessor"]
    config.pop("_target_")
    expected = np.load(folder / "expected.npz")
    features, length = MFCC(**config)(torch.from_numpy(expected["audio"]), torch.from_numpy(expected["audio_len"]))
    assert length.tolist() == expected["features_len"].tolist()
    np.testing.assert_allclose(features.numpy(), expected["features"], rtol=1e-4, atol=1e-4)


def slow_coefficients(audio, mfcc, decibels=False):
    """One utterance by the textbook, in float64."""
    audio = np.pad(audio, mfcc.n_fft // 2, mode="reflect")
    window = np.zeros(mfcc.n_fft)
    left = (mfcc.n_fft - mfcc.win_length) // 2
    window[left : left + mfcc.win_length] = np.hanning(mfcc.win_length + 1)[:-1]
    starts = range(0, len(audio) - mfcc.n_fft + 1, mfcc.hop_length)
    power = np.array([np.abs(np.fft.rfft(window * audio[start : start + mfcc.n_fft])) ** 2 for start in starts]).T
    mel = mfcc.filterbank.double().numpy() @ power
    mel = 10 * np.log10(np.maximum(mel, 1e-10)) if decibels else np.log(mel + 1e-6)
    if decibels:
        mel = np.maximum(mel, mel.max() - 80)
    count = len(mel)
    k, n = np.mgrid[:count, :count]
    basis = np.cos(np.pi / count * k * (n + 0.5)) * np.where(k == 0, np.sqrt(1 / count), np.sqrt(2 / count))
    return (basis @ mel)[: mfcc.dct.shape[0]]


@pytest.mark.parametrize("log", [True, False])
def test_coefficients_follow_their_definition(log):
    mfcc = MFCC(8000, n_mels=20, n_mfcc=13, log=log)
    audio = np.random.default_rng(0).standard_normal(4000)
    audio[2000:3000] = 0.0  # as quiet as decibels get
    features, length = mfcc(torch.from_numpy(audio[None]).float(), torch.tensor([4000]))
    assert (features.shape, length.item()) == ((1, 13, 51), 50)
    np.testing.assert_allclose(features[0].numpy(), slow_coefficients(audio, mfcc, not log), rtol=1e-3, atol=2e-3)


def test_the_quiet_parts_of_one_utterance_do_not_depend_on_how_loud_another_is():
    mfcc = MFCC(8000, log=False)
    audio = torch.randn(2, 4000) * torch.tensor([[1.0], [1e-6]])
    together, _ = mfcc(audio, torch.tensor([4000, 4000]))
    alone, _ = mfcc(audio[1:], torch.tensor([4000]))
    torch.testing.assert_close(together[1:], alone)


def test_any_audio_gives_frames():
    mfcc = MFCC(8000)
    for samples in (0, 1, 79, 80, 81, 8000):
        features, length = mfcc(torch.zeros(1, samples), torch.tensor([samples]))
        assert length.item() == -(-samples // 80) <= features.shape[2]
        assert features.isfinite().all()


def test_filters_are_triangles_of_height_one_on_the_mel_scale():
    bank = htk_filterbank(4001, 20, 100.0, 3800.0, 8000)
    peaks = bank.argmax(dim=1).double()
    mel = 2595 * torch.log10(1 + peaks / 700)
    torch.testing.assert_close(mel.diff(), mel.diff().mean().expand(19), rtol=0.02, atol=1.0)
    assert bank.amax(dim=1).min() > 0.98
    assert not bank[:, :100].any()
    assert not bank[:, 3801:].any()


def test_the_plain_transform_is_twice_the_cosine_sum():
    x = torch.randn(8, dtype=torch.float64)
    expected = [2 * sum(x[n] * np.cos(np.pi * k * (2 * n + 1) / 16) for n in range(8)) for k in range(3)]
    torch.testing.assert_close(dct_matrix(3, 8, ortho=False).double() @ x, torch.stack(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window": "kaiser"}, "kaiser"),
        ({"n_fft": 64}, "n_fft 64"),
        ({"n_mfcc": 65}, "n_mfcc 65"),
        ({"dct_type": 3}, "dct_type 3"),
        ({"norm": "slaney"}, "slaney"),
        ({"lowfreq": 9000}, "9000"),
        ({"n_window_stride": -1}, "stride"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        MFCC(16000, **options)
