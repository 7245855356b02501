"""Bytes as tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nemo_core.errors import ConfigError
from nemo_llm.tokenizers.base import Tokenizer

__all__ = ["ByteTokenizer"]


class ByteTokenizer(Tokenizer):
    """Turns text into the bytes of its UTF-8 and back, without loss; needs no learning.

    Tokens 0 to 255 are bytes, behind them stand the special tokens.

    Args:
        special_tokens: The special tokens, in the order of their numbers, from 256 on.
        bos_token, eos_token, pad_token, unk_token: Which of them stand for start, end, padding and the unknown; by
            default ``<bos>``, ``<eos>`` and ``<pad>``, as far as they are among them.
        chat_template: How conversations are written: a name (``chatml``), a file, or Jinja.
        stop_ids: Tokens that end a generated text, besides ``eos``.

    Example:
        >>> tokenizer = ByteTokenizer()
        >>> tokenizer.encode("né", eos=True), tokenizer.vocab_size
        ([110, 195, 169, 257], 259)
        >>> tokenizer.decode([110, 195, 169])
        'né'
    """

    kind = "bytes"

    def __init__(
        self,
        special_tokens: Sequence[str] = ("<bos>", "<eos>", "<pad>"),
        *,
        bos_token: str | None = None,
        eos_token: str | None = None,
        pad_token: str | None = None,
        unk_token: str | None = None,
        chat_template: str | None = None,
        stop_ids: Sequence[int] = (),
    ) -> None:
        self._tokens = list(special_tokens)
        check_distinct(self._tokens)
        self._numbers = {token: 256 + place for place, token in enumerate(self._tokens)}
        known = {role: f"<{role}>" for role in ("bos", "eos", "pad") if f"<{role}>" in self._numbers}
        given = {"bos": bos_token, "eos": eos_token, "pad": pad_token, "unk": unk_token}
        named = {**known, **{role: token for role, token in given.items() if token is not None}}
        self._set_up(self._numbers, named, chat_template, stop_ids)

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return 256 + len(self._tokens)

    def id_to_token(self, index: int) -> str:
        """Return a special token, or a byte such as ``<0x0A>``."""
        return self._tokens[index - 256] if index >= 256 else f"<0x{index:02X}>"

    def token_to_id(self, token: str) -> int | None:
        """Return the number of a special token or of a byte such as ``<0x0A>``."""
        if token in self._numbers:
            return self._numbers[token]
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            try:
                return int(token[3:5], 16)
            except ValueError:
                return None
        return None

    def token_bytes(self, index: int) -> bytes:
        """Return the byte, or the letters of a special token."""
        return self._tokens[index - 256].encode() if index >= 256 else bytes((index,))

    def _encode(self, text: str, parse_special: bool) -> list[int]:
        ids: list[int] = []
        for place, part in enumerate(self._split(text, parse_special)):
            if place % 2:
                ids.append(self._numbers[part])
            else:
                ids.extend(part.encode("utf-8"))
        return ids

    def _files(self) -> Mapping[str, bytes]:
        return {}

    def _settings(self) -> dict[str, Any]:
        return {"special_tokens": list(self._tokens)}


def check_distinct(tokens: Sequence[str]) -> None:
    """Refuse a special token that is empty or there twice."""
    for place, token in enumerate(tokens):
        if not isinstance(token, str) or not token:
            raise ConfigError(f"tokenizer.special_tokens: {token!r} is not a text")
        if token in tokens[:place]:
            raise ConfigError(f"tokenizer.special_tokens: {token!r} is there twice")
