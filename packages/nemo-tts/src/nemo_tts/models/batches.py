"""What models of speech synthesis are trained on."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["AcousticBatch", "VocoderBatch"]


class AcousticBatch(NamedTuple):
    """Utterances and what is known of them; shorter ones are padded."""

    audio: Tensor
    """Samples (B, S), zero-padded."""
    audio_length: Tensor
    """Samples of each utterance (B,)."""
    tokens: Tensor
    """Tokens (B, T), padded with the tokenizer's padding."""
    length: Tensor
    """Tokens of each utterance (B,)."""
    pitch: Tensor
    """Pitch of each frame (B, M), or of each token (B, T); normalised, and zero where there is no voice."""
    speaker: Tensor | None = None
    """Number of the speaker (B,)."""
    energy: Tensor | None = None
    """Energy of each frame (B, M), or of each token (B, T)."""
    durations: Tensor | None = None
    """Frames of each token (B, T), where they are known and not learned."""
    log_prior: Tensor | None = None
    """Log-probability of each token at each frame (B, M, T); the beta-binomial one if not given."""


class VocoderBatch(NamedTuple):
    """Pieces of audio, and the spectrograms they are to be made from."""

    audio: Tensor
    """Samples (B, S)."""
    audio_length: Tensor
    """Samples of each (B,)."""
    spectrogram: Tensor | None = None
    """What an acoustic model has made of the same text (B, D, M), to be tuned to; that of the audio if not given."""
