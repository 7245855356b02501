"""Pictures and captions in tar archives, as WebDataset writes them: `a.jpg`, `a.txt`, `b.jpg`, `b.txt`, ...

The headers are read once, archive by archive, front to back; from then on every member is a place in a file. So the
order of an epoch is drawn, dealt to processes and workers, and gone on with after a stop as for any other data set,
while the archives are read nearly in sequence: whole archives are shuffled, and members among a few archives at a time.
"""

from __future__ import annotations

import glob
import json
import logging
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError
from nemo_mm.data.pairs import Pair
from nemo_mm.images.opening import IMAGE_SUFFIXES

__all__ = ["TarPairs"]

_log = logging.getLogger(__name__)

_OPEN = 16  # files that a process keeps open


@dataclass(frozen=True, slots=True)
class _Member:
    archive: int
    key: str
    image: tuple[int, int]  # where the content begins, and its length
    caption: tuple[int, int] | None
    kind: str  # ending of the caption's file


class TarPairs(Configured):
    """Pictures and captions of tar archives.

    Members whose names are the same up to the first dot of the file name belong together: one picture, and ``.txt`` or
    ``.caption`` with the caption (a line each, if there are several), or ``.json`` with it under ``caption_key``.

    Args:
        shards: Paths, or patterns such as ``data/train-*.tar`` or ``train-{000..099}.tar``.
        caption_key: Name of the caption, or of the captions, in ``.json`` members.
        window: Archives whose members are mixed at a time; more shuffle better and read less in sequence.
        on_bad_shard: ``raise`` an error where an archive is damaged or cut off, or ``skip`` what is behind the damage,
            and log what and how much is left.

    Raises:
        ConfigError: No archive fits.
        DataError: An archive is damaged or cut off; says where. Or there is no picture at all.

    Example:
        >>> import io, tempfile
        >>> path = Path(tempfile.mkdtemp(), "train-0.tar")
        >>> with tarfile.open(path, "w") as archive:
        ...     for name, content in (("a.png", b"..."), ("a.txt", b"a cat")):
        ...         info = tarfile.TarInfo(name)
        ...         info.size = len(content)
        ...         archive.addfile(info, io.BytesIO(content))
        >>> pairs = TarPairs(path)
        >>> len(pairs), pairs[0].first, pairs[0].second
        (1, b'...', ['a cat'])
    """

    def __init__(
        self,
        shards: str | Path | Sequence[str | Path],
        *,
        caption_key: str = "caption",
        window: int = 4,
        on_bad_shard: Literal["raise", "skip"] = "raise",
    ) -> None:
        if on_bad_shard not in ("raise", "skip"):
            raise ConfigError(f"on_bad_shard is {on_bad_shard!r}", hint="raise or skip")
        given = [shards] if isinstance(shards, str | Path) else list(shards)
        self.shards = [path for pattern in given for path in _expand(str(pattern))]
        self.caption_key, self.window = caption_key, window
        self.members: list[_Member] = []
        self.groups: list[int] = []
        for number, path in enumerate(self.shards):
            found, damage = _index(number, path)
            if damage is not None:
                if on_bad_shard == "raise":
                    raise damage
                _log.warning("skipped: %s; %d pictures before that are used", damage.message, len(found))
            self.members += found
            self.groups.append(len(found))
        if not self.members:
            raise DataError(
                f"{', '.join(self.shards[:3])}: there is no picture in {len(self.shards)} archives",
                hint=f"pictures end with {', '.join(sorted(IMAGE_SUFFIXES))}",
            )
        self._files: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> Pair:
        """Return the content of a picture, and its captions."""
        member = self.members[index]
        name = f"{self.shards[member.archive]}: {member.key}"
        if member.caption is None:
            raise DataError(f"{name}: has no caption", hint="it needs a .txt, .caption or .json beside the picture")
        text = self._content(member.archive, member.caption, name)
        return Pair(self._content(member.archive, member.image, name), self._captions(text, member.kind, name), name)

    def _captions(self, content: bytes, kind: str, name: str) -> list[str]:
        try:
            if kind != ".json":
                return [line for line in content.decode("utf-8").splitlines() if line.strip()]
            found = json.loads(content)
            caption = found.get(self.caption_key) if isinstance(found, dict) else None
        except ValueError as error:
            raise DataError(f"{name}{kind}: is not {'JSON' if kind == '.json' else 'UTF-8'} ({error})") from None
        if caption is None:
            raise DataError(f"{name}.json: has no {self.caption_key}", hint="name the key: caption_key=...")
        captions = [caption] if isinstance(caption, str) else caption
        if not isinstance(captions, list) or not all(isinstance(each, str) for each in captions):
            raise DataError(f"{name}.json: {self.caption_key} is {caption!r}", hint="give a text, or a list of texts")
        return captions

    def _content(self, archive: int, place: tuple[int, int], name: str) -> bytes:
        if archive not in self._files:
            while len(self._files) >= _OPEN:
                os.close(self._files.pop(next(iter(self._files))))
            try:
                self._files[archive] = os.open(self.shards[archive], os.O_RDONLY)
            except OSError as error:
                raise DataError(f"{self.shards[archive]} cannot be read: {error.strerror}") from None
        content = os.pread(self._files[archive], place[1], place[0])
        if len(content) != place[1]:
            raise DataError(f"{name}: the archive is cut off", hint="copy or make it again")
        return content

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}  # a worker opens files of its own

    def __del__(self) -> None:
        for file in self.__dict__.get("_files", {}).values():
            os.close(file)


def _expand(pattern: str) -> list[str]:
    """Return the files of a pattern: ``*``, ``?``, ``[ab]``, and ``{000..012}``."""
    before, brace, rest = pattern.partition("{")
    inside, close, after = rest.partition("}")
    first, dots, last = inside.partition("..")
    if brace and close and dots and first.isdigit() and last.isdigit():
        numbers = range(int(first), int(last) + 1)
        return [path for number in numbers for path in _expand(f"{before}{number:0{len(first)}d}{after}")]
    if glob.has_magic(pattern):
        found = sorted(glob.glob(pattern))
        if not found:
            raise ConfigError(f"{pattern}: no file fits", hint="give paths or patterns of .tar files")
        return found
    if not os.path.isfile(pattern):
        raise ConfigError(f"{pattern}: there is no such file", hint="give paths or patterns of .tar files")
    return [pattern]


def _index(number: int, path: str) -> tuple[list[_Member], DataError | None]:
    """Return the pictures of an archive, reading nothing but its headers, and what is wrong with it."""
    parts: dict[str, dict[str, tuple[int, int]]] = {}
    damage = None
    if _compressed(path):
        raise DataError(f"{path} is compressed, and cannot be read in places", hint="unpack it (gunzip, xz -d, ...)")
    size = os.path.getsize(path)
    try:
        with tarfile.open(path, "r:") as archive:
            for info in archive:
                if info.isfile() and info.offset_data + info.size <= size:
                    folder, _, name = info.name.rpartition("/")
                    stem, _, ending = name.partition(".")
                    key = f"{folder}/{stem}" if folder else stem
                    parts.setdefault(key, {})[f".{ending.lower()}"] = (info.offset_data, info.size)
            damage = _end(path, archive.offset)
    except (tarfile.TarError, OSError, EOFError) as error:
        damage = f"{path} is no whole tar archive: {error}"
    found = []
    for key, files in parts.items():
        image = next((place for ending, place in files.items() if ending in IMAGE_SUFFIXES), None)
        if image is None:
            continue
        kind = next((ending for ending in (".txt", ".caption", ".json") if ending in files), "")
        found.append(_Member(number, key, image, files.get(kind), kind))
    if damage is None:
        return found, None
    hint = "copy or make it again; mm.TarPairs with on_bad_shard=skip uses what is in front of the damage"
    return found, DataError(damage, hint=hint)


def _end(path: str, offset: int) -> str | None:
    """Return what is wrong at the end of an archive, which is a block of zeros.

    tarfile takes a header that is cut off or damaged for the end, and says nothing, except for the first.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        return f"{path} is cut off at byte {offset + len(block)}"
    return f"{path} is damaged at byte {offset}" if any(block) else None


def _compressed(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"))
