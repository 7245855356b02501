"""Tokenizers of SentencePiece."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError, DataError
from nemo_llm.tokenizers.base import ROLES, Spans, Tokenizer, pattern_of, spans_of_bytes
from nemo_llm.tokenizers.byte import check_distinct
from nemo_llm.tokenizers.hugging_face import read_file

if TYPE_CHECKING:
    import sentencepiece

__all__ = ["SentencePieceTokenizer"]

FILE = "tokenizer.model"
_SPACE = "▁"  # how SentencePiece writes a space in a piece
# A message of the model's file format, that sets one field; behind the file it is read as a part of it.
_WITHOUT_PREFIX = b"\x1a\x02\x18\x00"  # normalizer_spec.add_dummy_prefix = false


class SentencePieceTokenizer(Tokenizer):
    """Turns text into subwords and back (Kudo and Richardson, 2018, arXiv:1808.06226).

    Special tokens in a text (``<s>``, and what the model itself calls a control symbol) are read as such; what stands
    behind one gets no space before it, which the model may put at the start of a text.

    Args:
        path: A SentencePiece model, or a folder with a ``tokenizer.model``.
        special_tokens: More special tokens, with numbers behind those of the model.
        adds_bos: Whether the model knows texts only with the token for their start before them.
        bos_token, eos_token, pad_token, unk_token: Which tokens stand for start, end, padding and the unknown, if not
            those that the model says.
        chat_template: How conversations are written: a name (``chatml``), a file, or Jinja.
        stop_ids: Tokens that end a generated text, besides ``eos``.

    Raises:
        ConfigError: There is no such file.
        DataError: It is no SentencePiece model.

    Example:
        >>> from nemo_llm.tokenizers import train_tokenizer
        >>> tokenizer = train_tokenizer(["to be or not to be"], kind="unigram", vocab_size=267)
        >>> tokenizer.decode(tokenizer.encode("not to be <s>")), tokenizer.encode("<s>")
        ('not to be <s>', [1])
    """

    kind = "sentencepiece"

    def __init__(
        self,
        path: str | Path,
        *,
        special_tokens: Sequence[str] = (),
        adds_bos: bool = False,
        bos_token: str | None = None,
        eos_token: str | None = None,
        pad_token: str | None = None,
        unk_token: str | None = None,
        chat_template: str | None = None,
        stop_ids: Sequence[int] = (),
    ) -> None:
        path = Path(path)
        file = path / FILE if path.is_dir() else path
        given = {"bos": bos_token, "eos": eos_token, "pad": pad_token, "unk": unk_token}
        self._open(read_file(file), str(file), special_tokens, given, chat_template, stop_ids)
        self.adds_bos = adds_bos

    @classmethod
    def of(cls, content: bytes, **options: Any) -> SentencePieceTokenizer:
        """Return the tokenizer of a model's content; ``options`` as in the constructor."""
        made = cls.__new__(cls)
        given = {role: options.get(f"{role}_token") for role in ROLES}
        template, stop_ids = options.get("chat_template"), options.get("stop_ids", ())
        made._open(content, "the model", options.get("special_tokens", ()), given, template, stop_ids)
        return made

    def _open(
        self,
        content: bytes,
        name: str,
        special_tokens: Sequence[str],
        given: Mapping[str, str | None],
        chat_template: str | None,
        stop_ids: Sequence[int],
    ) -> None:
        self._content, self._model = content, _load(content, name)
        self._pieces = int(self._model.get_piece_size())
        self._added = list(special_tokens)
        check_distinct(self._added)
        special = {
            self._model.id_to_piece(index): index for index in range(self._pieces) if self._model.is_control(index)
        }
        for place, token in enumerate(self._added):
            if token in special:
                raise ConfigError(f"tokenizer.special_tokens: {token!r} is a token of {name} already")
            special[token] = self._pieces + place
        self._numbers = special
        own = {role: getattr(self._model, f"{role}_id")() for role in ROLES}
        named = {
            role: given[role] or (self._model.id_to_piece(own[role]) if own[role] >= 0 else None) for role in ROLES
        }
        self._set_up(special, named, chat_template, stop_ids)
        self._prefixed = self._model.encode("a", out_type=str)[0].startswith(_SPACE)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, those of the model and more special ones."""
        return self._pieces + len(self._added)

    def id_to_token(self, index: int) -> str:
        """Return a piece, with ``▁`` for a space, or a special token."""
        return self._added[index - self._pieces] if index >= self._pieces else str(self._model.id_to_piece(index))

    def token_to_id(self, token: str) -> int | None:
        """Return the number of a piece or of a special token."""
        if token in self._numbers:
            return self._numbers[token]
        index = int(self._model.piece_to_id(token))
        return index if self._model.id_to_piece(index) == token else None

    def token_bytes(self, index: int) -> bytes:
        """Return what a token adds to a text; at the start of a text a space less, where the model puts one there."""
        if index >= self._pieces:
            return self._added[index - self._pieces].encode()
        piece = str(self._model.id_to_piece(index))
        if self._model.is_byte(index):
            return bytes((int(piece[3:5], 16),))
        if self._model.is_unknown(index):
            return " ⁇ ".encode()
        return piece.encode() if self._model.is_control(index) else piece.replace(_SPACE, " ").encode()

    def without_prefix(self, text: str, first: int) -> str:
        """Return ``text``, which begins with token ``first``, less the space that the model puts before a text."""
        drops = self._prefixed and text.startswith(" ") and first not in self._special_ids
        return text[1:] if drops and not self._model.is_byte(first) else text

    def _decode(self, ids: list[int]) -> str:
        text = super()._decode(ids)
        return self.without_prefix(text, ids[0]) if ids else text

    def _encode(self, text: str, parse_special: bool) -> list[int]:
        return self._encode_batch([text], parse_special)[0]

    def _encode_batch(self, texts: Sequence[str], parse_special: bool) -> list[list[int]]:
        parts = [self._split(text, parse_special) for text in texts]
        firsts = [split[0] for split in parts]
        others = [part for split in parts for part in split[2::2]]
        threads: dict[str, Any] = {"num_threads": os.cpu_count() or 1} if len(texts) > 1 else {}
        encoded = self._model.encode([_checked(text) for text in firsts], **threads)
        following = iter(self._unprefixed.encode([_checked(text) for text in others], **threads) if others else ())
        batch = []
        for split, first in zip(parts, encoded, strict=True):
            ids = list(first)
            for token in split[1::2]:
                ids.append(self._numbers[token])
                ids.extend(next(following))
            batch.append(ids)
        return batch

    def _encode_with_spans(self, texts: Sequence[str], parse_special: bool) -> list[tuple[list[int], Spans]]:
        found = []
        for text, ids in zip(texts, self._encode_batch(texts, parse_special), strict=True):
            pieces = [self.token_bytes(index) for index in ids]
            if self._prefixed and pieces and ids[0] not in self._special_ids and not text.startswith(" "):
                pieces[0] = pieces[0].removeprefix(b" ")
            if b"".join(pieces) == text.encode():
                found.append((ids, spans_of_bytes(pieces, text)))
            else:  # the model changes texts: it says itself where its pieces come from
                found.append((ids, self._spans(text, parse_special)))
        return found

    def _spans(self, text: str, parse_special: bool) -> Spans:
        spans: Spans = []
        start = 0
        for place, part in enumerate(self._split(text, parse_special)):
            if place % 2:
                spans.append((start, start + len(part)))
            else:
                model = self._unprefixed if place else self._model
                spans += [(start + first, start + last) for first, last in _places(model, part)]
            start += len(part)
        return spans

    @functools.cached_property
    def _unprefixed(self) -> sentencepiece.SentencePieceProcessor:
        """The same model that puts no space before a text."""
        return _load(self._content + _WITHOUT_PREFIX, "the model") if self._prefixed else self._model

    @functools.cached_property
    def _special_pattern(self) -> Any:
        return pattern_of(self._numbers)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_unprefixed"}

    def _files(self) -> Mapping[str, bytes]:
        return {FILE: self._content}

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"special_tokens": self._added} if self._added else {}
        return {**settings, "adds_bos": True} if self.adds_bos else settings


def _places(model: sentencepiece.SentencePieceProcessor, text: str) -> Spans:
    """Return start and end of each piece of ``text``, as the model tells them."""
    if hasattr(model, "encode_as_offset_mapping"):
        return [(first, last) for first, last in model.encode_as_offset_mapping(text)["offsets"]]
    older: Any = model
    return [(piece.begin, piece.end) for piece in older.encode(text, out_type="immutable_proto").pieces]


def _checked(text: str) -> str:
    text.encode("utf-8")  # the library would lose half characters without a word
    return text


def _load(content: bytes, name: str) -> sentencepiece.SentencePieceProcessor:
    import sentencepiece

    problem = f"{name} is no SentencePiece model"
    try:
        # Whether what it reads is a model at all the library does not always say.
        model = sentencepiece.SentencePieceProcessor(model_proto=content) if content else None
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{problem}: {error}", hint="is the file whole, and not a pointer of Git LFS?") from None
    if model is None or model.get_piece_size() == 0:
        raise DataError(f"{problem}: it has no pieces", hint="is the file whole, and not a pointer of Git LFS?")
    return model
