"""Pictures with captions, listed in JSON lines or in Parquet files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from nemo_core.config.configured import Configured
from nemo_core.errors import DataError
from nemo_mm.data.pairs import Pair

__all__ = ["Captions", "open_pairs"]


class Captions(Configured):
    """Pictures and captions of files with a record for each picture.

    A record has the picture under ``image_key``: a path, relative to the file's folder (or ``root``) if it is not
    absolute, or the content itself (bytes, or a mapping with ``bytes``, as Parquet files of Hugging Face have it).
    Under ``caption_key`` it has one caption or a list of them.

    Args:
        files: JSON lines (``.jsonl``, also ``.gz``), JSON arrays, or Parquet; one or several.
        image_key: Name of the picture in a record.
        caption_key: Name of the caption, or of the captions; where a record has no ``caption``, ``captions`` is taken.
        label_key: Name of the number of the class, if there is one.
        root: Where relative paths of pictures begin, if not in the folder of the file that has them.

    Raises:
        DataError: A file is missing or damaged; says which, and the line.

    Example:
        >>> import json, tempfile
        >>> file = Path(tempfile.mkdtemp(), "train.jsonl")
        >>> _ = file.write_text(json.dumps({"image": "a.png", "caption": "a cat"}))
        >>> pair = Captions(file)[0]
        >>> pair.first.name, pair.second
        ('a.png', 'a cat')
    """

    def __init__(
        self,
        files: str | Path | Sequence[str | Path],
        *,
        image_key: str = "image",
        caption_key: str = "caption",
        label_key: str | None = None,
        root: str | Path | None = None,
    ) -> None:
        from nemo_llm.data.records import read_records

        paths = [Path(files)] if isinstance(files, str | Path) else list(map(Path, files))
        self.image_key, self.caption_key, self.label_key = image_key, caption_key, label_key
        self.records: list[tuple[str, Mapping[str, Any], Path]] = []
        for path in paths:
            base = path.parent if root is None else Path(root)
            keys = {image_key, caption_key, label_key} | ({"captions"} if caption_key == "caption" else set())
            self.records += [
                (record.where, {key: value for key, value in record.values.items() if key in keys}, base)
                for record in read_records(path)
            ]
        if not self.records:
            raise DataError(f"{', '.join(map(str, paths))}: no records", hint="a line for each picture, of JSON")

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Pair:
        """Return a picture, as a path or content, and its captions."""
        where, record, base = self.records[index]
        image = record.get(self.image_key)
        if isinstance(image, Mapping):
            image = image.get("bytes") or image.get("path")
        if not image:
            raise DataError(f"{where}: has no {self.image_key}", hint="name the key: image_key=...")
        if not isinstance(image, str | bytes | Path):
            raise DataError(f"{where}: {self.image_key} is {image!r}", hint="give a path, or the content of a file")
        caption = record.get(self.caption_key)
        if caption is None and self.caption_key == "caption":
            caption = record.get("captions")
        if caption is None or caption == []:
            raise DataError(f"{where}: has no {self.caption_key}", hint="name the key: caption_key=...")
        label = record.get(self.label_key) if self.label_key else None
        number = None if label is None else int(label)
        if isinstance(image, bytes):
            return Pair(image, caption, where, number)
        path = base / image
        return Pair(path, caption, f"{path} ({where})", number)


def open_pairs(source: Any, *, on_bad_shard: Literal["raise", "skip"] = "raise") -> Any:
    """Return the data set of pairs that ``source`` is, or that the files hold that it names.

    Args:
        source: A data set, a path, or several paths.
        on_bad_shard: Of :class:`~nemo_mm.data.TarPairs`.

    >>> open_pairs([Pair("a.png", "a cat")])[0].second
    'a cat'
    """
    several = isinstance(source, Sequence) and not isinstance(source, str) and len(source) > 0
    if not isinstance(source, str | Path) and not (several and isinstance(source[0], str | Path)):
        return source
    paths: list[str] = [str(source)] if isinstance(source, str | Path) else list(map(str, source))
    if any(".tar" in path or path.endswith(".tgz") for path in paths):
        from nemo_mm.data.tar_shards import TarPairs

        return TarPairs(paths, on_bad_shard=on_bad_shard)
    return Captions(paths)
