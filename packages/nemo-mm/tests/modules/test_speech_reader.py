"""Audio becomes as many embeddings as announced, and nothing but itself decides on them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.audio import MelSpectrogram
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule
from nemo_mm.data.speech_chat import collate_audio
from nemo_mm.data.spoken import embedding_count
from nemo_mm.modules.speech_reader import SpeechReader
from nemo_mm.modules.strided_encoder import StridedEncoder


def make(subsampler="stack", stack=4, stride=2, version=2, hop=80) -> SpeechReader:
    torch.manual_seed(0)
    mel = MelSpectrogram(8000, n_window_stride=hop, features=8, pad_to=16, feature_version=version)
    return SpeechReader(mel, StridedEncoder(8, 12, stride), 16, subsampler=subsampler, stack=stack).eval()


def batch_of(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    recordings = [[torch.randn(length).numpy() for length in row] for row in rows]
    return collate_audio(recordings)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9000), min_size=1, max_size=4),
    stack=st.integers(1, 5),
    stride=st.integers(1, 4),
    version=st.sampled_from([1, 2]),
    hop=st.sampled_from([64, 80, 100]),
    subsampler=st.sampled_from(["stack", "conv"]),
)
def test_audio_of_any_length_gives_the_embeddings_that_were_announced(lengths, stack, stride, version, hop, subsampler):
    reader = make(subsampler, stack, stride, version, hop)
    with torch.no_grad():
        embeddings, counts = reader(**batch_of([lengths, lengths[:1], []]))
    announced = [embedding_count(length, reader.samples_per_embedding) for length in lengths]
    assert counts.tolist() == [sum(announced), announced[0], 0]
    assert embeddings.shape == (sum(announced) + announced[0], 16)
    assert embeddings.isfinite().all()


@settings(max_examples=60, deadline=None)
@given(samples=st.integers(1, 20000), stack=st.integers(1, 5), stride=st.integers(1, 4))
def test_no_encoded_frame_is_left_out(samples, stack, stride):
    reader = make("stack", stack, stride)
    frames = reader.preprocessor.frame_lengths(torch.tensor([samples]))
    _, encoded = reader.encoder(features=torch.zeros(1, 8, max(1, int(frames))), length=frames)
    assert int(encoded) <= embedding_count(samples, reader.samples_per_embedding) * stack


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 6000),
    company=st.integers(1, 9000),
    subsampler=st.sampled_from(["stack", "conv"]),
    seed=st.integers(0, 99),
)
def test_padding_and_company_change_nothing(length, company, subsampler, seed):
    reader = make(subsampler)
    generator = torch.Generator().manual_seed(seed)
    audio = torch.randn(length, generator=generator).numpy()
    other = torch.randn(company, generator=generator).numpy()
    with torch.no_grad():
        alone, counts = reader(**collate_audio([[audio]]))
        together, _ = reader(**collate_audio([[other], [other, audio]]))
    torch.testing.assert_close(together[-int(counts) :], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("subsampler", ["stack", "conv"])
def test_every_weight_learns(subsampler):
    reader = make(subsampler).train()
    embeddings, _ = reader(**batch_of([[4000], [3000]]))
    embeddings.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in reader.parameters())


def test_a_batch_without_audio_has_no_embeddings():
    embeddings, counts = make()(**batch_of([[], []]))
    assert embeddings.shape == (0, 16)
    assert counts.tolist() == [0, 0]


def test_features_are_made_in_full_precision():
    batch = batch_of([[4000]])
    with torch.no_grad():
        expected, _ = make()(**batch)
        found, _ = make().bfloat16()(**batch)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)


def test_wrong_parts_are_refused():
    mel = MelSpectrogram(8000, features=8)
    with pytest.raises(ConfigError, match="feat_out and stride"):
        SpeechReader(mel, NeuralModule(), 16)
    with pytest.raises(ConfigError, match="subsampler"):
        make("attention")
    with pytest.raises(ConfigError, match="stack is 0"):
        make(stack=0)
