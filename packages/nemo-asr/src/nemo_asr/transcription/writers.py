"""Writing transcripts to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nemo_asr.decoding.hypothesis import Hypothesis
from nemo_asr.transcription.formats import FORMATS, Format, find_format
from nemo_core._files import write_atomically
from nemo_core.audio.sources import unique_names
from nemo_core.errors import ConfigError, DataError

__all__ = ["OutputFolder", "render", "write"]


def write(
    hypotheses: Hypothesis | Sequence[Hypothesis],
    path: str | Path,
    format: str | None = None,
    *,
    overwrite: bool = False,
) -> list[Path]:
    r"""Write transcripts to a file, or to files in a folder.

    Args:
        hypotheses: What was heard.
        path: A file; or a folder, if it is one or has no suffix, which gets a file for each audio, named after it. JSON
            lines and CTM of all audios go into one file there, ``transcripts``.
        format: ``txt``, ``json``, ``ctm``, ``srt``, ``vtt`` or ``textgrid``; that of the file's suffix if not given.
        overwrite: Whether files that exist are replaced.

    Returns:
        The files that were written. An audio that could not be transcribed has none of its own.

    Raises:
        ConfigError: The format is not known, or needs times that were not asked for; or several audios are to go into
            a file of one.
        DataError: A file exists, or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write(Hypothesis("oh no", source="calls/a.wav"), folder, "txt")[0].name
        'a.txt'
        >>> write(Hypothesis("oh no", source="calls/a.wav"), folder / "all.jsonl")[0].read_text()
        '{"audio_filepath": "calls/a.wav", "duration": 0.0, "pred_text": "oh no", "score": 0.0}\n'
    """
    given = [hypotheses] if isinstance(hypotheses, Hypothesis) else list(hypotheses)
    path = Path(path)
    by_suffix = {each.suffix.lower(): each for each in FORMATS.values()}
    chosen = find_format(format) if format is not None else by_suffix.get(path.suffix.lower())
    if chosen is None:
        raise ConfigError(f"which format is to be written to {path}?", hint=f"set format to {', '.join(FORMATS)}")
    if path.is_dir() or not path.suffix:
        folder = OutputFolder(path, [each.source for each in given], [chosen], overwrite=overwrite)
        return folder.write(given)
    content = render(given, chosen)
    _refuse_overwrite(path, overwrite)
    _save(path, content)
    return [path]


class OutputFolder:
    """The files in a folder that the transcripts of some audios go to; that none is in the way is known from the start.

    Args:
        folder: Is made, if need be.
        sources: Names of the audios.
        formats: What to write.
        overwrite: Whether files that exist are replaced.

    Raises:
        DataError: A file exists, or the folder is a file.
    """

    def __init__(
        self, folder: Path, sources: Sequence[str], formats: Sequence[Format], *, overwrite: bool = False
    ) -> None:
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder} is a file", hint="name a folder")
        names = unique_names(sources)
        self._formats = tuple(dict.fromkeys(formats))
        self._files = {
            each: [folder / f"{name}{each.suffix}" for name in (("transcripts",) if each.collected else names)]
            for each in self._formats
        }
        for files in self._files.values():
            for file in files:
                _refuse_overwrite(file, overwrite)
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, hypotheses: Sequence[Hypothesis]) -> list[Path]:
        """Write what was heard in each audio, and return the files."""
        written = []
        for each in self._formats:
            groups = [list(hypotheses)] if each.collected else [[hypothesis] for hypothesis in hypotheses]
            for file, group in zip(self._files[each], groups, strict=True):
                if each.collected or group[0].error is None:
                    _save(file, render(group, each))
                    written.append(file)
        return written


def render(hypotheses: Sequence[Hypothesis], format: Format) -> str:
    """Return the content of a file.

    Raises:
        ConfigError: The format needs times that were not asked for, or has room for one audio only.
    """
    if format.one_audio and len(hypotheses) != 1:
        raise ConfigError(
            f"{len(hypotheses)} audios cannot go into one file of the format {format.name}",
            hint="name a folder as output; it gets a file for each",
        )
    for each in hypotheses:
        if format.timed and each.error is None and each.alignment is None:
            raise ConfigError(
                f"{each.source or 'a transcript'}: the format {format.name} needs to know when words are said",
                hint="transcribe with timestamps=True",
            )
    return format.render(hypotheses)


def _refuse_overwrite(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise DataError(f"{path} exists already", hint="choose another output, or set overwrite (--overwrite)")


def _save(path: Path, content: str) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
