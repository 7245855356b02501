from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.modules import KaldiFbank, KaldiMFCC, KaldiSpectrogram
from nemo_asr.modules.kaldi_features import kaldi_filterbank
from nemo_asr.modules.kaldi_frames import kaldi_window
from nemo_core.errors import ConfigError

REFERENCE = Path(__file__).parents[5] / "shared" / "data" / "kaldi-io-fixtures" / "kaldifeat-reference"


def read_text_matrix(path):
    """A matrix as Kaldi writes it as text: name, bracket, rows."""
    rows = path.read_text().partition("[")[2].rpartition("]")[0].strip().splitlines()
    return np.array([[float(value) for value in row.split()] for row in rows], dtype=np.float32)


def by_kaldi(name, module):
    """Features of Kaldi's example, ours and those of its binary, both (T, D) in float64."""
    if not REFERENCE.is_dir():
        pytest.skip("reference outputs of Kaldi are not here")
    audio, rate = sf.read(REFERENCE / "test.wav", dtype="float32")
    assert rate == 16000
    expected = read_text_matrix(REFERENCE / f"{name}.txt")
    features, length = module.eval()(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))
    assert length.item() == len(expected) == features.shape[2]
    return features[0].T.double().numpy(), expected.astype(np.float64)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("test", lambda: KaldiFbank()),
        ("test-40", lambda: KaldiFbank(num_mel_bins=40)),
        ("test-40-no-snip-edges", lambda: KaldiFbank(num_mel_bins=40, snip_edges=False)),
        ("test-with-energy", lambda: KaldiFbank(use_energy=True)),
        ("test-htk", lambda: KaldiFbank(use_energy=True, htk_compat=True)),
        ("test-spectrogram", lambda: KaldiSpectrogram()),
        ("test-spectrogram-no-snip-edges", lambda: KaldiSpectrogram(snip_edges=False)),
    ],
)
def test_energies_are_those_of_kaldis_binaries(name, make):
    ours, kaldis = by_kaldi(name, make())
    # The example is a sine: most bins are a millionth of the loudest, where Kaldi's own rounding errors show. So the
    # bound is on energies, against the loudest of the frame; it is what the seven digits in the files can tell.
    power, expected = np.exp(ours), np.exp(kaldis)
    assert (np.abs(power - expected) / expected.max(axis=1, keepdims=True)).max() < 2e-5
    assert np.quantile(np.abs(ours - kaldis), 0.97) < 1e-2


@pytest.mark.parametrize(
    ("name", "make"),
    [("test-mfcc", lambda: KaldiMFCC()), ("test-mfcc-no-snip-edges", lambda: KaldiMFCC(snip_edges=False))],
)
def test_coefficients_are_those_of_kaldis_binary(name, make):
    ours, kaldis = by_kaldi(name, make())
    np.testing.assert_allclose(ours[:, 0], kaldis[:, 0], rtol=1e-6)  # the energy
    difference = np.abs(ours - kaldis) / np.abs(kaldis).max()
    assert difference.max() < 1e-3
    assert difference.mean() < 1e-4


KINDS = {
    "fbank": lambda **options: KaldiFbank(8000, use_energy=True, **options),
    "mfcc": lambda **options: KaldiMFCC(8000, **options),
    "spectrogram": lambda **options: KaldiSpectrogram(8000, **options),
}


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    snip=st.booleans(),
    lengths=st.lists(st.integers(0, 1500), min_size=1, max_size=4),
    extra=st.integers(0, 300),
)
def test_features_do_not_depend_on_padding_and_company(kind, snip, lengths, extra):
    module = KINDS[kind](snip_edges=snip).eval()
    audio = torch.rand(len(lengths), max(lengths) + extra, generator=torch.Generator().manual_seed(extra)) - 0.5
    together, frames = module(audio, torch.tensor(lengths))
    assert together.isfinite().all()
    for index, length in enumerate(lengths):
        alone, count = module(audio[index : index + 1, :length], torch.tensor([length]))
        expected = max(0, 1 + (length - 200) // 80) if snip else (length + 40) // 80
        assert count.item() == frames[index].item() == expected
        torch.testing.assert_close(together[index, :, :expected], alone[0, :, :expected], rtol=1e-4, atol=1e-3)
        assert not together[index, :, expected:].any()


def test_ends_are_mirrored_without_snipping():
    module = KaldiSpectrogram(8000, snip_edges=False, window_type="rectangular", remove_dc_offset=False)
    frames = module._cut(torch.arange(3.0)[None].repeat(1, 40), torch.tensor([3]))  # only the first 3 are audio
    assert frames.shape == (1, 2, 200)
    wave = [0, 1, 2, 2, 1, 0]
    assert frames[0, 0].tolist() == [wave[(40 - 100 + index) % 6] for index in range(200)]


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("snip", [True, False])
def test_modules_can_be_exported(kind, snip):
    module = KINDS[kind](snip_edges=snip).eval()
    batch, samples = torch.export.Dim("batch", min=2, max=64), torch.export.Dim("samples", min=400, max=160000)
    example = (torch.randn(3, 4000), torch.tensor([4000, 3000, 2000]))
    program = torch.export.export(module, example, dynamic_shapes=({0: batch, 1: samples}, {0: batch}), strict=False)
    given = (torch.randn(2, 5500), torch.tensor([5500, 900]))
    for found, expected in zip(program.module()(*given), module(*given), strict=True):
        torch.testing.assert_close(found, expected)


def test_dither_is_for_training():
    audio, length = torch.randn(1, 4000), torch.tensor([4000])
    module = KaldiFbank(8000)
    noisy = module.train()(audio, length)[0]
    quiet = module.eval()(audio, length)[0]
    assert not torch.equal(noisy, quiet)
    assert torch.equal(quiet, module(audio, length)[0])
    assert torch.equal(KaldiFbank(8000, dither=0.0).train()(audio, length)[0], quiet)


def test_silence_is_as_quiet_as_the_floor():
    features, _ = KaldiFbank(8000, use_energy=True).eval()(torch.zeros(1, 4000), torch.tensor([4000]))
    assert features.unique().tolist() == pytest.approx([float(np.log(np.float32(2**-23)))])
    features, _ = KaldiFbank(8000, use_energy=True, energy_floor=2.0).eval()(torch.zeros(1, 4000), torch.tensor([4000]))
    assert features[0, 0].unique().tolist() == pytest.approx([np.log(2.0)])


def test_options_change_what_they_name():
    torch.manual_seed(0)
    audio, length = torch.randn(1, 4000), torch.tensor([4000])

    def fbank(**options):
        return KaldiFbank(8000, use_energy=True, **options).eval()(audio, length)[0]

    plain = fbank()
    torch.testing.assert_close(fbank(use_log_fbank=False)[:, 1:].log(), plain[:, 1:], rtol=1e-4, atol=1e-3)
    assert torch.equal(fbank(htk_compat=True).roll(1, 1), plain)
    assert fbank(raw_energy=False)[:, 0].mean() < plain[:, 0].mean()
    for option in (
        {"use_power": False},
        {"remove_dc_offset": False},
        {"preemphasis_coefficient": 0.0},
        {"round_to_power_of_two": False},
        {"high_freq": -400.0},
        {"low_freq": 100.0},
        {"scale": 1.0},
    ):
        assert not torch.allclose(fbank(**option), plain, atol=1e-3)
    assert fbank(frame_length=20.0, frame_shift=5.0).shape[2] == 97


def test_htk_puts_the_first_coefficient_last():
    audio, length = torch.randn(1, 4000), torch.tensor([4000])
    for energy, factor in ((True, 1.0), (False, 2**0.5)):
        plain = KaldiMFCC(8000, use_energy=energy).eval()(audio, length)[0]
        moved = KaldiMFCC(8000, use_energy=energy, htk_compat=True).eval()(audio, length)[0]
        torch.testing.assert_close(moved[:, :-1], plain[:, 1:])
        torch.testing.assert_close(moved[:, -1], factor * plain[:, 0])


def test_windows():
    for kind, middle, edge in (
        ("povey", 1.0, 0.0),
        ("hamming", 1.0, 0.08),
        ("hanning", 1.0, 0.0),
        ("blackman", 1.0, 0.0),
        ("sine", 1.0, 0.0),
        ("rectangular", 1.0, 1.0),
    ):
        window = kaldi_window(kind, 401)
        torch.testing.assert_close(window, window.flip(0), rtol=1e-4, atol=1e-6)
        assert window[200].item() == pytest.approx(middle)
        assert window[0].item() == pytest.approx(edge, abs=0.01)


def test_filters_leave_the_highest_frequency_out():
    bank = kaldi_filterbank(16000, 512, 23)
    assert not bank[256].any()
    assert (bank.sum(dim=0) > 0).all()
    assert not bank[0].any()  # below low_freq


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: KaldiFbank(window_type="kaiser"), "kaiser"),
        (lambda: KaldiFbank(low_freq=9000.0), "9000"),
        (lambda: KaldiFbank(high_freq=9000.0), "9000"),
        (lambda: KaldiMFCC(num_ceps=24), "num_ceps 24"),
        (lambda: KaldiFbank(frame_shift=0.0), "shift"),
        (lambda: KaldiSpectrogram(preemphasis_coefficient=2.0), "preemphasis_coefficient 2.0"),
    ],
)
def test_bad_options_are_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()
