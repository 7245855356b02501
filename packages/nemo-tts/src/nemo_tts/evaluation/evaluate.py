"""A model over the texts of a manifest: what it says, how far that is from the recordings, what others make of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nemo_core.audio.files import read_audio
from nemo_core.audio.manifest import Manifest, ManifestEntry
from nemo_core.errors import DataError
from nemo_tts.evaluation.measures import compare_speech
from nemo_tts.evaluation.roundtrip import Recognizer, SpeakerJudge, word_errors

if TYPE_CHECKING:
    from nemo_tts.synthesis import Speech, Synthesizer

__all__ = ["Evaluation", "Row", "evaluate", "read_entries"]


@dataclass
class Row:
    """What is known of one utterance.

    Attributes:
        text: What is said.
        audio: The synthesis, a file in the folder of the evaluation.
        picture: Its spectrogram, likewise.
        recording: The recording, where the manifest has one.
        alignment: Picture of which frames of it belong to which token, where the model can tell.
        seconds: Length of the synthesis.
        measures: ``mcd`` (dB), ``f0_rmse`` (cents), ``voicing_error``, ``similarity``, ``alignment`` (share of the
            attention that is on the best alignment); those that could be taken.
        heard: What the recogniser understood.
        errors: Words it got wrong.
        words: Words there are.
    """

    text: str
    audio: str
    picture: str
    recording: str | None = None
    alignment: str | None = None
    seconds: float = 0.0
    measures: dict[str, float] = field(default_factory=dict)
    heard: str | None = None
    errors: int = 0
    words: int = 0


@dataclass
class Evaluation:
    """All rows, and what they come to.

    Attributes:
        rows: One for each utterance.
        took: Seconds that synthesis took, without loading.
    """

    rows: list[Row]
    took: float

    def summary(self) -> dict[str, float]:
        """Return means of the measures, word error rate, and seconds of audio made in a second."""
        found: dict[str, float] = {"utterances": float(len(self.rows))}
        for name in ("mcd", "f0_rmse", "voicing_error", "similarity", "alignment"):
            values = [row.measures[name] for row in self.rows if not math.isnan(row.measures.get(name, math.nan))]
            if values:
                found[name] = sum(values) / len(values)
        words = sum(row.words for row in self.rows)
        if words and any(row.heard is not None for row in self.rows):
            found["wer"] = sum(row.errors for row in self.rows) / words
        found["real_time_factor"] = sum(row.seconds for row in self.rows) / self.took
        return found


def evaluate(
    synthesizer: Synthesizer,
    manifest: str | Path,
    output: str | Path,
    *,
    recognizer: str | Path | None = None,
    speaker_model: str | Path | None = None,
    limit: int | None = None,
    batch_size: int = 8,
    device: str = "cpu",
    progress: Callable[[float], None] = lambda done: None,
    **voice: Any,
) -> Evaluation:
    """Say the texts of a manifest, and compare with its recordings.

    Args:
        synthesizer: What speaks.
        manifest: Texts, and recordings where ``audio_filepath`` is there; or texts alone, a line each, in a ``.txt``.
        output: Folder for audio and pictures.
        recognizer: Model that says what is understood.
        speaker_model: Model that says how alike voices are.
        limit: Take the first of the lines only.
        batch_size: Sentences that are computed together.
        device: Where the judges compute.
        progress: Called with 1 for each utterance.
        voice: As for :meth:`~nemo_tts.synthesis.Synthesizer.synthesize`; a line's ``speaker`` wins.

    Raises:
        DataError: The manifest cannot be read, or has a line without text.
    """
    from nemo_tts.synthesis.pictures import draw_speech

    entries = read_entries(manifest)[:limit]
    folder = Path(output)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    (folder / "pictures").mkdir(exist_ok=True)
    ears = Recognizer(recognizer, device) if recognizer is not None else None
    judge = SpeakerJudge(speaker_model, device) if speaker_model is not None else None
    rows = []
    took = 0.0
    for number, entry in enumerate(entries, 1):
        speaker = entry.speaker if entry.speaker in synthesizer.speakers else voice.get("speaker")
        try:
            (speech,) = synthesizer.synthesize(str(entry.text), batch_size=batch_size, **{**voice, "speaker": speaker})
        except DataError as error:
            raise DataError(f"{entry.where}: {error.message}", hint=error.hint) from error
        took += speech.seconds
        name = f"{number:04}"
        speech.save(folder / "audio" / f"{name}.wav")
        draw_speech(speech, folder / "pictures" / f"{name}.png")
        row = Row(str(entry.text), f"audio/{name}.wav", f"pictures/{name}.png", seconds=speech.duration)
        if entry.audio.name:
            recording = _compare(row, speech, entry, folder, name, judge)
            _align(row, synthesizer, recording, speaker, folder, name)
        rows.append(row)
        progress(1)
    if ears is not None:
        for row, heard in zip(rows, ears.hear([folder / row.audio for row in rows]), strict=True):
            row.heard = heard
            row.errors, row.words = word_errors(row.text, heard)
    return Evaluation(rows, took)


def read_entries(path: str | Path) -> list[ManifestEntry]:
    """Return what a manifest, or a file of texts, says; entries of the latter have no audio.

    Raises:
        DataError: It cannot be read, or has no text.
    """
    path = Path(path)
    if path.suffix != ".txt":
        return list(Manifest(path, require_text=True))
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="texts are UTF-8, one a line") from error
    texts = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not texts:
        raise DataError(f"{path}: no texts")
    return [ManifestEntry(Path(), text=text, where=f"{path}, line {number}") for number, text in texts]


def _compare(row: Row, speech: Speech, entry: Any, folder: Path, name: str, judge: SpeakerJudge | None) -> np.ndarray:
    """Measure how far what was said is from the recording, and return that."""
    from nemo_tts.synthesis import write_wav

    rate = speech.sample_rate
    try:
        recording, _ = read_audio(entry.audio, sample_rate=rate, offset=entry.offset, duration=entry.duration)
    except DataError as error:
        raise DataError(f"{entry.where}: {error.message}", hint=error.hint) from error
    path = write_wav(folder / "audio" / f"{name}-recording.wav", recording, rate)
    row.recording = f"audio/{path.name}"
    row.measures.update(compare_speech(recording, speech.audio, rate)._asdict())
    if judge is not None:
        row.measures["similarity"] = judge.similarity(folder / row.audio, path)
    return recording


def _align(row: Row, synthesizer: Synthesizer, recording: np.ndarray, speaker: Any, folder: Path, name: str) -> None:
    from nemo_tts.synthesis.pictures import draw_alignment

    found = synthesizer.align(row.text, recording, speaker)
    if found is None:
        return
    aligned, symbols = found
    picture = folder / "pictures" / f"{name}-alignment.png"
    draw_alignment(aligned.attention.cpu().numpy(), symbols, picture, best=aligned.path.cpu().numpy(), title=row.text)
    row.alignment = f"pictures/{picture.name}"
    row.measures["alignment"] = aligned.on_path
