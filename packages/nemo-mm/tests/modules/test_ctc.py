"""The CTC loss on an encoder's frames: what torch says it is, and brought along by other gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from nemo_core.audio import MelSpectrogram
from nemo_mm.modules.ctc import TokenCTC, with_loss
from nemo_mm.modules.speech_reader import SpeechReader
from nemo_mm.modules.strided_encoder import StridedEncoder


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_it_is_the_sum_over_rows_that_have_a_transcript(seed, rows):
    torch.manual_seed(seed)
    ctc = TokenCTC(6, 5)
    encoded, frames = torch.randn(rows, 6, 9), torch.randint(7, 10, (rows,))
    tokens, length = torch.randint(0, 5, (rows, 3)), torch.randint(0, 4, (rows,))
    expected = torch.zeros(())
    for row in range(rows):
        if length[row]:
            scores = functional.log_softmax(ctc.linear(encoded[row, :, : frames[row]].T), -1)
            expected = expected + functional.ctc_loss(
                scores, tokens[row, : length[row]], frames[row], length[row], blank=5, reduction="sum"
            )
    torch.testing.assert_close(ctc(encoded, frames, tokens, length), expected)


def test_a_row_too_short_for_its_transcript_does_not_count():
    ctc = TokenCTC(4, 3)
    encoded, one = torch.randn(1, 4, 2), torch.tensor([2])
    loss = ctc(encoded, one, torch.tensor([[1, 1]]), torch.tensor([2]))  # a blank must stand between the two
    assert loss == 0
    loss.backward()
    assert all(bool(torch.isfinite(weight.grad).all()) for weight in ctc.parameters())


def test_no_transcript_at_all_gives_gradients_of_zero():
    ctc = TokenCTC(4, 3)
    loss = ctc(torch.randn(2, 4, 5), torch.tensor([5, 5]), torch.zeros(2, 0, dtype=torch.long), torch.tensor([0, 0]))
    loss.backward()
    assert loss == 0
    assert all(not weight.grad.any() for weight in ctc.parameters())


def test_a_loss_comes_along_where_a_value_needs_no_gradient():
    value, weight = torch.randn(3), torch.tensor(2.0, requires_grad=True)
    found = with_loss(value, weight * weight)
    assert torch.equal(found, value)
    (found.sum() * 10).backward()  # what is done with the value does not change the loss
    assert weight.grad == 4


@pytest.fixture
def reader():
    torch.manual_seed(0)
    front = MelSpectrogram(8000, features=8, dither=0.0)
    return SpeechReader(front, StridedEncoder(8, 12, stride=2), 16, stack=2, ctc_classes=5, ctc_weight=0.5)


def heard():
    return {
        "audio": torch.randn(2, 2, 4000, generator=torch.Generator().manual_seed(1)),
        "audio_length": torch.tensor([[4000, 3000], [2500, 0]]),
        "audio_counts": torch.tensor([2, 1]),
    }


def test_a_reader_adds_the_gradients_of_the_loss(reader):
    tokens, count = torch.tensor([[[1, 2], [3, 0]], [[4, 4], [0, 0]]]), torch.tensor([[2, 1], [2, 0]])
    said = {"transcript": tokens, "transcript_length": count}
    weight = next(reader.encoder.parameters())

    def gradient(run):
        reader.zero_grad()
        run().backward()
        return weight.grad.clone()

    answers = gradient(lambda: reader(**heard())[0].square().sum())
    both = gradient(lambda: reader(**heard(), **said)[0].square().sum())
    audio, length = heard()["audio"].flatten(0, 1)[:3], torch.tensor([4000, 3000, 2500])

    def loss():
        encoded, frames = reader._encoded(audio, length)
        return reader.ctc(encoded, frames, torch.tensor([[1, 2], [3, 0], [4, 4]]), torch.tensor([2, 1, 2]))

    torch.testing.assert_close(both - answers, 0.5 * gradient(loss), rtol=1e-4, atol=1e-5)
    assert float(reader.ctc_loss) == pytest.approx(float(loss()) / 5, rel=1e-5)


def test_a_reader_says_the_same_with_and_without(reader):
    tokens = torch.zeros(2, 2, 1, dtype=torch.long)
    said = {"transcript": tokens, "transcript_length": tokens[..., 0] + 1}
    with torch.no_grad():
        quiet = reader(**heard(), **said)[0]
    assert reader.ctc_loss is None  # nothing is computed where nothing is learned
    torch.testing.assert_close(reader(**heard(), **said)[0], quiet, rtol=0, atol=0)
