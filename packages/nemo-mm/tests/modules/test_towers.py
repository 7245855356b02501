"""Encoders and towers: their types are true, and their short cuts change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.audio import MelSpectrogram
from nemo_core.errors import ConfigError, DataError, NeuralTypeError
from nemo_core.testing import check_module
from nemo_llm.tokenizers.byte import ByteTokenizer
from nemo_mm.data import AudioSamples, TextTokens
from nemo_mm.images import ImageTransform
from nemo_mm.modules import ImageTower, SpeechTower, TextTower, TextTransformer, VisionTransformer
from nemo_mm.modules.transformer import Transformer, activate

SMALL = {"width": 16, "layers": 2, "heads": 2}


@pytest.mark.parametrize("name", ["VisionTransformer", "TextTransformer", "ImageTower", "TextTower"])
def test_keeps_the_promises_of_a_module(name):
    check_module(f"mm.{name}")


def test_quick_gelu_and_its_gradient():
    x = torch.linspace(-6, 6, 41, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: activate(x, "quick_gelu"), x)
    torch.testing.assert_close(activate(x, "quick_gelu"), x * torch.sigmoid(1.702 * x))


@given(
    place=st.integers(0, 6),
    causal=st.booleans(),
    masked=st.booleans(),
    layers=st.integers(1, 3),
    recompute=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_the_last_layer_for_one_token_is_the_last_layer(place, causal, masked, layers, recompute):
    """Output and gradients of the short cut are those of the whole stack."""
    torch.manual_seed(0)
    stack = Transformer(layers, 8, 2, recompute=recompute)
    x = torch.randn(3, 7, 8)
    inside = torch.arange(7) < torch.tensor([7, max(place + 1, 4), 7])[:, None]
    mask = inside[:, None, None, :] if masked and not causal else None
    seen = mask
    if causal:
        seen = (torch.arange(7) <= place).expand(3, 7)[:, None, None, :]
    found, grads = [], []
    for short in (True, False):
        stack.zero_grad()
        out = stack.of_one(x, place, mask, causal, seen) if short else stack(x, mask, causal)[:, place]
        out.square().sum().backward()
        found.append(out.detach())
        grads.append([weight.grad.clone() for weight in stack.parameters()])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pool", ["class", "attention", "mean"])
def test_pooled_is_made_of_the_hidden_states(pool):
    vit = VisionTransformer(8, 4, **SMALL, pool=pool, pre_norm=True).eval()
    pixels = torch.randn(2, 3, 8, 8)
    hidden = vit.hidden(pixels)
    assert hidden.shape == (2, 4 + (pool == "class"), 16)
    expected = {"class": lambda: hidden[:, 0], "mean": lambda: hidden.mean(1), "attention": lambda: vit.head(hidden)}
    torch.testing.assert_close(vit(pixels=pixels), expected[pool](), rtol=1e-4, atol=1e-5)


def test_hidden_states_of_a_layer():
    vit = VisionTransformer(8, 4, width=16, layers=3, heads=2)
    pixels = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(vit.hidden(pixels, -1), vit.hidden(pixels, 2))
    assert not torch.equal(vit.hidden(pixels, -2), vit.hidden(pixels, -1))


def test_patches_are_what_a_convolution_makes():
    vit = VisionTransformer(12, 4, **SMALL, pool="mean", patch_bias=True)
    pixels = torch.randn(2, 3, 12, 12)
    kernel = vit.patches.weight.view(16, 3, 4, 4)
    expected = torch.nn.functional.conv2d(pixels, kernel, vit.patches.bias, stride=4).flatten(2).transpose(1, 2)
    torch.testing.assert_close(vit._tokens(pixels), expected + vit.positions, rtol=1e-4, atol=1e-5)


def test_patches_behind_a_stem_are_those_of_its_features():
    vit = VisionTransformer([16, 24], 8, **SMALL, pool="mean", stem=[4, 6])
    pixels = torch.randn(2, 3, 16, 24)
    kernel = vit.patches.weight.view(16, 6, 2, 2)
    expected = torch.nn.functional.conv2d(vit.stem(pixels), kernel, stride=2).flatten(2).transpose(1, 2)
    torch.testing.assert_close(vit._tokens(pixels), expected + vit.positions, rtol=1e-4, atol=1e-5)
    assert vit.hidden(torch.randn(1, 3, 24, 24), resize=True).shape == (1, 9, 16)
    with pytest.raises(ConfigError, match="cannot be halved 3 times"):
        VisionTransformer(12, 4, **SMALL, stem=[4, 4, 4])


def test_near_places_start_alike_with_sines():
    vit = VisionTransformer([8, 32], 4, **SMALL, positions="sincos")
    places = vit.positions[1:].view(2, 8, 16)
    distances = [(places[0, 0] - places[0, other]).norm().item() for other in (1, 2, 3)]
    assert distances == sorted(distances)
    assert vit.positions.requires_grad
    with pytest.raises(ConfigError, match="positions is"):
        VisionTransformer(8, 4, **SMALL, positions="learned")
    with pytest.raises(ConfigError, match="4 divides"):
        VisionTransformer(8, 4, width=18, layers=1, heads=2, positions="sincos")


def test_pictures_of_another_size():
    vit = VisionTransformer(8, 4, **SMALL)
    larger = torch.randn(1, 3, 12, 16)
    with pytest.raises(NeuralTypeError):
        vit(pixels=larger)
    with pytest.raises(DataError, match="3 x 4 patches"):
        vit.hidden(larger)
    assert vit.hidden(larger, resize=True).shape == (1, 13, 16)


def test_pixels_of_another_mean_are_refused():
    vit = VisionTransformer(8, 4, **SMALL, mean=[0.5] * 3, std=[0.5] * 3)
    with pytest.raises(NeuralTypeError, match="mean"):
        ImageTower(ImageTransform.clip(8), vit)
    ImageTower(ImageTransform.siglip(8), vit)


@pytest.mark.parametrize("pool", ["end", "mean"])
@pytest.mark.parametrize("causal", [True, False])
def test_padding_makes_no_difference(pool, causal):
    encoder = TextTransformer(50, 12, **SMALL, pool=pool, causal=causal)
    tokens, length = torch.randint(50, (3, 9)), torch.tensor([9, 5, 1])
    whole = encoder(tokens=tokens, length=length)
    tokens[1, 5:] = 7
    torch.testing.assert_close(encoder(tokens=tokens, length=length), whole, rtol=1e-4, atol=1e-5)
    alone = encoder(tokens=tokens[1:2, :5], length=length[1:2])
    torch.testing.assert_close(alone, whole[1:2], rtol=1e-4, atol=1e-5)


def test_texts_that_do_not_fit():
    with pytest.raises(ConfigError, match="13 tokens"):
        TextTransformer(50, 12, **SMALL)(tokens=torch.zeros(1, 13, dtype=torch.long), length=torch.tensor([13]))
    siglip = TextTransformer(50, 12, **SMALL, causal=False, pool="final", sees_padding=True)
    with pytest.raises(ConfigError, match="pad_to_max"):
        siglip(tokens=torch.zeros(1, 5, dtype=torch.long), length=torch.tensor([5]))
    with pytest.raises(ConfigError, match="go together"):
        TextTransformer(50, 12, **SMALL, pool="final")
    with pytest.raises(ConfigError, match="259 tokens"):
        TextTower(TextTokens(ByteTokenizer(), 12), TextTransformer(50, 12, **SMALL))


def test_speech_without_its_padding():
    """The mean over time is that of the frames that are there; the encoder comes from the registry, by name."""
    from nemo_core.config import Trust, instantiate
    from nemo_core.plugins import registry

    if registry().find("asr.ConformerEncoder") is None:
        pytest.skip("nemo-asr is not installed")
    encoder = instantiate(
        {"_target_": "asr.ConformerEncoder", "feat_in": 40, "n_layers": 1, "d_model": 16, "n_heads": 2},
        trust=Trust.user(),
    )
    mel = MelSpectrogram(8000, features=40, pad_to=0, dither=0.0)
    tower = SpeechTower(AudioSamples(8000), mel, encoder, size=6).eval()
    assert (tower.kind, tower.size) == ("speech", 6)
    audio = torch.randn(2, 8000)
    both = tower(audio=audio, length=torch.tensor([8000, 4000]))
    alone = tower(audio=audio[1:, :4000], length=torch.tensor([4000]))
    torch.testing.assert_close(both[1:], alone, rtol=1e-3, atol=1e-4)
    with pytest.raises(ConfigError, match="16000 Hz"):
        SpeechTower(AudioSamples(16000), mel, encoder)


def test_texts_are_cut_and_cleaned():
    tokens = TextTokens(ByteTokenizer(), 6, bos=True, clean="canonical")
    row = tokens.read("  A, b!  CDEFG ")
    assert row.tolist() == [256, *b"a b ", 257]
    with pytest.raises(DataError, match="not a text"):
        tokens.read(np.zeros(3))
    with pytest.raises(ConfigError, match="no room"):
        TextTokens(ByteTokenizer(), 1)
