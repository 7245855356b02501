"""What a pickle would call, found without running it.

A pickle is a program for a small stack machine; the danger is in the names it imports. They stand in the stream, so
reading the opcodes is enough to list them. This is for reports: what may be loaded is decided by torch's own
restricted unpickler (``weights_only=True``), which knows the same names.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from nemo_core.errors import ArchiveError, UnsafeArchiveError

__all__ = ["ViewIO", "globals_of", "unsafe_globals"]

_LARGEST_PICKLE = 64 << 20
# What a state dict is made of; torch's restricted unpickler allows all of these.
_HARMLESS = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_(tensor_v2|tensor_v3|parameter|meta_tensor_no_storage)"
    r"|torch\._tensor\._rebuild_from_type_v2|torch\.nn\.parameter\.Parameter|torch\.Tensor|torch\.Size|torch\.device"
    r"|torch\.storage\.(UntypedStorage|TypedStorage)"
    r"|torch\.(Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool|ComplexFloat|ComplexDouble)Storage"
    r"|torch\.(float|bfloat|int|uint|complex)\d+|torch\.float8_\w+|torch\.bool"
)


class ViewIO(io.RawIOBase):
    """A memoryview as a readable, seekable file, without copying it."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset``, counted from the start, the present position or the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._view)}[whence]
        if base + offset < 0:
            raise OSError("negative position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` with what follows and return how much that was."""
        target = memoryview(buffer)
        chunk = self._view[self._position : self._position + len(target)]
        target[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)


def globals_of(view: memoryview, where: str) -> list[str]:
    """Return every name (``module.attribute``) that the pickles of a checkpoint import, each once.

    Args:
        view: A file that ``torch.save`` wrote: a zip with ``data.pkl`` in it, or bare pickles (before torch 1.6).
        where: What to call it in errors.

    Raises:
        ArchiveError: The file is damaged, or no checkpoint.
        UnsafeArchiveError: It is a bomb.

    Example:
        >>> import pickle, fractions
        >>> globals_of(memoryview(pickle.dumps(fractions.Fraction(1, 2))), "demo")
        ['fractions.Fraction']
    """
    if bytes(view[:2]) != b"PK":
        return list(dict.fromkeys(_names(bytes(view[:_LARGEST_PICKLE]), where, pickles=5)))
    names: list[str] = []
    for pickle_bytes in _pickles_in_zip(view, where):
        names.extend(_names(pickle_bytes, where, pickles=1))
    return list(dict.fromkeys(names))


def unsafe_globals(view: memoryview, where: str) -> list[str]:
    """Return those names of :func:`globals_of` that no state dict needs."""
    return [name for name in globals_of(view, where) if not _HARMLESS.fullmatch(name)]


def _pickles_in_zip(view: memoryview, where: str) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(ViewIO(view)) as archive:
            pickles = [entry for entry in archive.infolist() if entry.filename.endswith(".pkl")]
            if not pickles:
                raise ArchiveError(f"{where} is a zip file without data.pkl: no checkpoint")
            for entry in archive.infolist():
                # torch.save stores; what is deflated can unpack to a thousand times its size.
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise UnsafeArchiveError(f"{where}: {entry.filename} is compressed, which torch.save never does")
            for entry in pickles:
                if entry.file_size > _LARGEST_PICKLE:
                    raise UnsafeArchiveError(f"{where}: {entry.filename} is {entry.file_size:,} bytes")
                yield archive.read(entry)
    except (zipfile.BadZipFile, EOFError, ValueError, OSError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{where} is damaged: {error}") from error


def _names(content: bytes, where: str, *, pickles: int) -> Iterator[str]:
    """Yield the names that up to ``pickles`` pickles, one after another, import."""
    stream = io.BytesIO(content)
    for index in range(pickles):
        try:
            yield from _names_of_one(stream)
        except (ValueError, EOFError, IndexError, UnicodeDecodeError) as error:
            if index == 0:
                raise ArchiveError(f"{where} is damaged or no checkpoint: {error}") from error
            return  # raw tensors follow the pickles of an old checkpoint


def _names_of_one(stream: io.BytesIO) -> Iterator[str]:
    memo: dict[int, str | None] = {}
    pushed: list[str | None] = []  # the strings pushed last; None for anything else
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
            pushed.append(None)
        elif name == "STACK_GLOBAL":
            module, attribute = [None, None, *pushed][-2:]
            yield f"{module or '<computed>'}.{attribute or '<computed>'}"
            pushed.append(None)
        elif name.startswith("EXT"):
            yield f"<extension {argument}>"
        elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            memo[len(memo) if argument is None else argument] = pushed[-1] if pushed else None
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            pushed.append(memo.get(argument))  # type: ignore[arg-type]
        elif name not in ("PROTO", "FRAME"):
            pushed.append(argument if isinstance(argument, str) else None)
        del pushed[:-2]
