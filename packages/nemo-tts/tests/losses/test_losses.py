from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError
from nemo_tts.losses import (
    BinarizationLoss,
    DiscriminatorLoss,
    DurationLoss,
    ForwardSumLoss,
    MelLoss,
    MultiResolutionSTFTLoss,
    PitchLoss,
)


def all_alignments(scores, blank):
    """Log-probability of every way through (M, T) that says 1, 2, ..., T, blanks left out: CTC by enumeration."""
    frames, tokens = scores.shape
    given = torch.cat((torch.full((frames, 1), blank), scores), 1).log_softmax(1)
    total = -math.inf
    for code in range((tokens + 1) ** frames):
        path = [code // (tokens + 1) ** m % (tokens + 1) for m in range(frames)]
        said = [label for m, label in enumerate(path) if label and (m == 0 or path[m - 1] != label)]
        if said == list(range(1, tokens + 1)):
            score = sum(float(given[m, label]) for m, label in enumerate(path))
            total = score if total == -math.inf else max(total, score) + math.log1p(math.exp(-abs(total - score)))
    return total


def test_the_forward_sum_is_over_all_alignments():
    torch.manual_seed(0)
    scores = torch.randn(2, 4, 3)
    tokens, frames = torch.tensor([3, 2]), torch.tensor([4, 3])
    wanted = [-all_alignments(scores[b, : frames[b], : tokens[b]], -1.0) / int(tokens[b]) for b in range(2)]
    assert float(ForwardSumLoss()(scores, tokens, frames)) == pytest.approx(sum(wanted) / 2, rel=1e-4)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5), st.integers(0, 6), st.integers(0, 3), st.integers(0, 1000))
def test_padding_changes_no_loss(tokens, more_frames, more, seed):
    frames = tokens + more_frames
    scores = torch.randn(1, frames + more, tokens + more, generator=torch.Generator().manual_seed(seed))
    cut = scores[:, :frames, :tokens]
    length, frame_length = torch.tensor([tokens]), torch.tensor([frames])
    loss = ForwardSumLoss()
    torch.testing.assert_close(loss(scores, length, frame_length), loss(cut, length, frame_length))
    path = torch.zeros(1, frames, dtype=torch.long)
    sharpness = BinarizationLoss()
    padded = torch.nn.functional.pad(path, (0, more), value=-1)
    masked = scores.clone()
    masked[:, :, tokens:] = -1e4  # as an aligner gives them
    torch.testing.assert_close(sharpness(masked, padded, frame_length), sharpness(cut, path, frame_length))
    mel, zeros = scores.transpose(1, 2), torch.zeros_like(scores.transpose(1, 2))
    loss = MelLoss()
    torch.testing.assert_close(
        loss(mel, zeros, frame_length), loss(mel[:, :, :frames], zeros[:, :, :frames], frame_length)
    )


def test_losses_of_tokens_leave_padding_out():
    predicted, wanted = torch.tensor([[1.0, 5.0], [2.0, 2.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    assert PitchLoss(0.5)(predicted, wanted, torch.tensor([1, 2])) == pytest.approx(0.5 * (1 + 4) / 3)
    durations = torch.tensor([[3, 0], [1, 7]])
    exact = DurationLoss()(durations.float().log1p(), durations, torch.tensor([1, 2]))
    assert exact == 0


def test_sharp_alignments_cost_nothing():
    path = torch.tensor([[0, 1, 1]])
    sharp = torch.nn.functional.one_hot(path, 2) * 100.0
    assert BinarizationLoss()(sharp, path, torch.tensor([3])) == pytest.approx(0.0, abs=1e-6)
    assert BinarizationLoss()(-sharp, path, torch.tensor([3])) == pytest.approx(27.6)


def test_a_discriminator_that_is_right_loses_nothing():
    assert DiscriminatorLoss()([torch.ones(1, 3)], [torch.zeros(1, 3)]) == 0
    assert DiscriminatorLoss()([torch.zeros(1, 3)], [torch.ones(1, 3)]) == 2


def test_spectra_hear_noise_and_not_a_sample_more():
    loss = MultiResolutionSTFTLoss([64, 128])
    torch.manual_seed(0)
    tone = torch.sin(torch.arange(2048) / 5).repeat(2, 1)
    noisy, late = tone + 0.1 * torch.randn_like(tone), tone.roll(1, 1)
    assert loss(tone, tone) == 0
    assert loss(tone, late) < 0.1 * loss(tone, noisy)
    generated = (0 * tone).requires_grad_()  # silence has a gradient, and no infinite one
    loss(tone, generated).backward()
    assert torch.isfinite(generated.grad).all()
    with pytest.raises(ConfigError, match="16 and more"):
        MultiResolutionSTFTLoss([8])
