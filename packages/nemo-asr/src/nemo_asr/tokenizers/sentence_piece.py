"""Subwords as tokens: byte-pair encoding and unigram models of SentencePiece."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nemo_core.config.configured import KeepArtifact
    from nemo_core.plugins import Registry

__all__ = ["SentencePieceTokenizer", "train_sentence_piece"]

_SPACE = "▁"  # how SentencePiece writes a space in a piece


class SentencePieceTokenizer(Configured):
    """Turns text into subwords and back (Kudo and Richardson, 2018, arXiv:1808.06226).

    The model is read from a file, or learned from the texts of manifests when the tokenizer is made. Either way it goes
    into the archives of the models that use it.

    Args:
        model_path: The SentencePiece model. Where it is given, nothing is learned.
        texts: Manifests whose texts the model is learned from, or a data set with ``texts()``.
        vocab_size: Number of tokens to learn, ``<unk>`` included; of a model that is read, how many it must have.
        kind: What to learn: ``bpe`` or ``unigram``.

    Raises:
        ConfigError: The file is no SentencePiece model or has another number of tokens, or there are too few texts for
            so many.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tokenizer.model"
        >>> _ = path.write_bytes(train_sentence_piece(["one two", "two three"], vocab_size=14))
        >>> tokenizer = SentencePieceTokenizer(path)
        >>> tokens = tokenizer.encode("two one")
        >>> tokenizer.pieces(tokens), tokenizer.decode(tokens)
        (['two', ' ', 'o', 'n', 'e'], 'two one')
    """

    def __init__(
        self,
        model_path: str | Path | None = None,
        *,
        texts: Any = None,
        vocab_size: int | None = None,
        kind: Literal["bpe", "unigram"] = "bpe",
    ) -> None:
        if model_path is not None:
            self._content = _read(Path(model_path))
            self._processor = _load(self._content, str(model_path))
        elif texts is not None and vocab_size is not None:
            self._content = train_sentence_piece(_texts(texts), vocab_size=vocab_size, kind=kind)
            self._processor = _load(self._content, "the model just learned")
        else:
            missing = (
                "texts" if vocab_size is not None else "vocab_size" if texts is not None else "texts, no vocab_size"
            )
            raise ConfigError(
                f"tokenizer: there is no model_path, and no {missing} to learn a model",
                hint="name a SentencePiece model (tokenizer.model_path), or manifests (data.train) and vocab_size",
            )
        if vocab_size is not None and vocab_size != len(self):
            raise ConfigError(
                f"tokenizer: {model_path} has {len(self)} tokens, and not {vocab_size}",
                hint=f"set tokenizer.vocab_size={len(self)}",
            )

    @property
    def vocabulary(self) -> list[str]:
        """The tokens, in the order of their numbers, with ``▁`` for a space."""
        return [self._processor.id_to_piece(index) for index in range(len(self))]

    def __len__(self) -> int:
        return int(self._processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the subwords of ``text``; what the model does not know becomes ``<unk>``."""
        return list(self._processor.encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``."""
        return str(self._processor.decode(list(ids)))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return what each of ``ids`` adds to the text."""
        spelled: list[str] = []
        for is_byte, run in groupby(ids, key=self._processor.is_byte):
            if is_byte:  # several bytes spell a character; the first of a run stands for all of it
                tokens = list(run)
                spelled += [self.decode(tokens), *[""] * (len(tokens) - 1)]
            else:
                spelled += map(self._spell, run)
        # Spaces at the start are dropped, or not, as the model's own settings say.
        surplus = sum(map(len, spelled)) - len(self.decode(ids))
        for place, piece in enumerate(spelled):
            if surplus <= 0:
                break
            spelled[place] = piece[surplus:]
            surplus -= len(piece)
        return spelled

    def artifacts(self) -> Mapping[str, bytes | Path]:
        """Return the model, for an archive to keep."""
        return {"model_path": self._content}

    def to_config(self, *, registry: Registry | None = None, keep: KeepArtifact | None = None) -> dict[str, Any]:
        """Return the node that builds an equal tokenizer; in an archive that is the model, however it was come by."""
        config = super().to_config(registry=registry, keep=keep)
        if keep is not None:
            config = {name: config[name] for name in ("_target_", "model_path")}
        return config

    def _spell(self, index: int) -> str:
        if self._processor.is_control(index):
            return ""
        if self._processor.is_unknown(index):
            return self.decode([index])
        return str(self._processor.id_to_piece(index)).replace(_SPACE, " ")


def train_sentence_piece(
    texts: Iterable[str],
    *,
    vocab_size: int,
    kind: Literal["bpe", "unigram", "char"] = "bpe",
    character_coverage: float = 1.0,
    byte_fallback: bool = False,
    user_symbols: Sequence[str] = (),
    max_piece_length: int = 16,
) -> bytes:
    """Learn a SentencePiece model and return its file's content; the same texts give the same model.

    Args:
        texts: What to learn from.
        vocab_size: Number of tokens, ``<unk>`` included; there are no tokens for start, end and padding. Of characters
            there may be fewer.
        kind: ``bpe``, ``unigram``, or ``char`` for characters.
        character_coverage: Share of the characters that get a token; the rarest others are ``<unk>``.
        byte_fallback: Spell characters without a token in bytes, which takes 256 more tokens.
        user_symbols: Texts that are tokens whatever is around them.
        max_piece_length: Characters of a token at most.

    Raises:
        ConfigError: There are too few texts for so many tokens, too many characters for so few, or none at all.

    Example:
        >>> len(train_sentence_piece(["one two", "two three"], vocab_size=14)) > 0
        True
    """
    import sentencepiece

    if kind not in ("bpe", "unigram", "char"):
        raise ConfigError(f"tokenizer: kind {kind!r} is not known", hint="bpe, unigram or char")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type=kind,
            vocab_size=vocab_size,
            character_coverage=character_coverage,
            byte_fallback=byte_fallback,
            user_defined_symbols=list(user_symbols),
            max_sentencepiece_length=max_piece_length,
            hard_vocab_limit=kind != "char",
            bos_id=-1,
            eos_id=-1,
            num_threads=1,  # with more, ties can fall either way
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _explain(str(error), vocab_size) from error
    return model.getvalue()


def _explain(problem: str, vocab_size: int) -> ConfigError:
    if most := re.search(r"Vocabulary size too high.*<= (\d+)", problem):
        return ConfigError(
            f"tokenizer: the texts give {most[1]} tokens at most, and not {vocab_size}",
            hint=f"set tokenizer.vocab_size={most[1]} or less, or learn from more texts",
        )
    if least := re.search(r"smaller than required_chars\. \d+ vs (\d+)", problem):
        return ConfigError(
            f"tokenizer: {vocab_size} tokens are too few for the characters of the texts",
            hint=f"set tokenizer.vocab_size to more than {least[1]}, or lower character_coverage",
        )
    if "sentences_.empty()" in problem:
        return ConfigError("tokenizer: there are no texts to learn from")
    return ConfigError(f"tokenizer: nothing was learned: {problem}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"tokenizer: {path} cannot be read: {error.strerror}") from error


def _load(content: bytes, where: str) -> Any:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.load_from_serialized_proto(content)
        size = processor.get_piece_size()
    except RuntimeError:
        size = 0
    if size == 0:
        raise ConfigError(f"tokenizer: {where} is no SentencePiece model")
    return processor


def _texts(source: Any) -> Iterator[str]:
    from nemo_core.audio.manifest import Manifest

    if callable(getattr(source, "texts", None)):
        yield from source.texts()
        return
    given = [source] if isinstance(source, (str, Path)) else source
    if not isinstance(given, Sequence) or not all(isinstance(path, (str, Path)) for path in given):
        raise DataError(
            "tokenizer: texts are neither manifests nor a data set with texts(): no tokens can be learned from them",
            hint="give tokenizer.texts the manifests, or tokenizer.model_path a SentencePiece model",
        )
    for entry in Manifest(given, require_text=True):
        yield entry.text or ""
