"""Transcripts as text: plain, JSON lines, CTM, SubRip, WebVTT and Praat's TextGrid."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nemo_asr.decoding.hypothesis import Hypothesis, Span
from nemo_asr.transcription.cues import split_into_cues
from nemo_asr.transcription.textgrid import textgrid
from nemo_core.errors import ConfigError

__all__ = ["FORMATS", "Format", "find_format", "record"]


@dataclass(frozen=True, slots=True)
class Format:
    """A format of transcripts.

    Attributes:
        name: What it is called.
        suffix: How names of files end.
        timed: Whether it needs to know when words are said.
        one_audio: Whether a file has room for one audio only.
        collected: Whether a folder has one file for all audios.
        render: From hypotheses to the content of a file.
    """

    name: str
    suffix: str
    timed: bool
    one_audio: bool
    collected: bool
    render: Callable[[Sequence[Hypothesis]], str]


def find_format(name: str) -> Format:
    """Return the format that is called ``name``.

    Raises:
        ConfigError: There is none.
    """
    if name.lower() not in FORMATS:
        raise ConfigError(f"format {name!r} is not known", hint=f"one of {', '.join(FORMATS)}")
    return FORMATS[name.lower()]


def record(hypothesis: Hypothesis) -> dict[str, Any]:
    """Return ``hypothesis`` as a line of a manifest says it; ``text`` is what was to be heard, where that is known.

    Example:
        >>> record(Hypothesis("oh no", duration=1.5, score=-2.0, source="a.wav"))
        {'audio_filepath': 'a.wav', 'duration': 1.5, 'pred_text': 'oh no', 'score': -2.0}
    """
    fields: dict[str, Any] = {"audio_filepath": hypothesis.source, "duration": round(hypothesis.duration, 4)}
    if hypothesis.reference is not None:
        fields["text"] = hypothesis.reference
    fields["pred_text"] = hypothesis.text
    if hypothesis.error is not None:
        return {**fields, "error": hypothesis.error.message}
    fields["score"] = round(hypothesis.score, 4)
    if hypothesis.alignment is not None:
        for name, spans in (("words", hypothesis.words), ("segments", hypothesis.segments)):
            fields[name] = [{"text": span.text, "start": span.start, "end": span.end} for span in spans]
    return fields


def _json(hypotheses: Sequence[Hypothesis]) -> str:
    return "".join(json.dumps(record(each), ensure_ascii=False) + "\n" for each in hypotheses)


def _txt(hypotheses: Sequence[Hypothesis]) -> str:
    return "".join(" ".join(each.text.split()) + "\n" for each in hypotheses)


def _ctm(hypotheses: Sequence[Hypothesis]) -> str:
    """NIST's: audio, channel, start, seconds and word; comments begin with ``;;``."""
    lines = []
    for hypothesis in hypotheses:
        name = "_".join(Path(hypothesis.source).stem.split()) or "audio"
        if hypothesis.error is not None:
            lines.append(";; " + " ".join(f"{name}: {hypothesis.error.message}".split()))
        for word in hypothesis.words:
            for text in word.text.split():
                lines.append(f"{name} 1 {word.start:.3f} {max(word.end - word.start, 0.0):.3f} {text}")
    return "".join(line + "\n" for line in lines)


def _srt(hypotheses: Sequence[Hypothesis]) -> str:
    # There is no way to escape the arrow, which readers look for.
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text.replace('-->', '-- >')}\n"
        for number, cue in enumerate(_cues(hypotheses), start=1)
    )


def _vtt(hypotheses: Sequence[Hypothesis]) -> str:
    cues = (f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{_escape(cue.text)}\n" for cue in _cues(hypotheses))
    return "\n".join(("WEBVTT\n", *cues))


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cues(hypotheses: Sequence[Hypothesis]) -> list[Span]:
    (hypothesis,) = hypotheses
    return split_into_cues(hypothesis.alignment) if hypothesis.alignment else []


def _clock(seconds: float, separator: str) -> str:
    """Return hours, minutes, seconds and milliseconds.

    >>> _clock(3661.5, ",")
    '01:01:01,500'
    """
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{separator}{thousandths:03}"


def _textgrid(hypotheses: Sequence[Hypothesis]) -> str:
    (hypothesis,) = hypotheses
    tokens = [token for token in hypothesis.chars if token.text.strip()]
    tiers = {"segments": hypothesis.segments, "words": hypothesis.words, "tokens": tokens}
    return textgrid(tiers, hypothesis.duration)


_ALL = (
    Format("txt", ".txt", timed=False, one_audio=False, collected=False, render=_txt),
    Format("json", ".jsonl", timed=False, one_audio=False, collected=True, render=_json),
    Format("ctm", ".ctm", timed=True, one_audio=False, collected=True, render=_ctm),
    Format("srt", ".srt", timed=True, one_audio=True, collected=False, render=_srt),
    Format("vtt", ".vtt", timed=True, one_audio=True, collected=False, render=_vtt),
    Format("textgrid", ".TextGrid", timed=True, one_audio=True, collected=False, render=_textgrid),
)
FORMATS: Mapping[str, Format] = MappingProxyType({each.name: each for each in _ALL})
"""The formats by name."""
