"""Writing weights as ``transformers`` does: safetensors files up to a size, and an index of them.

All shapes are known before the first value, so headers are written first and each tensor goes straight to its place in
its file; no more than one is in memory.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from nemo_core.errors import ConfigError, ExportError
from nemo_core.models.safetensors_format import DTYPES
from nemo_llm.hf.files import INDEX, SINGLE

if TYPE_CHECKING:
    import torch

__all__ = ["WeightWriter", "parse_size"]

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(size: int | str) -> int:
    """Return a number of bytes, such as ``5GB``.

    >>> parse_size("5GB"), parse_size("512 MiB")
    (5000000000, 536870912)
    """
    found = re.fullmatch(r"([0-9.]+) *([A-Za-z]*)", str(size))
    if found is None or found[2].upper() not in _UNITS or found[1].count(".") > 1 or float(found[1]) <= 0:
        raise ConfigError(f"{size!r} is no size of files", hint="write it like 5GB or 500MB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


class WeightWriter:
    """Writes tensors to safetensors files in a folder, in any order.

    Args:
        folder: Where to.
        tensors: Name, type and shape of all that will come.
        max_size: Bytes of a file at most (a tensor that is larger has one of its own).

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with WeightWriter(Path(folder), {"w": (torch.float32, (2, 2))}) as writer:
        ...         writer.write("w", torch.eye(2))
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['model.safetensors']
    """

    def __init__(
        self, folder: Path, tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], max_size: int | str = "5GB"
    ) -> None:
        self.folder = folder
        self._tensors = dict(tensors)
        self._missing = set(tensors)
        self._files: list[IO[bytes]] = []
        self._places: dict[str, tuple[IO[bytes], int]] = {}
        shards = self._shards(parse_size(max_size))
        names = [SINGLE if len(shards) == 1 else f"model-{n + 1:05d}-of-{len(shards):05d}.safetensors"
                 for n in range(len(shards))]  # fmt: skip
        for file, shard in zip(names, shards, strict=True):
            self._start(folder / file, shard)
        if len(shards) > 1:
            table = {name: file for file, shard in zip(names, shards, strict=True) for name in shard}
            total = {"total_parameters": sum(math.prod(shape) for _, shape in self._tensors.values()),
                     "total_size": sum(map(self._bytes, self._tensors))}  # fmt: skip
            index = {"metadata": total, "weight_map": dict(sorted(table.items()))}
            (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """Write a tensor to its place; it is converted to the type that was announced."""
        import torch

        dtype, shape = self._tensors[name]
        if tuple(tensor.shape) != shape:
            raise ExportError(f"{name} is {list(tensor.shape)} and has to be {list(shape)}")
        plain = tensor.detach().to("cpu", dtype).contiguous()
        file, offset = self._places[name]
        file.seek(offset)
        if plain.numel():
            file.write(plain.view(-1).view(torch.uint8).numpy().data)
        self._missing.discard(name)

    def close(self) -> None:
        """Close the files.

        Raises:
            ExportError: Something was announced and did not come.
        """
        for file in self._files:
            file.close()
        if self._missing:
            raise ExportError(f"nothing was written for {', '.join(sorted(self._missing)[:5])}")

    def __enter__(self) -> WeightWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        for file in self._files:
            file.close()

    def _bytes(self, name: str) -> int:
        dtype, shape = self._tensors[name]
        return math.prod(shape) * dtype.itemsize

    def _shards(self, limit: int) -> list[list[str]]:
        shards: list[list[str]] = [[]]
        size = 0
        for name in self._tensors:
            if shards[-1] and size + self._bytes(name) > limit:
                shards.append([])
                size = 0
            shards[-1].append(name)
            size += self._bytes(name)
        return shards

    def _start(self, path: Path, names: list[str]) -> None:
        codes = {torch_name: code for code, (torch_name, _) in DTYPES.items()}
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        position = 0
        # Wide values first, so that each tensor begins where its values may.
        for name in sorted(names, key=lambda name: (-self._tensors[name][0].itemsize, name)):
            dtype, shape = self._tensors[name]
            end = position + self._bytes(name)
            code = codes[str(dtype).removeprefix("torch.")]
            header[name] = {"dtype": code, "shape": list(shape), "data_offsets": [position, end]}
            position = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        file = path.open("wb")
        self._files.append(file)
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + position)
        for name in names:
            offsets = header[name]["data_offsets"]  # type: ignore[index]
            self._places[name] = file, 8 + len(text) + offsets[0]
