"""A prior of alignments from the times of words."""

from __future__ import annotations

import torch

from nemo_core.audio import MelSpectrogram
from nemo_tts.data import SpeechFeatures, SpokenDigits, TextToSpeechData
from nemo_tts.data.word_prior import word_prior
from nemo_tts.modules.alignment import durations_of, monotonic_alignment
from nemo_tts.tokenizers import EnglishCharsTokenizer


def test_words_keep_to_their_frames() -> None:
    prior = word_prior([0, 1, 2, 0, 3, 0], 0, [(2, 6), (8, 10)], 12)
    assert prior is not None
    path = monotonic_alignment(prior[None], torch.tensor([6]), torch.tensor([12]))
    assert durations_of(path, 6)[0].tolist() == [2, 2, 2, 2, 2, 2]


def test_what_does_not_fit_has_no_prior() -> None:
    assert word_prior([1, 0, 2], 0, [(0, 5)], 5) is None
    assert word_prior([1, 2, 3], 0, [(0, 2)], 5) is None


def test_batches_of_digits_have_one() -> None:
    mel = MelSpectrogram(8000, n_window_size=256, n_window_stride=64, features=20, normalize=None, pad_to=0)
    known = SpeechFeatures(mel, pitch_fmax=500.0)
    digits = SpokenDigits("validation", 3, known, speakers=["theo"], min_digits=1, max_digits=3)
    tokenizer = EnglishCharsTokenizer(pad_with_space=True)
    data = TextToSpeechData(
        validation=digits, tokenizer=tokenizer, features=known, pitch_mean=130.0, pitch_std=25.0, batch_size=3
    )
    batch = next(iter(data.val_dataloader()[0]))
    frames = mel.frame_lengths(batch.audio_length)
    assert batch.log_prior.shape == (3, int(frames.max()), int(batch.length.max()))
    path = monotonic_alignment(batch.log_prior, batch.length, frames)
    durations = durations_of(path, batch.tokens.shape[1])
    for row, item in enumerate(digits):
        blanks = [place for place, token in enumerate(batch.tokens[row].tolist()) if token == tokenizer.space]
        ends = durations[row].cumsum(0)
        # Each word begins where the blank before it ends, but for a frame of doubt.
        for (start, _), blank in zip(item.words, blanks, strict=False):
            assert abs(int(ends[blank]) - start) <= 1
