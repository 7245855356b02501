"""Conversations in files, and their tokens on disk, where every run and every process finds them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from nemo_core.errors import ConfigError, DataError
from nemo_llm.data.chat import ChatEncoder, LossOn, Pairs
from nemo_llm.data.module import LanguageDataModule
from nemo_llm.data.once import make_once
from nemo_llm.data.records import Record, read_records
from nemo_llm.data.token_store import VERSION, Sequenced, TokenStore, chunks, write_store

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["ConversationData", "Truncation"]

_log = logging.getLogger(__name__)

Truncation = Literal["right", "left", "drop", "error"]
_CHUNK = 256  # conversations that are tokenised together


class ConversationData(LanguageDataModule):
    """What data modules of conversations share: files, tokenizer, and the tokens of both on disk.

    Its arguments are those of :class:`~nemo_llm.data.sft.ChatData`.
    """

    #: What a record becomes, for the name of the folder that its tokens are kept in.
    shape: str

    def __init__(
        self,
        train: Any,
        validation: Any,
        test: Any,
        *,
        tokenizer: Tokenizer | str | Path,
        chat_template: str | None,
        loss_on: LossOn,
        pairs: Pairs,
        truncation: Truncation,
        pad_to_multiple_of: int,
        on_bad_record: Literal["raise", "skip"],
        cache_dir: str | Path | None,
        cache_timeout: float,
        **batches: Any,
    ) -> None:
        super().__init__(**batches)
        for name, value, known in (
            ("truncation", truncation, get_args(Truncation)),
            ("on_bad_record", on_bad_record, ("raise", "skip")),
        ):
            if value not in known:
                raise ConfigError(f"data.{name} is {value!r}", hint=f"one of {', '.join(known)}")
        if pad_to_multiple_of < 1:
            raise ConfigError(f"data.pad_to_multiple_of is {pad_to_multiple_of}", hint="give at least 1")
        self._splits = {"train": train, "validation": validation, "test": test}
        self.tokenizer = _loaded(tokenizer)
        self.truncation, self.pad_to_multiple_of, self.on_bad_record = truncation, pad_to_multiple_of, on_bad_record
        self.cache_dir, self.cache_timeout = cache_dir, cache_timeout
        self.encoder = self._encoder(chat_template, loss_on, pairs)

    def _encoder(self, chat_template: str | None, loss_on: LossOn, pairs: Pairs) -> ChatEncoder:
        from nemo_llm.tokenizers import ChatTemplate

        template = None if chat_template is None else ChatTemplate.of(chat_template)
        return ChatEncoder(self.tokenizer, template=template, loss_on=loss_on, pairs=pairs)

    @property
    def pad_id(self) -> int:
        """The token that rows are filled up with; it counts for nothing."""
        tokenizer = self.tokenizer
        return next((index for index in (tokenizer.pad_id, tokenizer.eos_id) if index is not None), 0)

    def names(self, split: str) -> list[str]:
        """Return the names of the sets of ``split``, in the order of their loaders; none if there is but one."""
        given = self._splits.get(split)
        return list(given) if isinstance(given, Mapping) else []

    def dataset(self, split: str) -> Any:
        """Return the data set of ``split``, or a mapping of them, or None."""
        given = self._splits.get(split)
        if isinstance(given, Mapping):
            return {name: self._rows(self.tokens(files), split) for name, files in given.items()}
        return None if given is None else self._rows(self.tokens(given), split)

    def tokens(self, files: str | Path | Sequence[str | Path]) -> TokenStore:
        """Return the tokens of the conversations in ``files``, from the cache or else made now.

        Raises:
            DataError: A record is none that can be learned; the message names file, line and key.
        """
        paths = [Path(path) for path in ([files] if isinstance(files, (str, Path)) else files)]
        folder = self._cache_folder() / self._key(paths)

        def make(temporary: Path, alive: Callable[[], None]) -> None:
            units = ["line"] * len(paths)
            write_store(temporary, self._sequences(paths, units, alive), [str(path) for path in paths], units)
            self._write_more(temporary)

        store = TokenStore(make_once(folder, make, timeout=self.cache_timeout))
        if len(store) == 0:
            raise DataError(f"{', '.join(map(str, paths))}: no conversations")
        return store

    def _write_more(self, folder: Path) -> None:
        """Write what a subclass keeps beside the tokens in ``folder``, which is a whole store by now."""

    def _sequences(self, paths: list[Path], units: list[str], alive: Callable[[], None]) -> Iterator[Sequenced]:
        from nemo_core.cli.output import progress

        skipped = 0
        with progress("Tokenising", unit="conversations") as advance:
            for number, path in enumerate(paths):
                for chunk in chunks(read_records(path), _CHUNK):
                    units[number] = chunk[0].unit
                    kept, sequences = self._encoded(chunk)
                    skipped += len(chunk) - len(kept)
                    for record, several in zip(kept, sequences, strict=True):
                        yield from ((ids, mask, (number, record.number)) for ids, mask in several)
                    advance(len(chunk))
                    alive()
        if skipped:
            _log.warning("skipped %d bad records of %s", skipped, ", ".join(map(str, paths)))

    def _encoded(self, chunk: list[Record]) -> tuple[list[Record], list[list[tuple[list[int], list[int]]]]]:
        """Return the records that are good, and the sequences of each."""
        if self.on_bad_record == "raise":
            return chunk, self._encode(chunk)
        try:
            return chunk, self._encode(chunk)
        except DataError:
            kept, sequences = [], []
            for record in chunk:
                try:
                    sequences += self._encode([record])
                    kept.append(record)
                except DataError as error:
                    _log.warning("skipped: %s", error.message)
            return kept, sequences

    def _encode(self, records: list[Record]) -> list[list[tuple[list[int], list[int]]]]:
        """Return the sequences that each record becomes: tokens and mask."""
        raise NotImplementedError

    def _rows(self, store: TokenStore, split: str) -> Any:
        raise NotImplementedError

    def _cache_folder(self) -> Path:
        if self.cache_dir is not None:
            return Path(self.cache_dir)
        from nemo_core.models.catalogue import cache_folder

        return cache_folder() / "tokens"

    def _key(self, paths: list[Path]) -> str:
        """Return a name that says what is in the files and how it becomes tokens."""
        settings = {**self.encoder.settings, "shape": self.shape, "bad": self.on_bad_record, "version": VERSION}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(self.tokenizer.fingerprint.encode())
        for path in paths:
            try:
                with path.open("rb") as file:
                    digest.update(f"{path.suffix} {hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
            except OSError as error:
                raise DataError(f"{path} cannot be read: {error.strerror}") from None
        return digest.hexdigest()[:32]

    def _length_of(self, longest: int) -> int:
        """Return how long the rows of a batch are: its longest, rounded up."""
        multiple = self.pad_to_multiple_of
        return min(self.sequence_length, -(-longest // multiple) * multiple)


def _loaded(tokenizer: Any) -> Tokenizer:
    from nemo_llm.tokenizers import Tokenizer, load_tokenizer

    return tokenizer if isinstance(tokenizer, Tokenizer) else load_tokenizer(tokenizer)
