"""Tokens that are no text: what prompts are made of."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError

__all__ = ["SpecialTokens", "is_special"]

_TOKEN = re.compile(r"<\|[^<>|]+\|>|<pad>")
_ALWAYS = ("<|nospeech|>", "<pad>", "<|endoftext|>", "<|startoftranscript|>", "<|pnc|>", "<|nopnc|>")
_SWITCHES = ("transcribe", "translate", "itn", "noitn", "timestamp", "notimestamp", "diarize", "nodiarize")
_EMOTIONS = ("undefined", "neutral", "angry", "happy", "sad")


def is_special(text: str) -> bool:
    """Return whether ``text`` is written as one special token.

    >>> is_special("<|en|>"), is_special("<|0|> one <|4|>")
    (True, False)
    """
    return _TOKEN.fullmatch(text) is not None


class SpecialTokens(Configured):
    """The special tokens of Canary's prompts (see :mod:`nemo_asr.prompts`), each written ``<|name|>``.

    Args:
        languages: The languages that are spoken and written.
        timestamps: Encoder frames that can be named, ``<|0|>`` and on; none for a model that tells no times.
        extra: Further tokens; names, with or without ``<|`` and ``|>``.

    Example:
        >>> tokens = SpecialTokens(["en", "de"])
        >>> tokens.decode(tokens.encode("<|startoftranscript|><|en|><|transcribe|><|de|>"))
        '<|startoftranscript|><|en|><|transcribe|><|de|>'
    """

    def __init__(self, languages: Sequence[str] = ("en",), timestamps: int = 0, extra: Sequence[str] = ()) -> None:
        if isinstance(languages, str) or not languages:
            raise ConfigError("tokenizer: languages is no list of languages", hint="such as [en, de]")
        names = [
            *_ALWAYS,
            *_SWITCHES,
            "startofcontext",
            *(f"emo:{emotion}" for emotion in _EMOTIONS),
            *languages,
            *map(str, range(timestamps)),
            *extra,
        ]
        tokens = [name if is_special(name) else f"<|{name}|>" for name in names]
        self._tokens = list(dict.fromkeys(tokens))
        self._ids = {token: index for index, token in enumerate(self._tokens)}

    @property
    def vocabulary(self) -> list[str]:
        """The tokens, in the order of their numbers."""
        return list(self._tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the tokens that ``text`` is made of.

        Raises:
            DataError: It is not made of special tokens, or one of them is not known.
        """
        found = _TOKEN.findall(text)
        if "".join(found) != text:
            raise DataError(f"{text!r} is not made of special tokens")
        for token in found:
            if token not in self._ids:
                raise DataError(f"there is no special token {token}")
        return [self._ids[token] for token in found]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``."""
        return "".join(self.pieces(ids))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the token of each of ``ids``."""
        return [self._tokens[index] for index in ids]
