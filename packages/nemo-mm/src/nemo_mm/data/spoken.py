"""Conversations with audio in them: what a row holds, and files of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nemo_core.audio.files import read_audio
from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError
from nemo_llm.data.chat import Conversation, read_conversation
from nemo_llm.data.records import Record, read_records

__all__ = ["AUDIO_MARK", "AudioPolicy", "SkippedRow", "SpeechConversations", "SpokenRow", "embedding_count"]

_log = logging.getLogger(__name__)

#: What stands in a text where audio is heard; the tokenizer has a special token of this name.
AUDIO_MARK = "<audio>"


def embedding_count(samples: int, samples_per_embedding: int) -> int:
    """Return how many embeddings audio of ``samples`` becomes: one for every ``samples_per_embedding`` begun.

    Whoever makes batches counts with it, without the encoder.

    >>> [embedding_count(samples, 800) for samples in (0, 1, 800, 801)]
    [0, 1, 1, 2]
    """
    return -(-samples // samples_per_embedding)


@dataclass(frozen=True, slots=True)
class SpokenRow:
    """A conversation and the audio in it.

    Attributes:
        conversation: What is said, with one mark ``<audio>`` in its texts for each audio.
        audio: Samples (T,) float32 of each, in the order of the marks.
        kind: Number of the task that the row is of.
        transcripts: What is said in each audio, where it is known: as many, or none.
    """

    conversation: Conversation
    audio: list[np.ndarray] = field(default_factory=list)
    kind: int = 0
    transcripts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """In place of a row whose audio is bad, where the data set was told to skip those."""

    reason: str


@dataclass(frozen=True, slots=True)
class AudioPolicy:
    """How audio is read, and what is done with audio that cannot be.

    Attributes:
        sample_rate: Of the samples handed out, Hz.
        channel: Which channel of files that have several: a number, or ``average``.
        resample: If false, a file of another rate is bad audio instead of being resampled.
        on_bad_audio: ``raise``, or ``skip`` the row, say why and count it.
    """

    sample_rate: int = 16000
    channel: int | str | None = None
    resample: bool = True
    on_bad_audio: Literal["raise", "skip"] = "raise"

    def __post_init__(self) -> None:
        if self.on_bad_audio not in ("raise", "skip"):
            raise ConfigError(f"on_bad_audio is {self.on_bad_audio!r}", hint="raise or skip")

    def read(self, path: Path, where: str, *, offset: float = 0.0, duration: float | None = None) -> np.ndarray:
        """Return the samples (T,) of a file, or of a part of it.

        Raises:
            DataError: It is missing, empty, damaged, or has another rate; the message names ``where`` it was asked for.
        """
        try:
            samples, _ = read_audio(
                path,
                sample_rate=self.sample_rate,
                offset=offset,
                duration=duration,
                channel=self.channel,
                resample=self.resample,
            )
        except DataError as error:
            hint = error.hint or "mend or leave it out; on_bad_audio=skip leaves out all such rows"
            raise DataError(f"{where}: {error.message}", hint=hint) from error
        return samples

    def skipped(self, error: DataError) -> SkippedRow:
        """Return what stands for a row that ``error`` is about, or raise it."""
        if self.on_bad_audio == "raise":
            raise error
        _log.warning("skipped: %s", error.message)
        return SkippedRow(error.message)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of an audio file."""

    path: Path
    offset: float = 0.0
    duration: float | None = None


class SpeechConversations(Configured):
    """Conversations in JSON lines, with or without audio.

    Records are those of :func:`nemo_llm.data.chat.read_conversation`. Their texts say ``<audio>`` wherever audio is
    heard, and ``audio`` (or ``audios``) lists the files, one for each mark: a path, or ``{path, offset, duration}`` in
    seconds; relative paths start at the folder of the record's file. Instead, a message's ``content`` may be a list of
    parts, ``{type: text, text: ...}`` and ``{type: audio, audio: a.wav}``. A record without audio is a row of text.
    ``transcript`` may say what is said in the file, in a list for several.

    Texts are held in memory; audio is read when it is asked for.

    Args:
        files: A file, or several: JSON lines, JSON arrays or Parquet.
        sample_rate: Of the audio handed out, Hz.
        channel: Which channel of files that have several: a number, or ``average``.
        resample: If false, a file of another rate is bad audio instead of being resampled.
        on_bad_audio: ``raise`` an error that names file and line, or ``skip`` the row, log why and count it.

    Raises:
        DataError: A record is no conversation, or has another number of marks than of files.

    Example:
        >>> import json, tempfile, soundfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> soundfile.write(folder / "a.wav", np.zeros(8000), 8000)
        >>> messages = [{"role": "user", "content": "<audio> What?"}, {"role": "assistant", "content": "Nothing."}]
        >>> _ = (folder / "a.jsonl").write_text(json.dumps({"messages": messages, "audio": "a.wav"}))
        >>> row = SpeechConversations(folder / "a.jsonl", sample_rate=16000)[0]
        >>> row.conversation.messages[0]["content"], [samples.shape for samples in row.audio]
        ('<audio> What?', [(16000,)])
    """

    def __init__(
        self,
        files: str | Path | Sequence[str | Path],
        sample_rate: int = 16000,
        *,
        channel: int | str | None = None,
        resample: bool = True,
        on_bad_audio: Literal["raise", "skip"] = "raise",
    ) -> None:
        self.policy = AudioPolicy(sample_rate, channel, resample, on_bad_audio)
        paths = [Path(path) for path in ([files] if isinstance(files, (str, Path)) else files)]
        self._rows = [_read(record) for path in paths for record in read_records(path)]
        if not self._rows:
            raise DataError(f"{', '.join(map(str, paths))}: no conversations")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> SpokenRow | SkippedRow:
        conversation, pieces, transcripts = self._rows[index]
        where = conversation.where
        try:
            audio = [
                self.policy.read(piece.path, where, offset=piece.offset, duration=piece.duration) for piece in pieces
            ]
        except DataError as error:
            return self.policy.skipped(error)
        return SpokenRow(conversation, audio, transcripts=transcripts)


def _read(record: Record) -> tuple[Conversation, list[_Piece], list[str]]:
    """Return a record's conversation, the audio it names and what is said there; marks, files and texts agree."""
    values = dict(record.values)
    named = [key for key in ("audio", "audios") if values.get(key) is not None]
    if len(named) > 1:
        raise DataError(f"{record.where}: has both audio and audios", hint="give one of them")
    listed = values.pop(named[0]) if named else []
    pieces = [_piece(each, record) for each in (listed if isinstance(listed, list) else [listed])]
    said = values.pop("transcript", None)
    key = "messages" if "messages" in values else "conversations"
    inline: list[_Piece] = []
    if isinstance(values.get(key), list):
        values[key] = [_with_marks(message, record, inline) for message in values[key]]
    if inline and pieces:
        raise DataError(f"{record.where}: has {named[0]} and parts of type audio", hint="name files in one way")
    conversation = read_conversation(Record(record.path, record.unit, record.number, values))
    pieces = pieces or inline
    marks = sum(str(message.get("content") or "").count(AUDIO_MARK) for message in conversation.messages)
    if marks != len(pieces):
        raise DataError(
            f"{record.where}: its texts say {AUDIO_MARK} {marks} times, and it names {len(pieces)} audio files",
            hint=f"write {AUDIO_MARK} once for each file",
        )
    transcripts = [said] if isinstance(said, str) else said or []
    if not isinstance(transcripts, list) or not all(isinstance(each, str) for each in transcripts):
        raise DataError(f"{record.where}: transcript is {said!r}", hint="give a text, or a list of texts")
    if transcripts and len(transcripts) != len(pieces):
        raise DataError(
            f"{record.where}: has {len(transcripts)} transcripts, and names {len(pieces)} audio files",
            hint="give one for each file, or none",
        )
    return conversation, pieces, transcripts


def _with_marks(message: Any, record: Record, pieces: list[_Piece]) -> Any:
    """Return a message whose parts of type audio are marks; their files go to ``pieces``."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list):
        return message
    parts = []
    for part in content:
        if isinstance(part, Mapping) and part.get("type") == "audio":
            pieces.append(_piece(part.get("audio", part.get("path")), record))
            parts.append({"type": "text", "text": AUDIO_MARK})
        else:
            parts.append(part)
    return {**message, "content": parts}


def _piece(value: Any, record: Record) -> _Piece:
    fields = value if isinstance(value, Mapping) else {"path": value}
    path, offset, duration = fields.get("path"), fields.get("offset", 0.0), fields.get("duration")
    if not isinstance(path, str) or not path:
        raise DataError(f"{record.where}: {value!r} names no audio file", hint="a path, or {path, offset, duration}")
    for name, seconds in (("offset", offset), ("duration", 0.0 if duration is None else duration)):
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
            raise DataError(f"{record.where}: {name} is {seconds!r}, not a number of seconds")
    return _Piece(record.path.parent / path, float(offset), None if duration is None else float(duration))
