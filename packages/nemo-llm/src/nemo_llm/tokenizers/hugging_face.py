"""Tokenizers of Hugging Face's library ``tokenizers``: what nearly every model folder has as ``tokenizer.json``."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError, DataError
from nemo_llm.tokenizers.base import CONFIG_FILE, KIND_KEY, ROLES, Spans, Tokenizer

if TYPE_CHECKING:
    import tokenizers

__all__ = ["HFTokenizer"]

FILE = "tokenizer.json"
_TEMPLATE_FILE = "chat_template.jinja"


class HFTokenizer(Tokenizer):
    """Turns text into tokens and back as a ``tokenizer.json`` says, whatever its kind: BPE, unigram, WordPiece.

    Nothing is added to a text that was not asked for: what the file says about tokens for its start and end is left to
    ``bos`` and ``eos`` of :meth:`~nemo_llm.tokenizers.base.Tokenizer.encode` and to chat templates.

    Args:
        path: A ``tokenizer.json``, or a folder with one. ``tokenizer_config.json``, ``special_tokens_map.json``,
            ``chat_template.jinja`` and ``generation_config.json`` beside it are read too.
        bos_token, eos_token, pad_token, unk_token: Which tokens stand for start, end, padding and the unknown, if not
            those of the files.
        chat_template: How conversations are written, if not as the files say: a name (``chatml``), a file, or Jinja.
        stop_ids: Tokens that end a generated text, besides ``eos``, if not those of the files.
        config: What ``tokenizer_config.json`` says besides; kept for whoever reads it again.

    Raises:
        ConfigError: There is no such file.
        DataError: A file is damaged.

    Example:
        >>> import tempfile
        >>> from nemo_llm.tokenizers import train_tokenizer
        >>> tokenizer = train_tokenizer(["to be or not to be"], kind="byte_level_bpe", vocab_size=260)
        >>> folder = tokenizer.save(tempfile.mkdtemp())
        >>> ids = HFTokenizer(folder).encode("to be")
        >>> ids == tokenizer.encode("to be"), tokenizer.decode(ids)
        (True, 'to be')
    """

    kind = "hf"

    def __init__(
        self,
        path: str | Path,
        *,
        bos_token: str | None = None,
        eos_token: str | None = None,
        pad_token: str | None = None,
        unk_token: str | None = None,
        chat_template: str | None = None,
        stop_ids: Sequence[int] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        path = Path(path)
        file, folder = (path / FILE, path) if path.is_dir() else (path, path.parent)
        content = read_file(file)
        found = read_config(folder) if file.name == FILE else {}
        given = {"bos": bos_token, "eos": eos_token, "pad": pad_token, "unk": unk_token}
        self._open(content, str(file), found if config is None else config, given, chat_template, stop_ids)

    @classmethod
    def of(cls, tokenizer: tokenizers.Tokenizer, **options: Any) -> HFTokenizer:
        """Return the tokenizer of an object of the library ``tokenizers``; ``options`` as in the constructor."""
        made = cls.__new__(cls)
        given = {role: options.pop(f"{role}_token", None) for role in ROLES}
        content = tokenizer.to_str().encode()
        made._open(content, "the tokenizer", {}, given, options.pop("chat_template", None), options.pop("stop_ids", ()))
        return made

    def _open(
        self,
        content: bytes,
        name: str,
        config: Mapping[str, Any],
        given: Mapping[str, str | None],
        chat_template: str | None,
        stop_ids: Sequence[int] | None,
    ) -> None:
        self._content, self._config = content, dict(config)
        self._tokenizer = _load(content, name)
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        self._size = max(vocabulary.values(), default=-1) + 1
        added = self._tokenizer.get_added_tokens_decoder()
        special = {token.content: index for index, token in added.items() if token.special}
        named: dict[str, str | None] = {role: text_of_token(config.get(f"{role}_token")) for role in ROLES}
        named = {role: token if token in vocabulary else None for role, token in named.items()}
        named.update({role: token for role, token in given.items() if token is not None})
        if named["unk"] is None:
            named["unk"] = _unknown(self._tokenizer)
        if stop_ids is None:
            stop_ids = [index for index in config.get("stop_ids", ()) if index < self._size]
        self._set_up(special, named, chat_template or template_of(config), stop_ids)
        self.spells_bytes = _is_byte_level(content)
        # What the file itself puts before a text.
        self.adds_bos = self.bos_id is not None and self._tokenizer.encode("a").ids[:1] == [self.bos_id]

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included: one more than the highest number."""
        return self._size

    @property
    def tokenizer(self) -> tokenizers.Tokenizer:
        """The object of the library ``tokenizers``."""
        return self._tokenizer

    def id_to_token(self, index: int) -> str:
        """Return how a token is written in the vocabulary; where numbers have gaps, ``<unused 7>``."""
        token = self._tokenizer.id_to_token(index)
        return f"<unused {index}>" if token is None else token

    def token_to_id(self, token: str) -> int | None:
        """Return the number of a token as it is written in the vocabulary."""
        return self._tokenizer.token_to_id(token)

    def token_bytes(self, index: int) -> bytes:
        """Return what a token of byte-level BPE adds to a text."""
        token = self._tokenizer.id_to_token(index)
        if token is None:
            return b""
        byte_of = _byte_of_letter()
        if all(letter in byte_of for letter in token):
            return bytes(byte_of[letter] for letter in token)
        return token.encode()

    def _encode(self, text: str, parse_special: bool) -> list[int]:
        return list(self._reader(parse_special).encode(text, add_special_tokens=False).ids)

    def _encode_batch(self, texts: Sequence[str], parse_special: bool) -> list[list[int]]:
        for text in texts:
            text.encode("utf-8")  # the library does not say what is wrong
        if len(texts) == 1:
            return [self._encode(texts[0], parse_special)]
        encodings = self._reader(parse_special).encode_batch_fast(list(texts), add_special_tokens=False)
        return [list(encoding.ids) for encoding in encodings]

    def _encode_with_spans(self, texts: Sequence[str], parse_special: bool) -> list[tuple[list[int], Spans]]:
        for text in texts:
            text.encode("utf-8")
        encodings = self._reader(parse_special).encode_batch(list(texts), add_special_tokens=False)
        return [(list(encoding.ids), list(encoding.offsets)) for encoding in encodings]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))

    def _reader(self, parse_special: bool) -> tokenizers.Tokenizer:
        return self._tokenizer if parse_special else self._letters

    @functools.cached_property
    def _letters(self) -> tokenizers.Tokenizer:
        """The same that takes special tokens in texts for the letters that they are."""
        tokenizer = copy.deepcopy(self._tokenizer)
        tokenizer.encode_special_tokens = True
        return tokenizer

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_letters"}

    def _files(self) -> Mapping[str, bytes]:
        return {FILE: self._content}

    def _settings(self) -> dict[str, Any]:
        kept = (KIND_KEY, "chat_template", "stop_ids", *(f"{role}_token" for role in ROLES))
        config = {name: value for name, value in self._config.items() if name not in kept}
        return {"config": config} if config else {}

    def _saved_config(self) -> dict[str, Any]:
        # Flat, as transformers reads it.
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **self._settings().get("config", {}),
            KIND_KEY: self.kind,
            **self._common(),
        }


def read_file(path: Path) -> bytes:
    """Return what is in a file of a tokenizer.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def read_config(folder: Path) -> dict[str, Any]:
    """Return what the files beside a tokenizer say, in the words of ``tokenizer_config.json``.

    Raises:
        DataError: One of them is no JSON object.
    """
    config = _json(folder / CONFIG_FILE)
    for name, token in _json(folder / "special_tokens_map.json").items():
        config.setdefault(name, token)
    template = folder / _TEMPLATE_FILE
    if template.is_file():
        config["chat_template"] = read_file(template).decode("utf-8", errors="replace")
    elif "chat_template" not in config and (other := _json(folder / "chat_template.json").get("chat_template")):
        config["chat_template"] = other
    if "stop_ids" not in config:
        stops = _json(folder / "generation_config.json").get("eos_token_id")
        stops = stops if isinstance(stops, list) else [stops]
        if found := [index for index in stops if isinstance(index, int) and not isinstance(index, bool)]:
            config["stop_ids"] = found
    return config


def template_of(config: Mapping[str, Any]) -> str | None:
    """Return the chat template that a configuration holds: of several the one called ``default``."""
    found = config.get("chat_template")
    if isinstance(found, list):
        named = {each.get("name"): each.get("template") for each in found if isinstance(each, dict)}
        found = named.get("default") or next(iter(named.values()), None)
    # A name or a path that a stranger wrote there is no template.
    return found if isinstance(found, str) and "{" in found else None


def text_of_token(token: Any) -> str | None:
    """Return a token that is written as a text, or as a mapping with its ``content``."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(read_file(path))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} is not a JSON object")
    return found


def _load(content: bytes, name: str) -> tokenizers.Tokenizer:
    import tokenizers

    try:
        tokenizer = tokenizers.Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises nothing more precise
        raise DataError(
            f"{name} is no tokenizer of Hugging Face's library: {error}",
            hint="is the file whole, and not a pointer of Git LFS?",
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _unknown(tokenizer: tokenizers.Tokenizer) -> str | None:
    token = getattr(tokenizer.model, "unk_token", None)
    return token if isinstance(token, str) and tokenizer.token_to_id(token) is not None else None


def _is_byte_level(content: bytes) -> bool:
    decoder = json.loads(content).get("decoder") or {}
    parts = decoder.get("decoders", []) if decoder.get("type") == "Sequence" else [decoder]
    return len(parts) == 1 and parts[0].get("type") == "ByteLevel"


@functools.cache
def _byte_of_letter() -> dict[str, int]:
    """Return the letters that byte-level BPE writes bytes with: printable ones stand for themselves."""
    itself = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in itself]
    return {**{chr(byte): byte for byte in itself}, **{chr(256 + place): byte for place, byte in enumerate(others)}}
