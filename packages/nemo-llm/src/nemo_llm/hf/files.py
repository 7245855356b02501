"""Weights in safetensors files, one or many: read tensor by tensor and slice by slice, from the disk as needed.

Only headers are read when a folder is opened; values are pages of a memory-mapped file until they are copied.
Pickled weights are never read.
"""

from __future__ import annotations

import json
import mmap
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ArchiveError, UnsafeArchiveError
from nemo_core.models.safetensors_format import DTYPES, TensorInfo, read_header
from nemo_llm.hf.families import IGNORED
from nemo_llm.hf.rules import Weight

if TYPE_CHECKING:
    import torch

__all__ = ["INDEX", "SINGLE", "WeightFiles"]

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_FLOATS = ("F64", "F32", "F16", "BF16")
_SHOWN = 5


@dataclass(frozen=True)
class _Place:
    """Where the values of a tensor are: in a file, or in a part of one that is stacked with others."""

    path: Path
    info: TensorInfo
    expert: int | None = None
    start: int = 0
    rows: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self.info.shape if self.expert is None else self.info.shape[1:]
        return shape if self.rows is None else (self.rows, *shape[1:])


class WeightFiles:
    """The tensors of a model folder.

    Args:
        folder: With ``model.safetensors``, or several files and ``model.safetensors.index.json``; or a file itself.
        prefix: Of names, which files of the bare model leave out.
        heads: Starts of the names that have none.
        names: What a tensor is called, by its name in the file; None: it is left out.

    Raises:
        ArchiveError: There are none, one is missing, damaged or cut short, or the index says what is not so.
        UnsafeArchiveError: There is only a pickle.
    """

    def __init__(
        self,
        folder: str | Path,
        prefix: str = "model.",
        heads: tuple[str, ...] = ("lm_head.",),
        names: Callable[[str], str | None] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.prefix, self.heads = prefix, heads
        self._maps: dict[Path, mmap.mmap] = {}
        self._places: dict[str, _Place] = {}
        for path, said in self._files().items():
            infos = self._header(path)
            absent = sorted(set(said) - set(infos)) if said is not None else []
            if absent:
                raise ArchiveError(f"{path} has no {_some(absent)}, which {INDEX} says it has", hint=_AGAIN)
            for stored, info in infos.items():
                name = stored if names is None else names(stored)
                if name is None:
                    continue
                if name in self._places:
                    raise ArchiveError(f"{name} is in two files, {self._places[name].path.name} and {path.name}")
                self._places[name] = _Place(path, info)
        self._rename()

    def close(self) -> None:
        """Let go of the files; tensors that were returned are copies."""
        self._maps = {}  # a map that a view still shows is closed with the view

    def __enter__(self) -> WeightFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def names(self) -> list[str]:
        """Return the names of all tensors."""
        return list(self._places)

    def dtype(self, name: str) -> torch.dtype:
        """Return the type of a tensor's values."""
        import torch

        return getattr(torch, DTYPES[self._places[name].info.dtype][0])

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._places[name].shape

    def view(self, name: str) -> torch.Tensor:
        """Return a tensor that lies in the file; copy what shall outlive it."""
        import torch

        place = self._places[name]
        info = place.info
        content = self._map(place.path)
        if info.numel == 0:
            return torch.empty(place.shape, dtype=self.dtype(name))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given buffer is not writable")  # nothing writes to it
            whole = torch.frombuffer(content, dtype=self.dtype(name), count=info.numel, offset=info.start)
        whole = whole.view(info.shape)
        if place.expert is not None:
            whole = whole[place.expert]
        return whole if place.rows is None else whole[place.start : place.start + place.rows]

    def check(self, weights: Iterable[Weight], *, tied: Mapping[str, str] | None = None, layers: int = 0) -> None:
        """Refuse files that do not hold exactly the weights of a model.

        Args:
            weights: Of the whole model.
            tied: Tensors that may be there again under another name, with the same values.
            layers: How many the model has: those behind them (that predict further tokens) are left out.

        Raises:
            ArchiveError: Weights are missing or unexpected, or of other shapes; names them and both shapes.
        """
        tied = tied or {}
        expected = {piece.tensor: piece.shape for weight in weights for piece in weight.pieces}
        problems = []
        missing = sorted(set(expected) - set(self._places))
        if missing:
            problems.append(f"missing: {_some(missing)}")
        unexpected = [name for name in self._places if name not in expected and not self._spare(name, layers)]
        unexpected = sorted(name for name in unexpected if not self._repeats(name, tied.get(name)))
        if unexpected:
            problems.append(f"unexpected: {_some(unexpected)}")
        for name, shape in expected.items():
            if name in self._places and self.shape(name) != shape:
                problems.append(f"{name} is {list(self.shape(name))}, and config.json makes it {list(shape)}")
        strange = [name for name in expected if name in self and self._places[name].info.dtype not in _FLOATS]
        if strange and not problems:
            kind = self._places[strange[0]].info.dtype
            raise ArchiveError(
                f"{self.folder}: {_some(strange)} holds {kind} values: the model is quantised",
                hint="save it dequantised, in bf16, first",
            )
        if problems:
            shown = problems[:_SHOWN] + ([f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else [])
            raise ArchiveError(
                "\n  ".join([f"the weights in {self.folder} are not those of its config.json:", *shown]),
                hint="is the folder complete, and the config.json its own?",
            )

    def _spare(self, name: str, layers: int) -> bool:
        """Whether no model needs a tensor: a mask, an angle, or a layer behind the last."""
        found = re.match(rf"{re.escape(self.prefix)}layers\.(\d+)\.", name)
        behind = found is not None and layers > 0 and int(found[1]) >= layers
        return behind or any(re.fullmatch(pattern, name) for pattern in IGNORED)

    def _repeats(self, name: str, other: str | None) -> bool:
        """Whether a tensor has the values of another, in pieces that do not fill the memory."""
        if other is None or other not in self._places or self.shape(name) != self.shape(other):
            return False
        mine, theirs = self.view(name), self.view(other)
        return all(bool((a == b).all()) for a, b in zip(mine.split(4096), theirs.split(4096), strict=True))

    def _files(self) -> dict[Path, list[str] | None]:
        """Return the files and, where an index says it, what each has to hold."""
        if self.folder.is_file():
            if self.folder.suffix != ".safetensors":
                raise _pickled(self.folder)
            return {self.folder: None}
        index = self.folder / INDEX
        if index.exists():
            return self._indexed(index)
        if (self.folder / SINGLE).exists():
            return {self.folder / SINGLE: None}
        found = sorted(self.folder.glob("*.safetensors"))
        if len(found) == 1:
            return {found[0]: None}
        if found:
            raise ArchiveError(f"{self.folder} has {len(found)} safetensors files and no {INDEX}", hint=_AGAIN)
        if not self.folder.is_dir():
            raise ArchiveError(f"{self.folder} is no folder", hint="give a folder as save_pretrained writes it")
        pickled = sorted(path for path in self.folder.iterdir() if path.suffix in _PICKLED)
        if pickled:
            raise _pickled(pickled[0])
        raise ArchiveError(f"{self.folder} has no {SINGLE} and no {INDEX}", hint=_AGAIN)

    def _indexed(self, index: Path) -> dict[Path, list[str] | None]:
        try:
            table = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            files = {str(name): str(file) for name, file in table.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArchiveError(f"{index} is damaged: it has no readable weight_map ({error})", hint=_AGAIN) from error
        found: dict[Path, list[str] | None] = {}
        for name, file in files.items():
            if Path(file).name != file or not file.endswith(".safetensors"):
                raise UnsafeArchiveError(f"{index}: {name} is said to be in {file!r}, which is no file of this folder")
            names = found.setdefault(self.folder / file, [])
            assert names is not None
            names.append(name)
        missing = sorted(path.name for path in found if not path.is_file())
        if missing:
            raise ArchiveError(
                f"{self.folder} lacks {_some(missing)}, {len(missing)} of the {len(found)} files of {INDEX}",
                hint=_AGAIN,
            )
        if not found:
            raise ArchiveError(f"{index} names no weights", hint=_AGAIN)
        return found

    def _header(self, path: Path) -> dict[str, TensorInfo]:
        try:
            view = memoryview(self._map(path))
        except (OSError, ValueError) as error:
            raise ArchiveError(f"{path} cannot be read: {error}", hint=_AGAIN) from error
        try:
            return read_header(view, str(path))
        except ArchiveError as error:
            raise type(error)(error.message, hint=error.hint or _AGAIN) from error
        finally:
            view.release()

    def _map(self, path: Path) -> mmap.mmap:
        if path not in self._maps:
            with path.open("rb") as file:
                self._maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[path]

    def _rename(self) -> None:
        """Give tensors the names that the rules know: those of whole models, with an expert to a tensor."""
        for name, place in list(self._places.items()):
            whole = name if name.startswith((self.prefix, *self.heads)) else self.prefix + name
            whole = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", whole)  # the first files of BERT
            whole = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", whole)
            if whole != name:
                del self._places[name]
                self._places[whole] = place
        for name, place in list(self._places.items()):
            for whole, one in _unstacked(name, place):
                self._places.pop(name, None)
                self._places[whole] = one


def _unstacked(name: str, place: _Place) -> Iterator[tuple[str, _Place]]:
    """Yield single experts of the tensors in which ``transformers`` 5 stacks them in memory."""
    found = re.fullmatch(r"(.*\.experts)\.(gate_up_proj|down_proj)", name)
    if found is None or len(place.info.shape) != 3:
        return
    base, kind = found.groups()
    names = ("gate_proj", "up_proj", "down_proj")
    if ".block_sparse_moe." in base:
        names = ("w1", "w3", "w2")
    count, rows, _ = place.info.shape
    for expert in range(count):
        if kind == "down_proj":
            yield f"{base}.{expert}.{names[2]}.weight", _Place(place.path, place.info, expert)
            continue
        half = rows // 2
        yield f"{base}.{expert}.{names[0]}.weight", _Place(place.path, place.info, expert, 0, half)
        yield f"{base}.{expert}.{names[1]}.weight", _Place(place.path, place.info, expert, half, half)


_AGAIN = "download or copy it again; safetensors files of transformers' save_pretrained are what is read"


def _pickled(path: Path) -> UnsafeArchiveError:
    return UnsafeArchiveError(
        f"{path} is a pickle, which could run any code; it is not read",
        hint="where you trust it, convert it once: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW) "
        "of transformers writes safetensors",
    )


def _some(names: list[Any]) -> str:
    shown = ", ".join(map(str, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
