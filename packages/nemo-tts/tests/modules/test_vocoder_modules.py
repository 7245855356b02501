from __future__ import annotations

import copy

import pytest
import torch

from nemo_core.audio import MelSpectrogram
from nemo_core.errors import ConfigError
from nemo_tts.modules import (
    GriffinLimInversion,
    HiFiGanGenerator,
    ISTFTGenerator,
    MultiPeriodDiscriminator,
    MultiScaleDiscriminator,
    VocosGenerator,
)
from nemo_tts.modules.normed_conv import NormedConv, NormedConvTranspose, as_picture

UNCHANGED = {"normalize": None, "preemph": None, "pad_to": 0, "dither": 0.0}
V3 = {
    "resblock": 2,
    "upsample_rates": [8, 8, 4],
    "upsample_kernel_sizes": [16, 16, 8],
    "resblock_kernel_sizes": [3, 5, 7],
    "resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]],
}


@pytest.mark.parametrize(
    ("version", "settings", "weights"),
    [(1, {}, 13.9), (2, {"upsample_initial_channel": 128}, 0.9), (3, V3 | {"upsample_initial_channel": 256}, 1.5)],
)
def test_the_versions_have_the_sizes_of_the_paper(version, settings, weights):
    generator = HiFiGanGenerator(**settings)
    assert generator.hop_length == 256
    assert generator.num_weights / 1e6 == pytest.approx(weights, abs=0.1)  # millions, Kong et al., table 1


def test_a_weight_is_computed_once_and_again_when_it_changes():
    conv = NormedConv(3, 4, 5)
    x = torch.randn(1, 3, 1, 20)
    with torch.no_grad():
        first = conv(x)
        assert conv.weight() is conv.weight()
        conv.weight_g.mul_(2)
        bias = conv.bias.view(1, -1, 1, 1)
        torch.testing.assert_close(conv(x) - bias, 2 * (first - bias))
    assert torch.allclose(conv(x), copy.deepcopy(conv)(x))


@pytest.mark.parametrize("conv", [NormedConv(3, 4, 5, dilation=2), NormedConvTranspose(3, 4, 8, stride=4)])
def test_weight_norm_is_torchs(conv):
    x = torch.randn(2, 3, 20)
    if isinstance(conv, NormedConv):
        theirs = torch.nn.Conv1d(3, 4, 5, dilation=2, padding=4)
    else:
        theirs = torch.nn.ConvTranspose1d(3, 4, 8, stride=4, padding=2)
    theirs = torch.nn.utils.parametrizations.weight_norm(theirs)
    theirs.parametrizations.weight.original0.data.copy_(conv.weight_g)
    theirs.parametrizations.weight.original1.data.copy_(conv.weight_v)
    theirs.bias.data.copy_(conv.bias)
    torch.testing.assert_close(conv(x.unsqueeze(2)).squeeze(2), theirs(x))
    with torch.no_grad():
        torch.testing.assert_close(conv(x.unsqueeze(2)).squeeze(2), theirs(x))


def test_what_follows_a_convolution_is_the_same_with_and_without_gradients():
    torch.manual_seed(0)
    conv = NormedConv(8, 8, 5, dilation=3)
    x = as_picture(torch.randn(2, 8, 40))
    with torch.no_grad():
        fused = conv.then_leaky(x, 0.1), conv.plus(x, x)
    torch.testing.assert_close(fused[0], torch.nn.functional.leaky_relu(conv(x), 0.1))
    torch.testing.assert_close(fused[1], conv(x) + x)
    assert conv.plus(x, x).requires_grad


@pytest.mark.parametrize("kind", [HiFiGanGenerator, ISTFTGenerator])
def test_gradients_reach_every_weight_and_a_batch_is_its_rows(kind):
    torch.manual_seed(0)
    generator = kind(upsample_initial_channel=16, initial_input_size=6)
    spectrogram = torch.randn(2, 6, 7, requires_grad=True)
    audio = generator(spectrogram=spectrogram)
    assert audio.shape == (2, 7 * 256)
    audio.square().sum().backward()
    assert all(weight.grad is not None for weight in generator.parameters())
    assert spectrogram.grad.abs().sum() > 0
    with torch.no_grad():
        torch.testing.assert_close(generator(spectrogram=spectrogram[1:])[0], audio[1].detach(), rtol=1e-4, atol=1e-6)


def test_vocos_learns_with_every_weight_and_a_batch_is_its_rows():
    torch.manual_seed(0)
    generator = VocosGenerator(hop_length=8, n_fft=32, dim=16, n_layers=2, initial_input_size=6)
    spectrogram = torch.randn(2, 6, 7, requires_grad=True)
    audio = generator(spectrogram=spectrogram)
    assert audio.shape == (2, 7 * 8)
    audio.square().sum().backward()
    assert all(weight.grad is not None for weight in generator.parameters())
    assert spectrogram.grad.abs().sum() > 0
    with torch.no_grad():
        torch.testing.assert_close(generator(spectrogram=spectrogram[1:])[0], audio[1].detach(), rtol=1e-4, atol=1e-6)


def test_vocos_can_start_from_the_magnitudes_that_the_bins_tell():
    mel = MelSpectrogram(8000, n_window_size=256, n_window_stride=64, n_fft=256, features=40, **UNCHANGED).eval()
    generator = VocosGenerator(64, 256, 16, 1, initial_input_size=40, mel=mel)
    with torch.no_grad():
        generator.head.weight.zero_()  # no correction, and every phase 0
    tone = 0.1 * torch.sin(2 * torch.pi * 500 * torch.arange(4096) / 8000).unsqueeze(0)
    spectrogram, frames = mel(tone, torch.tensor([4096]))
    audio = generator(spectrogram=spectrogram[:, :, : int(frames)])
    spectrum = torch.fft.rfft(audio[0]).abs()
    assert abs(int(spectrum.argmax()) * 8000 / audio.shape[1] - 500) < 64  # the bin of the filterbank that 500 Hz is in
    with pytest.raises(ConfigError, match="windows of 512, 128 apart"):
        VocosGenerator(128, 512, mel=mel)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="does not cover frames 256 apart"):
        VocosGenerator(256, 300)
    with pytest.raises(ConfigError, match="has no middle"):
        VocosGenerator(kernel_size=4)
    with pytest.raises(ConfigError, match="kernel of 15"):
        HiFiGanGenerator(upsample_kernel_sizes=[15, 16, 4, 4])
    with pytest.raises(ConfigError, match="one length"):
        HiFiGanGenerator(upsample_rates=[8, 8])


def test_discriminators_see_every_sample():
    for discriminator in (MultiPeriodDiscriminator([2, 3], [4, 8]), MultiScaleDiscriminator(2, 0.125)):
        discriminator.eval()
        audio = torch.randn(1, 257, requires_grad=True)
        scores, features = discriminator(audio=audio)
        assert len(scores) == 2
        assert all(maps.ndim == 4 for maps in features)
        torch.stack([score.sum() for score in scores]).sum().backward()
        assert (audio.grad != 0).all()


@pytest.mark.parametrize("settings", [{}, {"exact_pad": True, "log_zero_guard_type": "clamp"}, {"mag_power": 2.0}])
def test_griffin_lim_gives_audio_with_the_spectrogram_it_was_given(settings):
    kept = {
        "n_window_size": 512,
        "n_window_stride": 128,
        "normalize": None,
        "preemph": None,
        "pad_to": 0,
        "dither": 0.0,
    }
    kept |= {"mag_power": 1.0, "log_zero_guard_value": 1e-5, "features": 60}
    mel = MelSpectrogram(8000, **{**kept, **settings})
    time = torch.arange(8192) / 8000
    audio = sum(torch.sin(2 * torch.pi * hertz * time * (1 + 0.05 * time)) for hertz in (220, 440, 660, 1330)) / 8
    audio = audio.unsqueeze(0)
    spectrogram, frames = mel(audio, torch.tensor([8192]))
    spectrogram = spectrogram[:, :, : int(frames)]
    again = GriffinLimInversion(mel)(spectrogram=spectrogram)
    assert again.shape == (1, int(frames) * 128)
    found, _ = mel(again, torch.tensor([again.shape[1]]))
    steps = slice(4, int(frames) - 4)
    loud = spectrogram[:, :, steps] > spectrogram.max() - 5
    assert (found[:, :, steps] - spectrogram[:, :, steps])[loud].abs().mean() < 0.35
    assert torch.equal(again, GriffinLimInversion(mel)(spectrogram=spectrogram))


def test_features_that_cannot_be_undone_are_refused():
    with pytest.raises(ConfigError, match="normalised"):
        GriffinLimInversion(MelSpectrogram(8000))
