"""What every tokenizer can do."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nemo_core._files import replacing, write_atomically
from nemo_core.config.configured import Configured, target_of
from nemo_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nemo_core.config.configured import KeepArtifact
    from nemo_core.plugins import Registry
    from nemo_llm.tokenizers.chat import ChatTemplate
    from nemo_llm.tokenizers.streaming import StreamDecoder

__all__ = ["CONFIG_FILE", "Spans", "Tokenizer"]

CONFIG_FILE = "tokenizer_config.json"
KIND_KEY = "nemo_tokenizer"

Spans = list[tuple[int, int]]
"""Start and end of pieces of a text, in characters."""

ROLES = ("bos", "eos", "pad", "unk")


class Tokenizer(Configured):
    """Text to numbers of tokens and back.

    Some tokens are *special*: they mark the start of a text, the end of a turn. Where a text spells one out
    (``<|im_end|>``), :meth:`encode` reads it as that token, as others do; ``parse_special=False`` takes it for the
    letters that it is, which is what a text from strangers needs.

    Args:
        bos_token: Token at the start of a text; None: the kind's own, if it has one. So for the others:
        eos_token: Token at the end of a text, or of a turn.
        pad_token: Token that fills up rows.
        unk_token: Token for what has no token.
        chat_template: How conversations are written: a name (``chatml``), a file, or Jinja.
        stop_ids: Tokens that end a generated text, besides ``eos``.

    Attributes:
        kind: What it is called in the files it writes.
        bos_id, eos_id, pad_id, unk_id: Numbers of these tokens, or None.
        special_tokens: Text and number of each special token.
        adds_bos: Whether the model that it belongs to knows texts only with the token for their start before them.
    """

    kind: ClassVar[str]
    #: Whether the text of tokens is their bytes, one token after the other, read as UTF-8.
    spells_bytes: bool = True

    bos_id: int | None = None
    eos_id: int | None = None
    pad_id: int | None = None
    unk_id: int | None = None
    special_tokens: Mapping[str, int]
    stop_ids: tuple[int, ...] = ()
    adds_bos: bool = False

    def _set_up(
        self,
        special_tokens: Mapping[str, int],
        named: Mapping[str, str | None],
        chat_template: str | None,
        stop_ids: Iterable[int] = (),
    ) -> None:
        """Note special tokens and the roles that some of them have; constructors end with it."""
        self.special_tokens = dict(special_tokens)
        for role in ROLES:
            token = named.get(role)
            if token is None:
                continue
            index = self.token_to_id(token)
            if index is None:
                raise ConfigError(
                    f"tokenizer.{role}_token: {token!r} is none of the {self.vocab_size} tokens",
                    hint="name a token that the tokenizer has (`nemo llm tokenizer show` lists them)",
                )
            setattr(self, f"{role}_id", index)
        self.stop_ids = tuple(dict.fromkeys([*([] if self.eos_id is None else [self.eos_id]), *map(int, stop_ids)]))
        self.chat_template = chat_template

    # ------------------------------------------------------------------------------------------------- what kinds say

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of tokens: one more than the highest number."""

    @abstractmethod
    def id_to_token(self, index: int) -> str:
        """Return how a token is written in the vocabulary."""

    @abstractmethod
    def token_to_id(self, token: str) -> int | None:
        """Return the number of a token as it is written in the vocabulary, or None."""

    @abstractmethod
    def _encode(self, text: str, parse_special: bool) -> list[int]: ...

    def _encode_batch(self, texts: Sequence[str], parse_special: bool) -> list[list[int]]:
        return [self._encode(text, parse_special) for text in texts]

    def _encode_with_spans(self, texts: Sequence[str], parse_special: bool) -> list[tuple[list[int], Spans]]:
        found = []
        for text, ids in zip(texts, self._encode_batch(texts, parse_special), strict=True):
            found.append((ids, spans_of_bytes([self.token_bytes(index) for index in ids], text)))
        return found

    def token_bytes(self, index: int) -> bytes:
        """Return what a token adds to a text, in UTF-8; a character may be spread over several tokens.

        Only where :attr:`spells_bytes`.
        """
        raise NotImplementedError

    @abstractmethod
    def _files(self) -> Mapping[str, bytes]:
        """Return name and content of the files that hold the tokens."""

    def _settings(self) -> dict[str, Any]:
        """Return the constructor's arguments, but for those that name files and those of the base class."""
        return {}

    # ------------------------------------------------------------------------------------------------ what users call

    def __len__(self) -> int:
        return self.vocab_size

    def encode(self, text: str, *, bos: bool = False, eos: bool = False, parse_special: bool = True) -> list[int]:
        """Return the numbers of the tokens of ``text``.

        Args:
            text: Any text.
            bos: Put the token for the start of a text before it.
            eos: Put the token for the end of a text behind it.
            parse_special: Whether special tokens that ``text`` spells out are read as such.

        Raises:
            DataError: The text has a character that cannot be encoded.
            ConfigError: There is no such token.
        """
        return self.encode_batch([text], bos=bos, eos=eos, parse_special=parse_special)[0]

    def encode_batch(
        self, texts: Sequence[str], *, bos: bool = False, eos: bool = False, parse_special: bool = True
    ) -> list[list[int]]:
        """Return the numbers of the tokens of each text, on all cores where the kind can; see :meth:`encode`."""
        before = [self._required("bos")] if bos else []
        behind = [self._required("eos")] if eos else []
        try:
            encoded = self._encode_batch(texts, parse_special)
        except UnicodeEncodeError as error:
            raise _not_unicode(error) from None
        return [[*before, *ids, *behind] for ids in encoded] if before or behind else encoded

    def encode_with_spans(self, texts: Sequence[str], *, parse_special: bool = True) -> list[tuple[list[int], Spans]]:
        """Return for each text its tokens and the place of each in it: start and end, in characters.

        A token that holds a part of a character only has the place of that character.
        """
        try:
            return self._encode_with_spans(texts, parse_special)
        except UnicodeEncodeError as error:
            raise _not_unicode(error) from None

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of tokens.

        Args:
            ids: Numbers of tokens.
            skip_special_tokens: Leave out the special ones.

        Raises:
            DataError: There is no token of that number.
        """
        tokens = [int(index) for index in ids]
        wrong = next((index for index in tokens if not 0 <= index < self.vocab_size), None)
        if wrong is not None:
            raise DataError(
                f"there is no token {wrong}: the tokenizer has {self.vocab_size}",
                hint="the tokens come of another tokenizer, or of a model with more rows than this one has tokens",
            )
        if skip_special_tokens:
            special = self._special_ids
            tokens = [index for index in tokens if index not in special]
        return self._decode(tokens)

    def decode_batch(self, batch: Iterable[Sequence[int]], *, skip_special_tokens: bool = False) -> list[str]:
        """Return the text of each list of tokens."""
        return [self.decode(ids, skip_special_tokens=skip_special_tokens) for ids in batch]

    def stream(self, *, skip_special_tokens: bool = True) -> StreamDecoder:
        """Return what turns tokens into text as they come, never giving out half a character."""
        from nemo_llm.tokenizers.streaming import StreamDecoder

        return StreamDecoder(self, skip_special_tokens=skip_special_tokens)

    @property
    def bos_token(self) -> str | None:
        """The token at the start of a text."""
        return None if self.bos_id is None else self.id_to_token(self.bos_id)

    @property
    def eos_token(self) -> str | None:
        """The token at the end of a text."""
        return None if self.eos_id is None else self.id_to_token(self.eos_id)

    @property
    def pad_token(self) -> str | None:
        """The token that fills up rows."""
        return None if self.pad_id is None else self.id_to_token(self.pad_id)

    @property
    def unk_token(self) -> str | None:
        """The token for what has no token."""
        return None if self.unk_id is None else self.id_to_token(self.unk_id)

    @property
    def chat_template(self) -> str | None:
        """The template of conversations, in Jinja, or None; it is set by name, file or text."""
        return None if self._template is None else self._template[0]

    @chat_template.setter
    def chat_template(self, given: str | None) -> None:
        from nemo_llm.tokenizers.chat import template_source

        self._template: tuple[str, str] | None = None if given is None else template_source(given)
        self.__dict__.pop("template", None)
        self.__dict__.pop("fingerprint", None)

    def name_template(self, where: str | Path) -> None:
        """Say where the chat template comes from, for messages."""
        if self._template is not None:
            self._template = (self._template[0], f"the chat template of {where}")
            self.__dict__.pop("template", None)

    @functools.cached_property
    def template(self) -> ChatTemplate:
        """The template of conversations.

        Raises:
            ConfigError: There is none, or it cannot be read.
            UnsafeArchiveError: It tries to reach into Python.
        """
        from nemo_llm.tokenizers.chat import ChatTemplate

        if self._template is None:
            raise ConfigError(
                "the tokenizer has no chat template, so it does not say how conversations are written",
                hint="give one: chat_template=chatml (or llama3, mistral, gemma, phi3, a .jinja file)",
            )
        return ChatTemplate(*self._template)

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = False, **variables: Any
    ) -> str:
        """Return a conversation as the text that the model reads.

        Args:
            messages: ``{"role": "user", "content": "..."}`` and so on.
            add_generation_prompt: End with what stands before an answer.
            variables: What else the template knows: ``tools``, ``documents``, settings of its own.

        Raises:
            DataError: The template refuses these messages.
        """
        return self.template.render(
            messages, add_generation_prompt=add_generation_prompt, **{**self._token_names(), **variables}
        )

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = False, **variables: Any
    ) -> list[int]:
        """Return the tokens of a conversation; see :meth:`apply_chat_template`."""
        return self.encode(self.apply_chat_template(messages, add_generation_prompt, **variables))

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of all that decides which tokens a text becomes, the chat template included."""
        digest = hashlib.sha256(json.dumps(self._saved_config(), sort_keys=True).encode())
        for name, content in sorted(self._files().items()):
            digest.update(f"\n{name} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()

    def save(self, folder: str | Path) -> Path:
        """Write the tokenizer to a folder, which :func:`~nemo_llm.tokenizers.load_tokenizer` reads; return it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self._files().items():
            with replacing(folder / name) as temporary:
                temporary.write_bytes(content)
        write_atomically(
            folder / CONFIG_FILE, json.dumps(self._saved_config(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        )
        return folder

    def to_config(self, *, registry: Registry | None = None, keep: KeepArtifact | None = None) -> dict[str, Any]:
        """Return the node that builds an equal tokenizer; in an archive that needs no file but what is kept there."""
        if keep is None:
            return super().to_config(registry=registry)
        config = {"_target_": target_of(type(self), registry), **self._settings(), **self._common()}
        for content in self._files().values():
            config["path"] = keep(self, "path", content)
        return config

    # --------------------------------------------------------------------------------------------------- what is shared

    def _decode(self, ids: list[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    @functools.cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(self.special_tokens.values())

    @functools.cached_property
    def _special_pattern(self) -> re.Pattern[str] | None:
        return pattern_of(self.special_tokens)

    def _split(self, text: str, parse_special: bool) -> list[str]:
        """Return ``text`` cut at special tokens: what is at odd places is one."""
        pattern = self._special_pattern if parse_special else None
        return [text] if pattern is None else pattern.split(text)

    def _required(self, role: str) -> int:
        index = getattr(self, f"{role}_id")
        if index is None:
            raise ConfigError(f"the tokenizer has no {role} token", hint=f"give one: tokenizer.{role}_token=...")
        return index

    def _token_names(self) -> dict[str, str]:
        names = {f"{role}_token": getattr(self, f"{role}_token") for role in ROLES}
        return {name: token for name, token in names.items() if token is not None}

    def _common(self) -> dict[str, Any]:
        common: dict[str, Any] = self._token_names()
        if self._template is not None:
            common["chat_template"] = self.chat_template
        if extra := [index for index in self.stop_ids if index != self.eos_id]:
            common["stop_ids"] = extra
        return common

    def _saved_config(self) -> dict[str, Any]:
        return {KIND_KEY: self.kind, **self._settings(), **self._common()}


def pattern_of(tokens: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern with one group that finds any of ``tokens``, the longest first; None if there are none."""
    longest_first = sorted(filter(None, tokens), key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first))})") if longest_first else None


def spans_of_bytes(pieces: Sequence[bytes], text: str) -> Spans:
    r"""Return where each piece stands in ``text``, in characters, if the pieces spell it.

    >>> spans_of_bytes([b"a", b"\xc3", b"\xa9b"], "aéb")
    [(0, 1), (1, 2), (1, 3)]
    """
    if text.isascii():
        ends = _running([len(piece) for piece in pieces])
        return list(zip([0, *ends[:-1]], ends, strict=True)) if pieces else []
    # The character that each byte belongs to.
    of_byte = [place for place, letter in enumerate(text) for _ in range(len(letter.encode("utf-8")))]
    spans: Spans = []
    start = 0
    for piece in pieces:
        end = start + len(piece)
        spans.append((of_byte[start], of_byte[end - 1] + 1) if piece else (0, 0))
        start = end
    return spans


def _running(sizes: Sequence[int]) -> list[int]:
    total, sums = 0, []
    for size in sizes:
        total += size
        sums.append(total)
    return sums


def _not_unicode(error: UnicodeEncodeError) -> DataError:
    return DataError(
        f"the text has {error.object[error.start]!r} at place {error.start}, which is half of a character",
        hint="read the text with errors='replace', or leave it out",
    )
