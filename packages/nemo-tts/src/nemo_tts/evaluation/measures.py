"""How far synthesised speech is from a recording of the same text: timbre, pitch, voicing.

Recordings and synthesis differ in speed, so frames are paired by dynamic time warping of their cepstra first.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nemo_core.audio.mel import mel_filterbank
from nemo_core.errors import DataError
from nemo_tts.data.pitch import track_pitch

__all__ = ["Distances", "compare_speech", "mel_cepstra", "warp"]

_ORDER = 13
_BANDS = 40
_HOP = 0.005


class Distances(NamedTuple):
    """What differs between two utterances."""

    mcd: float
    """Mel-cepstral distortion, dB (Kubichek, 1993), of 13 coefficients without the one of loudness."""
    f0_rmse: float
    """Root mean square difference of pitch where both have a voice, cents; NaN where they never do."""
    voicing_error: float
    """Share of frames in which only one of them has a voice."""


def compare_speech(
    reference: np.ndarray, made: np.ndarray, sample_rate: int, *, fmin: float = 65.0, fmax: float = 600.0
) -> Distances:
    """Return how far ``made`` is from ``reference``, both (T,) at one sample rate.

    Args:
        reference: Recording.
        made: Synthesis of the same text.
        sample_rate: Of both, Hz.
        fmin: Lowest pitch of the voice, Hz.
        fmax: Highest pitch of the voice, Hz.

    Raises:
        DataError: One of them is shorter than a frame.

    Example:
        >>> time = np.arange(8000) / 8000
        >>> one = np.sin(2 * np.pi * 200 * time) + np.sin(2 * np.pi * 400 * time)
        >>> found = compare_speech(one, one, 8000)
        >>> round(found.mcd, 6), found.f0_rmse < 1, found.voicing_error
        (0.0, True, 0.0)
    """
    hop = max(1, round(_HOP * sample_rate))
    first, second = (mel_cepstra(audio, sample_rate) for audio in (reference, made))
    if not len(first) or not len(second):
        raise DataError("audio is shorter than 25 ms: there is nothing to compare")
    rows, columns = warp(first, second)
    difference = first[rows] - second[columns]
    mcd = 10 / math.log(10) * float(np.mean(np.sqrt(2 * (difference**2).sum(1))))
    pitch = [
        track_pitch(audio, sample_rate, hop, fmin=fmin, fmax=fmax, frames=frames, first=round(0.0125 * sample_rate))
        for audio, frames in ((reference, len(first)), (made, len(second)))
    ]
    one, other = pitch[0][rows], pitch[1][columns]
    both = (one > 0) & (other > 0)
    cents = 1200 * np.log2(one[both] / other[both])
    rmse = float(np.sqrt(np.mean(cents**2))) if both.any() else math.nan
    return Distances(mcd, rmse, float(np.mean((one > 0) != (other > 0))))


def mel_cepstra(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return mel cepstra (M, 13) of audio (T,), a frame of 25 ms every 5 ms, without the coefficient of loudness.

    Example:
        >>> mel_cepstra(np.random.default_rng(0).normal(size=8000), 8000).shape
        (196, 13)
    """
    window, hop = round(0.025 * sample_rate), max(1, round(_HOP * sample_rate))
    if len(audio) < window:
        return np.zeros((0, _ORDER))
    points = 2 ** math.ceil(math.log2(window))
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(audio, dtype=np.float64), window)[::hop]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(window), points))
    bank = mel_filterbank(sample_rate=sample_rate, n_fft=points, n_mels=_BANDS, fmin=0.0).astype(np.float64)
    # Silence of a recording has noise, that of a synthesis may have none: 80 dB below the loudest neither is heard.
    mel = spectrum @ bank.T
    mel = np.log(np.maximum(mel, max(1e-4 * mel.max(), 1e-12)))
    angle = np.pi * (np.arange(_BANDS) + 0.5) / _BANDS
    basis = np.cos(np.outer(angle, np.arange(1, _ORDER + 1))) / _BANDS
    found: np.ndarray = mel @ basis
    return found


def warp(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which frames go together, by dynamic time warping (Sakoe and Chiba, 1978).

    Args:
        first: (M, D).
        second: (N, D).

    Returns:
        Two arrays of one length, of frames of each; both rise.

    Example:
        >>> rows, columns = warp(np.array([[0.0], [1.0], [1.0]]), np.array([[0.0], [0.0], [1.0]]))
        >>> rows.tolist(), columns.tolist()
        ([0, 0, 1, 2], [0, 1, 2, 2])
    """
    M, N = len(first), len(second)
    distance = np.sqrt(np.maximum((first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T, 0.0))
    # Along the diagonals, whose cells depend on the two before only: one step of numpy for each.
    total = np.full((M + 1, N + 1), np.inf)
    total[0, 0] = 0.0
    for diagonal in range(M + N - 1):
        i = np.arange(max(0, diagonal - N + 1), min(M, diagonal + 1))
        j = diagonal - i
        best = np.minimum(np.minimum(total[i, j], total[i, j + 1]), total[i + 1, j])
        total[i + 1, j + 1] = distance[i, j] + best
    row, column = M, N
    path = []
    while row and column:
        path.append((row - 1, column - 1))
        step = int(np.argmin((total[row - 1, column - 1], total[row - 1, column], total[row, column - 1])))
        row, column = row - (step != 2), column - (step != 1)
    rows, columns = np.array(path[::-1]).T
    return rows, columns
