"""Our front ends against torchaudio's; its plain Python parts are enough."""

from __future__ import annotations

import pytest
import torch

from nemo_asr.modules import MFCC, KaldiFbank, KaldiMFCC, KaldiSpectrogram, MelSpectrogram
from nemo_asr.torchaudio_support import Parts, load, parts

if parts() is Parts.NONE:
    pytest.skip("torchaudio is not installed", allow_module_level=True)

RATE = 16000


@pytest.fixture(scope="module")
def audio():
    """One second of noise that swells (1, 16000)."""
    noise = torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    return 0.3 * noise * torch.linspace(0.01, 1, RATE)


def ours(module, audio):
    """Features (D, T)."""
    features, length = module.eval()(audio, torch.tensor([audio.shape[1]]))
    return features[0, :, : length.item()]


@pytest.mark.parametrize("mel_norm", ["slaney", None])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_mel_energies(audio, mel_norm, power):
    theirs = load().transforms.MelSpectrogram(
        RATE,
        n_fft=512,
        win_length=400,
        hop_length=160,
        n_mels=80,
        wkwargs={"periodic": False},
        power=power,
        norm=mel_norm,
        mel_scale="slaney",
        pad_mode="constant",
    )(audio)[0]
    framing = {"n_fft": 512, "window_size": 0.025, "window_stride": 0.01, "pad_to": 0}
    raw = {"preemph": None, "dither": 0.0, "normalize": None, "log": False}
    module = MelSpectrogram(RATE, features=80, mag_power=power, mel_norm=mel_norm, **framing, **raw)
    found = ours(module, audio)
    torch.testing.assert_close(found, theirs[:, : found.shape[1]], rtol=1e-4, atol=1e-5 * theirs.max().item())


@pytest.mark.parametrize("log", [True, False])
def test_cepstral_coefficients(audio, log):
    arguments = {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 40}
    theirs = load().transforms.MFCC(RATE, 20, log_mels=log, melkwargs=arguments)(audio)[0]
    found = ours(MFCC(RATE, window_size=0.025, n_fft=512, n_mels=40, n_mfcc=20, log=log), audio)
    torch.testing.assert_close(found, theirs[:, : found.shape[1]], rtol=1e-4, atol=1e-3)


FRAMING = [{}, {"snip_edges": False}, {"window_type": "hamming"}, {"frame_length": 32.0, "frame_shift": 8.0}]


@pytest.mark.parametrize("framing", FRAMING, ids=str)
@pytest.mark.parametrize(
    ("make", "name", "options"),
    [
        (KaldiFbank, "fbank", {"num_mel_bins": 40}),
        (KaldiFbank, "fbank", {"use_energy": True, "htk_compat": True}),
        (KaldiFbank, "fbank", {"use_power": False, "use_log_fbank": False}),
        (KaldiMFCC, "mfcc", {"num_ceps": 10, "cepstral_lifter": 11.0, "use_energy": True}),
        (KaldiMFCC, "mfcc", {"use_energy": False, "htk_compat": True}),
        (KaldiSpectrogram, "spectrogram", {}),
    ],
)
def test_kaldis_features(audio, make, name, options, framing):
    scaled = 32768 * audio  # ours scale samples in [-1, 1] as Kaldi reads them
    given = {"sample_frequency": RATE, "energy_floor": 0.0, **options, **framing}
    theirs = getattr(load().compliance.kaldi, name)(scaled, **given)
    found = ours(make(RATE, dither=0.0, **options, **framing), audio).T
    torch.testing.assert_close(found, theirs, rtol=1e-3, atol=1e-3 * theirs.abs().max().item())
