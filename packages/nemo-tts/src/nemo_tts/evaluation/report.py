"""A page with what was said: players, pictures and figures."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nemo_tts.evaluation.evaluate import Evaluation, Row

__all__ = ["LABELS", "format_measure", "write_report"]

#: How measures are called, and written.
LABELS = {
    "utterances": ("utterances", "{:.0f}"),
    "wer": ("word error rate", "{:.2%}"),
    "mcd": ("mel-cepstral distortion", "{:.2f} dB"),
    "f0_rmse": ("pitch difference", "{:.0f} cents"),
    "voicing_error": ("voicing errors", "{:.1%}"),
    "similarity": ("speaker similarity", "{:.3f}"),
    "alignment": ("attention on the best alignment", "{:.1%}"),
    "real_time_factor": ("speed", "{:.1f} x real time"),
}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } table { border-collapse: collapse } td, th { padding: .25rem .8rem .25rem 0; text-align: left }
article { border-top: 1px solid #e4e7eb; padding: 1rem 0 } article img { max-width: 100%; height: auto }
audio { vertical-align: middle; height: 2rem } .said { font-weight: 600 } .figures { color: #52606d }
.players label { margin-right: 1rem } .wrong { color: #b91c1c }
"""


def write_report(evaluation: Evaluation, folder: str | Path, *, title: str) -> Path:
    """Write ``index.html``, which needs nothing but the folder it is in.

    Args:
        evaluation: What was measured.
        folder: That of the evaluation's audio and pictures.
        title: Written above.
    """
    rows = "".join(
        f"<tr><th>{html.escape(LABELS[name][0])}</th><td>{html.escape(format_measure(name, value))}</td></tr>"
        for name, value in evaluation.summary().items()
    )
    articles = "".join(_article(row) for row in evaluation.rows)
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1><table>{rows}</table>{articles}</body></html>\n"
    )
    path = Path(folder) / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def format_measure(name: str, value: float) -> str:
    """Return a measure as people read it.

    Example:
        >>> format_measure("wer", 0.125), format_measure("mcd", 6.0)
        ('12.50%', '6.00 dB')
    """
    return LABELS[name][1].format(value)


def _article(row: Row) -> str:
    players = [("synthesis", row.audio), *([("recording", row.recording)] if row.recording else [])]
    sounds = "".join(
        f'<label>{name} <audio controls preload="none" src="{html.escape(path)}"></audio></label>'
        for name, path in players
    )
    figures = [f"{LABELS[name][0]} {format_measure(name, value)}" for name, value in row.measures.items()]
    heard = ""
    if row.heard is not None:
        kind = ' class="wrong"' if row.errors else ""
        heard = f"<div{kind}>understood: {html.escape(row.heard)} ({row.errors} of {row.words} words wrong)</div>"
    aligned = ""
    if row.alignment is not None:
        picture = f'<img src="{html.escape(row.alignment)}" alt="alignment" loading="lazy">'
        aligned = f"<details><summary>frames of the recording and tokens</summary>{picture}</details>"
    return (
        f'<article><div class="said">{html.escape(row.text)}</div><div class="players">{sounds}</div>{heard}'
        f'<div class="figures">{html.escape(" · ".join(figures))}</div>'
        f'<img src="{html.escape(row.picture)}" alt="mel spectrogram" loading="lazy">{aligned}</article>'
    )
