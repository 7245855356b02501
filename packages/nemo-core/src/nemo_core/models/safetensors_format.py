"""The safetensors file format, read in place and without torch.

The library reads whole files by name; weights inside a tar start at an offset, and are to be used where they lie. The
format is eight bytes of header length (little endian), a JSON header, and the raw tensors one after another
(https://huggingface.co/docs/safetensors). Writing is left to the library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nemo_core.errors import ArchiveError, UnsafeArchiveError

__all__ = ["DTYPES", "TensorInfo", "read_header"]

# Name in the file -> (name in torch, bytes per value).
DTYPES: Mapping[str, tuple[str, int]] = {
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E8M0": ("float8_e8m0fnu", 1),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 1),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 1),
    "I16": ("int16", 2),
    "U16": ("uint16", 2),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I32": ("int32", 4),
    "U32": ("uint32", 4),
    "F32": ("float32", 4),
    "I64": ("int64", 8),
    "U64": ("uint64", 8),
    "F64": ("float64", 8),
    "C64": ("complex64", 8),
}
_MAX_HEADER = 100_000_000


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in a safetensors file; ``start`` and ``end`` count bytes from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def numel(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


def read_header(content: memoryview, where: str) -> dict[str, TensorInfo]:
    """Return the tensors of a safetensors file by name, after checking that they tile the file exactly.

    Args:
        content: The whole file.
        where: What to call it in errors.

    Raises:
        ArchiveError: The file is no safetensors file, or is damaged.
        UnsafeArchiveError: The header is larger than any honest one.

    Example:
        >>> import struct
        >>> header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
        >>> file = struct.pack("<Q", len(header)) + header + bytes(8)
        >>> read_header(memoryview(file), "demo")["w"].shape
        (2,)
    """
    if len(content) < 8:
        raise ArchiveError(f"{where} is cut short: it has no header")
    length = int.from_bytes(content[:8], "little")
    if length > _MAX_HEADER:
        raise UnsafeArchiveError(f"{where}: the header claims {length:,} bytes")
    if 8 + length > len(content):
        raise ArchiveError(f"{where} is cut short inside its header, or no safetensors file")
    try:
        header = json.loads(bytes(content[8 : 8 + length]), object_pairs_hook=_no_duplicates)
        header.pop("__metadata__", None)
        tensors = [_tensor(name, entry, 8 + length) for name, entry in header.items()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ArchiveError(f"{where}: the header is damaged: {error}") from error
    position = 8 + length
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.start != position:
            raise ArchiveError(f"{where}: the bytes of {tensor.name} overlap others or leave a gap")
        position = tensor.end
    if position != len(content):
        raise ArchiveError(f"{where}: the tensors end at byte {position:,}, the file at {len(content):,}")
    return {tensor.name: tensor for tensor in tensors}


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name appears twice")
    return entries


def _tensor(name: str, entry: Mapping[str, Any], base: int) -> TensorInfo:
    dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in DTYPES:
        raise ValueError(f"{name} has the unknown type {dtype!r}")
    if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
        raise ValueError(f"{name} has a shape or offset that is no whole number")
    if end - start != math.prod(shape) * DTYPES[dtype][1]:
        raise ValueError(f"{name} is {end - start} bytes, which is not what {dtype} {shape} takes")
    return TensorInfo(name, dtype, tuple(shape), base + start, base + end)
