"""What the commands of contrastive models share: restoring one, and finding what it is asked about."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_core.errors import DataError, NemoError

if TYPE_CHECKING:
    from nemo_mm.models.contrastive import ContrastiveModel

__all__ = ["find_candidates", "find_pictures", "kind_of", "restore_contrastive"]

_AUDIO = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"})


def restore_contrastive(path: str, device: str) -> ContrastiveModel:
    """Return the model of an archive, or of the folder of a run."""
    import torch

    from nemo_core.models import restore
    from nemo_mm.models.contrastive import ContrastiveModel

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    inside = Path(path, "model.nemo")
    found: ContrastiveModel = restore(
        str(inside) if inside.is_file() else path, expect=ContrastiveModel, map_location=device
    )
    return found


def find_pictures(sources: Sequence[str]) -> list[Path]:
    """Return the files of paths, folders and patterns, in order.

    Raises:
        DataError: One of them leads to nothing.
    """
    from nemo_mm.images import IMAGE_SUFFIXES

    return _files(sources, IMAGE_SUFFIXES)


def find_candidates(sources: Sequence[str], model: ContrastiveModel) -> list[Path] | list[str]:
    """Return what a search looks through: texts, a line each, or files."""
    from nemo_mm.images import IMAGE_SUFFIXES

    if all(source.endswith(".txt") for source in sources):
        texts = []
        for source in sources:
            try:
                texts += [line.strip() for line in Path(source).read_text(encoding="utf-8").splitlines()]
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"{source} cannot be read: {getattr(error, 'strerror', error)}") from None
        found = [text for text in texts if text]
        if not found:
            raise DataError(f"{', '.join(sources)}: no text in it")
        return found
    kinds = {model.first.kind, model.second.kind}
    suffixes = frozenset((IMAGE_SUFFIXES if "image" in kinds else set()) | (_AUDIO if "speech" in kinds else set()))
    return _files(sources, suffixes)


def kind_of(source: str | Path, model: ContrastiveModel) -> str:
    """Return which tower reads a source: that of its file's ending, or that of texts.

    Raises:
        NemoError: The model has no such tower.
    """
    from nemo_mm.images import IMAGE_SUFFIXES

    suffix = Path(source).suffix.lower()
    kind = "image" if suffix in IMAGE_SUFFIXES else "speech" if suffix in _AUDIO else "text"
    towers = (model.first.kind, model.second.kind)
    if kind not in towers:
        raise NemoError(f"{source}: is {kind}, and the model reads {towers[0]} and {towers[1]}")
    return kind


def _files(sources: Sequence[str], suffixes: frozenset[str]) -> list[Path]:
    found: list[Path] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in suffixes)
            if not inside:
                raise DataError(f"{source}: no file in it that the model reads", hint=", ".join(sorted(suffixes)))
            found += inside
        elif glob.has_magic(source) and not path.exists():
            matching = sorted(map(Path, glob.glob(source, recursive=True)))
            if not matching:
                raise DataError(f"{source}: no file fits")
            found += matching
        else:
            found.append(path)
    return found
