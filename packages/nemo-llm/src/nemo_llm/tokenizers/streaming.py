"""Text of tokens as they come."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nemo_llm.tokenizers.base import Tokenizer

__all__ = ["StreamDecoder"]

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class StreamDecoder:
    """Turns tokens into text one by one; what :meth:`push` returned is never taken back.

    A character that is spread over several tokens is given out with the last of them. All pieces together are what
    :meth:`~nemo_llm.tokenizers.base.Tokenizer.decode` makes of all tokens.

    Args:
        tokenizer: Whose tokens they are.
        skip_special_tokens: Leave out the special ones.

    Example:
        >>> from nemo_llm.tokenizers import ByteTokenizer
        >>> stream = StreamDecoder(ByteTokenizer())
        >>> [stream.push(byte) for byte in "né!".encode()], stream.finish()
        (['n', '', 'é', '!'], '')
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skipped = frozenset(tokenizer.special_tokens.values()) if skip_special_tokens else frozenset()
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace") if tokenizer.spells_bytes else None
        self._first: int | None = None
        # Of others: tokens whose text has been given out, as the context of those behind them.
        self._tokens: list[int] = []
        self._context = 0

    def push(self, token: int) -> str:
        """Take a token and return the text that is certain now, which may be empty."""
        token = int(token)
        if token in self._skipped:
            return ""
        if self._bytes is None:
            return self._window(token)
        return self._started(token, self._bytes.decode(self._tokenizer.token_bytes(token)))

    def extend(self, tokens: Iterable[int]) -> str:
        """Take several tokens; see :meth:`push`."""
        return "".join(map(self.push, tokens))

    def finish(self) -> str:
        """Return what was held back, when no more tokens come: a character that was never finished."""
        if self._bytes is not None:
            return self._bytes.decode(b"", final=True)
        before, both = self._texts()
        self._context = len(self._tokens)
        return both[len(before) :]

    def _started(self, token: int, piece: str) -> str:
        """Return ``piece``, less the space that some models put before a text."""
        if self._first is None:
            self._first = token
            shorten = getattr(self._tokenizer, "without_prefix", None)
            return piece if shorten is None else shorten(piece, token)
        return piece

    def _window(self, token: int) -> str:
        self._tokens.append(token)
        before, both = self._texts()
        if len(both) <= len(before) or both.endswith(_REPLACEMENT):
            return ""
        piece = both[len(before) :]
        self._tokens = self._tokens[self._context :]
        self._context = len(self._tokens)
        return piece

    def _texts(self) -> tuple[str, str]:
        """Return the text of what has been given out last, and that with what came after it."""
        decode = self._tokenizer.decode
        return decode(self._tokens[: self._context]), decode(self._tokens)
