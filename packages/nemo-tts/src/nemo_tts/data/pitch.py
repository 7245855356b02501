"""The pitch of a voice over time: probabilistic YIN (Mauch and Dixon, ICASSP 2014).

Where the original draws a hundred thresholds from a beta distribution and looks for the first dip below each, the
probability that a dip is the first is written down in closed form here, for all frames at once.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nemo_core.errors import ConfigError, DataError

__all__ = ["track_pitch"]

#: Second parameter of the beta distribution of thresholds, whose first is 2.
_BETA = 18
#: How much it counts if only thresholds above all dips' would have found one.
_NO_DIP = 0.01
#: Chance that a voice begins or ends from one frame to the next.
_SWITCH = 0.01
#: How fast a voice moves at most, octaves per second.
_RATE = 36.0
#: States of the voice per octave.
_BINS = 60
#: Frames whose dips are looked for together.
_BLOCK = 256


def track_pitch(
    audio: np.ndarray,
    sample_rate: int,
    hop_length: int,
    *,
    fmin: float = 65.40639132514966,
    fmax: float = 2093.004522404789,
    frames: int | None = None,
    first: int = 0,
) -> np.ndarray:
    """Return the fundamental frequency of each frame.

    Args:
        audio: Samples (T,), one voice.
        sample_rate: Of the audio, Hz.
        hop_length: Samples from one frame to the next.
        fmin: Lowest pitch looked for, Hz.
        fmax: Highest pitch looked for, Hz; at most a quarter of the sample rate is.
        frames: How many; ``1 + T // hop_length`` if not given.
        first: Sample that the first frame is centred at.

    Returns:
        Hz (frames,), float32; 0 where there is no voice.

    Raises:
        ConfigError: The range of pitch is empty.
        DataError: The audio is not one channel of finite samples.

    Example:
        >>> time = np.arange(8000) / 8000
        >>> pitch = track_pitch(np.sin(2 * np.pi * 220 * time), 8000, 80, fmax=1000)
        >>> pitch.shape, round(float(np.median(pitch)))
        ((101,), 220)
    """
    audio = np.asarray(audio, dtype=np.float64)
    if audio.ndim != 1 or not np.isfinite(audio).all():
        raise DataError(f"pitch is tracked in one channel of finite samples, not in an array of {audio.shape}")
    fmax = min(fmax, sample_rate / 4)
    if not 0 < fmin < fmax:
        raise ConfigError(f"no pitch is between {fmin} and {fmax} Hz", hint="set pitch_fmin below pitch_fmax")
    count = 1 + len(audio) // hop_length if frames is None else frames
    if count == 0:
        return np.zeros(0, dtype=np.float32)
    states = math.ceil(_BINS * math.log2(fmax / fmin)) + 1
    voiced = np.zeros((count, states))
    exact = np.tile(fmin * 2.0 ** (np.arange(states) / _BINS), (count, 1))
    for start, period, chance in _dips(audio, sample_rate, hop_length, fmin, fmax, count, first):
        row, column = np.nonzero(chance)
        hertz = sample_rate / period[row, column]
        state = np.rint(_BINS * np.log2(hertz / fmin)).astype(int).clip(0, states - 1)
        np.add.at(voiced, (start + row, state), chance[row, column])
        exact[start + row, state] = hertz
    path = _likeliest(voiced, max(1, round(_RATE * _BINS * hop_length / sample_rate)))
    pitch = np.where(path < states, exact[np.arange(count), path % states], 0.0)
    return pitch.astype(np.float32)


def _dips(
    audio: np.ndarray, sample_rate: int, hop_length: int, fmin: float, fmax: float, count: int, first: int
) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Return, block by block, the first frame, and of each frame and lag the exact period and its probability."""
    shortest, longest = max(2, int(sample_rate / fmax)), math.ceil(sample_rate / fmin)
    window = 2 ** math.ceil(math.log2(2 * longest))
    size = window + longest + 2
    left = size // 2 - first
    right = max(0, (count - 1) * hop_length + size - left - len(audio))
    starts = sliding_window_view(np.pad(audio, (left, right)), size)[: (count - 1) * hop_length + 1 : hop_length]
    found = []
    for start in range(0, count, _BLOCK):
        normed = _normed_difference(starts[start : start + _BLOCK], window, longest + 2)
        found.append((start, *_chances(normed, shortest, longest)))
    return found


def _normed_difference(frames: np.ndarray, window: int, lags: int) -> np.ndarray:
    """Return YIN's cumulative mean normalised difference (N, lags)."""
    points = 2 ** math.ceil(math.log2(frames.shape[1] + window))
    product = np.fft.irfft(np.fft.rfft(frames, points) * np.fft.rfft(frames[:, :window], points).conj(), points)[
        :, :lags
    ]
    sums = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energy = sums[:, window : window + lags] - sums[:, :lags]
    difference = np.maximum(energy[:, :1] + energy - 2 * product, 0.0)
    # Less than this is rounding: without it, digital silence would have a pitch.
    floor = 1e-9 * window + 1e-7 * energy[:, :1]
    mean = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, lags)
    normed = np.ones_like(difference)
    normed[:, 1:] = (difference[:, 1:] + floor) / (mean + floor)
    return normed


def _chances(normed: np.ndarray, shortest: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact period at each dip (N, lags), and the probability that it is the voice's."""
    lags = np.arange(shortest, longest + 1)
    before, here, after = (normed[:, lags + step] for step in (-1, 0, 1))
    dip = (here < before) & (here <= after)
    curve = before - 2 * here + after
    shift = np.where(dip, (before - after) / (2 * np.where(curve > 0, curve, 1.0)), 0.0).clip(-0.5, 0.5)
    depth = np.where(dip, here - (before - after) * shift / 4, np.inf).clip(0.0)
    below = np.minimum(depth, 1.0)
    earlier = np.minimum.accumulate(below, axis=1)
    earlier = np.concatenate([np.ones_like(earlier[:, :1]), earlier[:, :-1]], axis=1)
    # A dip is the first below a threshold if the threshold is above it and not above any earlier dip.
    chance = np.where(dip, np.maximum(_share(earlier) - _share(below), 0.0), 0.0)
    deepest = below.argmin(1)
    rows = np.arange(len(below))
    chance[rows, deepest] += np.where(dip[rows, deepest], _NO_DIP * _share(below[rows, deepest]), 0.0)
    return lags + shift, chance


def _share(threshold: np.ndarray) -> np.ndarray:
    """Return how many of the thresholds are below, of the distribution Beta(2, 18)."""
    share: np.ndarray = 1.0 - (1.0 - threshold) ** _BETA * (1.0 + _BETA * threshold)
    return share


def _likeliest(voiced: np.ndarray, reach: int) -> np.ndarray:
    """Return the likeliest states (N,) by Viterbi's algorithm; those from ``states`` on are without voice.

    Args:
        voiced: Probability of each pitch (N, states); what is missing from 1 is that of no voice.
        reach: States that a voice moves at most in a frame.
    """
    count, states = voiced.shape
    silent = np.maximum(1.0 - voiced.sum(1, keepdims=True), 1e-6) / states
    seen = np.log(np.stack([np.maximum(voiced, 1e-12), np.broadcast_to(silent, voiced.shape)], 1))
    width = 2 * reach + 1
    move = 1.0 - np.abs(np.arange(width) - reach) / (reach + 1)
    move = np.log(move / move.sum())
    stay, switch = math.log(1 - _SWITCH), math.log(_SWITCH)
    best = seen[0] - math.log(2 * states)
    origin = np.zeros((count, 2, states), dtype=np.int32)
    padded = np.full((2, states + 2 * reach), -np.inf)
    place = np.arange(states)
    for frame in range(1, count):
        padded[:, reach : reach + states] = best
        reached = sliding_window_view(padded, width, axis=1) + move
        step = reached.argmax(2)
        value = np.take_along_axis(reached, step[:, :, None], 2)[:, :, 0]
        source = step - reach + place
        # To a kind from the same kind, or from the other.
        change = value[::-1] + switch > value + stay
        best = np.where(change, value[::-1] + switch, value + stay) + seen[frame]
        origin[frame] = np.where(
            change, source[::-1] + states * np.array([[1], [0]]), source + states * np.array([[0], [1]])
        )
    path = np.zeros(count, dtype=np.int64)
    path[-1] = int(best.argmax())
    flat = origin.reshape(count, -1)
    for frame in range(count - 1, 0, -1):
        path[frame - 1] = flat[frame, path[frame]]
    return path
