"""Texts to token files, on all cores: what ``nemo llm prepare-data`` does."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nemo_core._files import write_atomically
from nemo_core.errors import ConfigError, DataError, NemoError
from nemo_llm.data.documents import Bad, Part, TextUnit, find_files, parts, read
from nemo_llm.data.encoding import Encoder, encoder_of
from nemo_llm.data.indexed import TokenWriter, token_dtype, token_paths

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["Prepared", "prepare", "read_summary"]

# Bytes that a worker takes at a time: enough to hide what handing over costs, few enough to share the end of a file.
_SMALLEST, _LARGEST = 64 << 10, 2 << 20


@dataclass(frozen=True)
class Prepared:
    """What was written; the same stands in ``PREFIX.json``.

    Attributes:
        documents: Documents in the token file.
        tokens: Tokens in it.
        empty: Documents that had no text or gave no tokens, and were left out.
        skipped: Lines that could not be read, and were left out.
        dtype: Type of the tokens.
        vocab_size: Of the tokenizer.
        eod_id: The token at the end of each document; None if there is none.
        tokenizer: Fingerprint of the tokenizer.
        files: What was read.
    """

    documents: int
    tokens: int
    empty: int
    skipped: int
    dtype: str
    vocab_size: int
    eod_id: int | None
    tokenizer: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class _Recipe:
    """What workers need to know."""

    encoder: Encoder
    key: str
    unit: TextUnit
    bos_id: int | None
    eod_id: int | None


@dataclass(frozen=True)
class _Encoded:
    """What a worker makes of a part: tokens of all its documents (T,), and the length of each (D,)."""

    tokens: np.ndarray
    lengths: np.ndarray
    count: int
    empty: int
    bad: list[Bad]


def prepare(
    inputs: Sequence[str | Path],
    output: str | Path,
    tokenizer: Tokenizer | str | Path,
    *,
    key: str = "text",
    append_eod: bool = False,
    prepend_bos: bool = False,
    parse_special: bool = True,
    unit: TextUnit = "file",
    skip_bad: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    advance: Callable[[float], None] | None = None,
) -> Prepared:
    """Write the token file ``output`` (``.bin`` and ``.idx``) of all documents, in their order, and say what is in it.

    What is written depends neither on the number of workers nor on how the files are cut. When it fails or is
    interrupted, nothing is left, and what was there stays.

    Args:
        inputs: JSON Lines, text (both also ``.gz`` or ``.zst``) and Parquet files, folders of them, and globs.
        output: Path without ``.bin`` and ``.idx``.
        tokenizer: The tokenizer, or where one is.
        key: Key of a line, or column, that holds the text of a document.
        append_eod: Put the end-of-text token behind each document.
        prepend_bos: Put the start-of-text token before each document.
        parse_special: Whether special tokens that a text spells out (``<|endoftext|>``) are read as such.
        unit: What a document is in a text file: the whole ``file``, a ``paragraph``, or a ``line``.
        skip_bad: Leave out and count lines that cannot be read.
        overwrite: Replace files that are there.
        workers: Processes; by default one for each core.
        advance: Called with the bytes of input that were done since the last call.

    Raises:
        DataError: A line cannot be read, and ``skip_bad`` is not set; or a file is not there or of another kind.
        ConfigError: The tokenizer has no such token, or the output is there.
    """
    files = find_files(inputs)
    for path in token_paths(output):
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} exists already", hint="choose another output, or set overwrite to replace it")
    recipe = _recipe(tokenizer, key, unit, append_eod, prepend_bos, parse_special)
    workers = _cores() if workers is None else workers
    if workers < 1:
        raise ConfigError(f"workers is {workers}", hint="give at least 1")
    total = sum(path.stat().st_size for path in files)
    size = min(_LARGEST, max(_SMALLEST, total // (workers * 8)))
    empty = skipped = 0
    with TokenWriter(output, recipe.encoder.dtype) as writer, _mapped(recipe, workers if total > size else 1) as mapped:
        pieces = chain.from_iterable(parts(path, size, unit) for path in files)
        before = 0  # lines of the file
        for part, encoded in mapped(pieces):
            if part.start == 0:
                before = 0
            if encoded.bad and not skip_bad:
                number, wrong = encoded.bad[0]
                where = "row" if part.kind == "parquet" else "line"
                raise DataError(
                    f"{part.path}, {where} {before + number + 1}: {wrong}",
                    hint="mend it, or leave such lines out with --skip-bad; --key names the key of the text",
                )
            writer.add_many(encoded.tokens, encoded.lengths)
            before += encoded.count
            empty += encoded.empty
            skipped += len(encoded.bad)
            if advance is not None:
                advance(part.size)
        if writer.documents == 0:
            raise DataError(f"{', '.join(map(str, files[:3]))}: there is no document with text in it")
    done = Prepared(
        documents=writer.documents,
        tokens=writer.tokens,
        empty=empty,
        skipped=skipped,
        dtype=str(recipe.encoder.dtype),
        vocab_size=recipe.encoder.tokenizer.vocab_size,
        eod_id=recipe.eod_id,
        tokenizer=recipe.encoder.tokenizer.fingerprint,
        files=tuple(map(str, files)),
    )
    write_atomically(_summary_path(output), json.dumps(asdict(done), indent=2) + "\n")
    return done


def read_summary(prefix: str | Path) -> Prepared | None:
    """Return what :func:`prepare` noted beside a token file; None if it was made by other means."""
    try:
        found = json.loads(_summary_path(prefix).read_text(encoding="utf-8"))
        return Prepared(**{**found, "files": tuple(found["files"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _summary_path(prefix: str | Path) -> Path:
    return Path(str(token_paths(prefix)[0]).removesuffix(".bin") + ".json")


def _recipe(
    given: Tokenizer | str | Path,
    key: str,
    unit: TextUnit,
    append_eod: bool,
    prepend_bos: bool,
    parse_special: bool,
) -> _Recipe:
    if isinstance(given, str | Path):
        from nemo_llm.tokenizers import load_tokenizer

        tokenizer = load_tokenizer(given)
    else:
        tokenizer = given
    for wanted, role, option in ((append_eod, "eos", "--append-eod"), (prepend_bos, "bos", "--prepend-bos")):
        if wanted and getattr(tokenizer, f"{role}_id") is None:
            raise ConfigError(
                f"the tokenizer has no {role} token, which {option} puts to each document",
                hint=f"leave {option} out, or name one of its tokens: {role}_token in its tokenizer_config.json",
            )
    return _Recipe(
        encoder_of(tokenizer, token_dtype(tokenizer.vocab_size), parse_special=parse_special),
        key,
        unit,
        tokenizer.bos_id if prepend_bos else None,
        tokenizer.eos_id if append_eod else None,
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _mapped(recipe: _Recipe, workers: int) -> Iterator[Callable[[Iterable[Part]], Iterator[tuple[Part, _Encoded]]]]:
    """Yield a function that encodes parts, in their order, in ``workers`` processes."""
    if workers == 1:
        yield lambda pieces: ((part, _encode(recipe, part)) for part in pieces)
        return
    # A forked process has the tokenizer already. Elsewhere than on Linux forking is not safe, and it is handed over.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(recipe,))

    def mapped(pieces: Iterable[Part]) -> Iterator[tuple[Part, _Encoded]]:
        waiting: deque[tuple[Part, Future[_Encoded]]] = deque()
        try:
            for part in pieces:
                waiting.append((part, pool.submit(_encode_in_worker, part)))
                while len(waiting) > 3 * workers or (waiting and waiting[0][1].done()):
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        except BrokenProcessPool:
            raise NemoError(
                "a process that tokenizes was killed", hint="is memory short? Try fewer processes: --workers"
            ) from None

    try:
        yield mapped
    finally:
        pool.shutdown(cancel_futures=True)


_worker_recipe: _Recipe


def _start_worker(recipe: _Recipe) -> None:
    global _worker_recipe  # one per process, which exists for nothing else
    _worker_recipe = recipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal interrupts all; the parent tells us what to do
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the cores are taken by the other workers
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _encode_in_worker(part: Part) -> _Encoded:
    return _encode(_worker_recipe, part)


def _encode(recipe: _Recipe, part: Part) -> _Encoded:
    documents = read(part, recipe.key, recipe.unit)
    bad, texts = list(documents.bad), documents.texts
    try:
        tokens, lengths = recipe.encoder.encode(texts)
    except DataError:  # one of them cannot be encoded: which?
        texts = []
        for line, text in zip(documents.lines, documents.texts, strict=True):
            try:
                recipe.encoder.encode([text])
                texts.append(text)
            except DataError as error:
                bad.append((line, error.message))
        bad.sort()
        tokens, lengths = recipe.encoder.encode(texts)
    empty = int((lengths == 0).sum())
    lengths = lengths[lengths > 0]
    if recipe.bos_id is not None:
        tokens, lengths = _insert(tokens, lengths, np.cumsum(lengths) - lengths, recipe.bos_id)
    if recipe.eod_id is not None:
        tokens, lengths = _insert(tokens, lengths, np.cumsum(lengths), recipe.eod_id)
    return _Encoded(tokens, lengths, documents.count, documents.empty + empty, bad)


def _insert(tokens: np.ndarray, lengths: np.ndarray, places: np.ndarray, token: int) -> tuple[np.ndarray, np.ndarray]:
    """Put ``token`` into each document, before the token at its place; return tokens and lengths."""
    return np.insert(tokens, places, token), lengths + 1
