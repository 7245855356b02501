"""Pictures of synthesis: mel spectrogram, pitch, and which frames belong to which token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nemo_tts.synthesis.speech import Speech

__all__ = ["draw_alignment", "draw_speech"]

_INK, _PITCH = "#1f2933", "#f8fafc"


def draw_speech(speech: Speech, path: str | Path) -> Path:
    """Draw the spectrogram, the tokens under the frames they last, and their pitch over them.

    Args:
        speech: What was made.
        path: The picture, PNG or SVG.
    """
    frames = speech.spectrogram.shape[1]
    figure, axes = _figure(min(24.0, max(6.0, frames / 40)), 4.0)
    seconds = speech.hop_length / speech.sample_rate
    axes.imshow(
        speech.spectrogram,
        origin="lower",
        aspect="auto",
        cmap="magma",
        interpolation="nearest",
        extent=(0, frames * seconds, 0, len(speech.spectrogram)),
    )
    ends = np.cumsum(speech.durations) * seconds
    starts = np.concatenate([[0.0], ends[:-1]])
    shown = [each for each in zip(starts, ends, speech.symbols, strict=True) if each[1] > each[0] and each[2].strip()]
    for number, (start, end, symbol) in enumerate(shown):
        axes.axvline(start, color="white", linewidth=0.4, alpha=0.5)
        # In two rows, so that short tokens do not run into each other.
        place = (start + end) / 2, -0.02 - 0.05 * (number % 2)
        axes.text(*place, symbol, transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=8)
    axes.set_xticks([])
    axes.set_ylabel("mel bin")
    title = speech.text if len(speech.text) <= 100 else f"{speech.text[:97]}..."
    axes.set_title(f"{title}   ({speech.duration:.2f} s)", fontsize=10, loc="left", parse_math=False)
    voiced = speech.pitch > 0
    if voiced.any():
        over = axes.twinx()
        over.step(
            np.stack([starts, ends], 1).ravel(),
            np.repeat(np.where(voiced, speech.pitch, np.nan), 2),
            color=_PITCH,
            linewidth=1.4,
        )
        over.set_ylabel("pitch, Hz")
        over.set_ylim(0, max(1.0, 2 * float(np.nanmax(speech.pitch))))
    return _save(figure, path)


def draw_alignment(
    attention: np.ndarray, symbols: Sequence[str], path: str | Path, *, best: np.ndarray | None = None, title: str = ""
) -> Path:
    """Draw which token each frame attends to.

    Args:
        attention: (M, T), frames by tokens.
        symbols: What the tokens are.
        path: The picture.
        best: The best alignment, the token of each frame (M,), as a line over it.
        title: Written above.
    """
    figure, axes = _figure(min(20.0, max(6.0, attention.shape[0] / 40)), min(12.0, max(3.0, attention.shape[1] / 8)))
    axes.imshow(attention.T, origin="lower", aspect="auto", cmap="magma", interpolation="nearest")
    if best is not None:
        axes.step(np.arange(len(best)), best, where="mid", color="#38bdf8", linewidth=0.9)
    axes.set_yticks(range(len(symbols)), [symbol if symbol.strip() else "·" for symbol in symbols], fontsize=7)
    axes.set_xlabel("frame")
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    return _save(figure, path)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    # The object interface of matplotlib: pyplot would keep global state and pick a window system.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(colors=_INK)
    return figure, axes


def _save(figure: Any, path: str | Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)
    return target
