from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.audio import MelSpectrogram
from nemo_core.audio.mel import mel_filterbank, normalize_features
from nemo_core.errors import ConfigError, NeuralTypeError


@pytest.mark.parametrize("name", ["quartznet_ctc", "conformer_ctc_bpe", "fastconformer_ctc_bpe", "citrinet_ctc_bpe"])
def test_features_are_those_of_nvidia_nemo(nvidia, name):
    import tarfile

    import yaml

    folder = nvidia / name
    with tarfile.open(folder / f"{name}.nemo") as archive:
        config = yaml.safe_load(archive.extractfile("./model_config.yaml").read())["preprocessor"]
    config.pop("_target_")
    config.pop("stft_conv", None)
    expected = np.load(folder / "expected.npz")
    mel = MelSpectrogram(**config).eval()
    features, length = mel(torch.from_numpy(expected["audio"]), torch.from_numpy(expected["audio_len"]))
    assert length.tolist() == expected["features_len"].tolist()
    assert features.shape == expected["features"].shape
    np.testing.assert_allclose(features.numpy(), expected["features"], rtol=1e-4, atol=1e-4)


def slow_features(audio, mel):
    """One utterance by the textbook, in float64: the features before normalisation, (D, T)."""
    audio = np.append(audio[0], audio[1:] - 0.97 * audio[:-1])
    padded = np.pad(audio, mel.n_fft // 2)
    window = np.zeros(mel.n_fft)
    left = (mel.n_fft - mel.win_length) // 2
    window[left : left + mel.win_length] = 0.5 - 0.5 * np.cos(
        2 * np.pi * np.arange(mel.win_length) / (mel.win_length - 1)
    )
    frames = [
        np.abs(np.fft.rfft(window * padded[start : start + mel.n_fft])) ** 2
        for start in range(0, len(audio) + 1, mel.hop_length)
    ]
    return np.log(mel.filterbank.double().numpy() @ np.array(frames).T + 2**-24)


def test_features_follow_their_definition():
    mel = MelSpectrogram(8000, normalize=None, pad_to=0, features=20).eval()
    audio = np.random.default_rng(0).standard_normal(4000)
    features, length = mel(torch.from_numpy(audio[None]).float(), torch.tensor([4000]))
    assert length.item() == 50
    expected = slow_features(audio, mel)[:, :50]
    np.testing.assert_allclose(features[0, :, :50].numpy(), expected, rtol=1e-3, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 4000), min_size=1, max_size=4),
    extra=st.integers(0, 500),
    normalize=st.sampled_from(["per_feature", "all_features", None]),
    version=st.sampled_from([1, 2]),
    exact_pad=st.booleans(),
)
def test_features_of_an_utterance_do_not_depend_on_the_batch(lengths, extra, normalize, version, exact_pad):
    if version == 1 or exact_pad:
        lengths = [length + 300 for length in lengths]  # reflection sees what follows the end: cut off below
    mel = MelSpectrogram(8000, features=16, normalize=normalize, feature_version=version, exact_pad=exact_pad).eval()
    generator = torch.Generator().manual_seed(sum(lengths))
    audio = torch.zeros(len(lengths), max(lengths) + extra)
    for row, length in zip(audio, lengths, strict=True):
        row[:length] = torch.randn(length, generator=generator)
    together, frames = mel(audio, torch.tensor(lengths))
    for index, length in enumerate(lengths):
        alone, count = mel(audio[index : index + 1, :length], torch.tensor([length]))
        assert count.item() == frames[index].item()
        # In version 1 the last frames reflect the end of the longest utterance, as NeMo's did.
        safe = count.item() - (4 if version == 1 else 0)
        if version == 1 and normalize:
            continue
        torch.testing.assert_close(together[index, :, :safe], alone[0, :, :safe], rtol=1e-4, atol=1e-3)
        assert not together[index, :, count:].any()


def test_the_two_versions_differ_as_nemos_did():
    audio, length = torch.randn(1, 4000), torch.tensor([4000])
    new, old = (MelSpectrogram(8000, normalize=None, feature_version=version).eval() for version in (2, 1))
    assert new(audio, length)[1].item() == 50
    assert old(audio, length)[1].item() == 51
    features = [module(audio, length)[0] for module in (new, old)]
    torch.testing.assert_close(features[0][..., 2:47], features[1][..., 2:47])
    assert not torch.allclose(features[0][..., 0], features[1][..., 0])


def test_dither_is_for_training_alone():
    mel = MelSpectrogram(8000, dither=0.1)
    audio, length = torch.randn(1, 4000), torch.tensor([4000])
    torch.manual_seed(0)
    noisy = [mel(audio, length)[0] for _ in range(2)]
    assert not torch.equal(*noisy)
    mel.eval()
    assert torch.equal(mel(audio, length)[0], mel(audio, length)[0])


@pytest.mark.parametrize(("pad_to", "frames"), [(0, 51), (16, 64), (1, 51), (51, 51)])
def test_padding_to_a_multiple(pad_to, frames):
    features, length = MelSpectrogram(8000, pad_to=pad_to).eval()(torch.randn(1, 4000), torch.tensor([4000]))
    assert (features.shape[2], length.item()) == (frames, 50)


@pytest.mark.parametrize("samples", [1, 2, 79, 80, 200])
@pytest.mark.parametrize("version", [1, 2])
def test_very_short_audio_gives_finite_features(samples, version):
    features, length = MelSpectrogram(8000, feature_version=version).eval()(
        torch.randn(1, samples), torch.tensor([samples])
    )
    assert torch.isfinite(features).all()
    assert length.item() == samples // 80 + (version == 1)


def test_silence_gives_finite_features():
    features, _ = MelSpectrogram(8000).eval()(torch.zeros(1, 8000), torch.tensor([8000]))
    assert torch.isfinite(features).all()


def test_normalisation_ignores_padding():
    x = torch.randn(2, 3, 10)
    x[1, :, 6:] = 1e6
    normal = normalize_features(x, torch.tensor([10, 6]), "per_feature")
    inside = normal[1, :, :6]
    torch.testing.assert_close(inside.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(inside.std(1), torch.ones(3), atol=1e-3, rtol=0)
    fixed = normalize_features(x, torch.tensor([10, 6]), {"fixed_mean": [1.0] * 3, "fixed_std": [2.0] * 3})
    torch.testing.assert_close(fixed, (x - 1) / 2)
    with pytest.raises(ConfigError, match="per_featur'"):
        normalize_features(x, torch.tensor([10, 6]), "per_featur")


def test_filters_have_equal_area_and_cover_the_band():
    bank = mel_filterbank(sample_rate=16000, n_fft=2048, n_mels=40, norm="slaney")
    areas = bank.sum(axis=1) * 16000 / 2048
    np.testing.assert_allclose(areas, 1, atol=0.03)
    peaks = bank.argmax(axis=1) * 16000 / 2048
    assert (np.diff(peaks) > 0).all()
    flat = mel_filterbank(sample_rate=16000, n_fft=2048, n_mels=40)
    assert 0.8 < flat.max() <= 1
    with pytest.raises(ConfigError, match="mel_norm"):
        mel_filterbank(sample_rate=16000, n_fft=512, n_mels=40, norm="l2")


def test_filters_below_1_khz_are_spaced_by_66_hz():
    bank = mel_filterbank(sample_rate=16000, n_fft=16000, n_mels=43, fmax=1000 + 0.0)
    peaks = bank.argmax(axis=1)
    np.testing.assert_allclose(np.diff(peaks), 1000 / 44, atol=1)
    assert math.isclose(peaks[0], 1000 / 44, abs_tol=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window": "kaiser"}, "kaiser"),
        ({"n_fft": 100}, "n_fft 100"),
        ({"highfreq": 9000}, "highfreq 9000"),
        ({"log_zero_guard_type": "max"}, "max"),
        ({"log_zero_guard_value": "small"}, "small"),
        ({"feature_version": 3}, "feature_version 3"),
        ({"window_stride": 1e-6}, "at least one sample"),
    ],
)
def test_nonsense_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        MelSpectrogram(16000, **options)


def test_audio_of_the_wrong_rank_is_refused():
    with pytest.raises(NeuralTypeError, match="audio"):
        MelSpectrogram(8000)(torch.randn(2, 1, 800), torch.tensor([800, 800]))


def test_constants_are_no_part_of_the_state():
    assert MelSpectrogram(8000).state_dict() == {}
