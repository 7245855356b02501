"""What the commands of contrastive models share: restoring one, and finding what it is asked about."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError, DataError, NemoError

if TYPE_CHECKING:
    from torch import Tensor

    from nemo_mm.models.contrastive import ContrastiveModel

__all__ = ["embed_readable", "find_candidates", "find_pictures", "kind_of", "restore_contrastive"]


def restore_contrastive(path: str, device: str) -> ContrastiveModel:
    """Return the model of an archive, or of the folder of a run."""
    from nemo_core.cli.devices import device_of
    from nemo_core.models import restore
    from nemo_mm.models.contrastive import ContrastiveModel

    inside = Path(path, "model.nemo")
    if Path(path).is_dir() and not inside.is_file():
        asked = any(Path(path, name).exists() for name in ("model.dist", "manifest.json"))
        hint = "it holds a language model: nemo mm ask" if asked else "give the archive, or the folder of a run"
        raise ConfigError(f"{path} has no model.nemo", hint=hint)
    found: ContrastiveModel = restore(
        str(inside) if inside.is_file() else path, expect=ContrastiveModel, map_location=device_of(device)
    )
    return found


def embed_readable(
    model: ContrastiveModel, kind: str, sources: Sequence[Any], *, batch_size: int = 64
) -> tuple[Tensor, list[Any], list[DataError]]:
    """Return the vectors (N, D) of the sources that can be read, these N sources, and what is wrong with the others."""
    import torch

    rows, good, failed = [], [], []
    for start in range(0, len(sources), batch_size):
        several = list(sources[start : start + batch_size])
        try:
            rows.append(model.embed(kind, several))
            good += several
        except DataError:
            for each in several:
                try:
                    rows.append(model.embed(kind, [each]))
                    good.append(each)
                except DataError as error:
                    failed.append(error)
    return torch.cat(rows) if rows else torch.empty(0), good, failed


def find_pictures(sources: Sequence[str]) -> list[Path]:
    """Return the files of paths, folders and patterns, in order.

    Raises:
        DataError: One of them leads to nothing.
    """
    from nemo_mm.images import IMAGE_SUFFIXES

    return _files(sources, IMAGE_SUFFIXES)


def find_candidates(sources: Sequence[str], model: ContrastiveModel) -> list[Path] | list[str]:
    """Return what a search looks through: texts, a line each, or files."""
    from nemo_core.audio.files import AUDIO_SUFFIXES
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
    suffixes = frozenset(
        (IMAGE_SUFFIXES if "image" in kinds else set()) | (AUDIO_SUFFIXES if "speech" in kinds else set())
    )
    return _files(sources, suffixes)


def kind_of(source: str | Path, model: ContrastiveModel) -> str:
    """Return which tower reads a source: that of its file's ending, or that of texts.

    Raises:
        NemoError: The model has no such tower.
    """
    from nemo_core.audio.files import AUDIO_SUFFIXES
    from nemo_mm.images import IMAGE_SUFFIXES

    suffix = Path(source).suffix.lower()
    kind = "image" if suffix in IMAGE_SUFFIXES else "speech" if suffix in AUDIO_SUFFIXES else "text"
    towers = (model.first.kind, model.second.kind)
    if kind not in towers:
        raise NemoError(
            f"{source}: is {kind}, and the model reads {towers[0]} and {towers[1]}",
            hint="give what it reads, or a model that reads this",
        )
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
