"""Characters as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from nemo_core.errors import ConfigError, DataError
from nemo_llm.tokenizers.base import Tokenizer
from nemo_llm.tokenizers.byte import check_distinct

__all__ = ["CharacterTokenizer"]

UNKNOWN = "<unk>"


class CharacterTokenizer(Tokenizer):
    """Turns text into numbers of characters and back.

    Args:
        characters: The characters, in the order of their numbers.
        files: In their place: files whose characters they are, sorted. Text, ``.jsonl`` or ``.parquet`` with a
            ``text`` in each record.
        unknown: What to do with another character: ``error``; ``unk``: it becomes the token ``<unk>``; ``skip`` it.
        special_tokens: Special tokens, behind the characters.
        bos_token, eos_token, pad_token, unk_token: Which of them stand for start, end, padding and the unknown.
        chat_template: How conversations are written: a name (``chatml``), a file, or Jinja.
        stop_ids: Tokens that end a generated text, besides ``eos``.

    Raises:
        ConfigError: There are no characters, or one is there twice.

    Example:
        >>> tokenizer = CharacterTokenizer.learn("to be or not")
        >>> tokenizer.encode("bet"), tokenizer.decode([4, 5, 6]), tokenizer.vocab_size
        ([1, 2, 6], 'ort', 7)
    """

    kind = "characters"

    def __init__(
        self,
        characters: str | Sequence[str] | None = None,
        *,
        files: str | Path | Sequence[str | Path] | None = None,
        unknown: Literal["error", "unk", "skip"] = "error",
        special_tokens: Sequence[str] = (),
        bos_token: str | None = None,
        eos_token: str | None = None,
        pad_token: str | None = None,
        unk_token: str | None = None,
        chat_template: str | None = None,
        stop_ids: Sequence[int] = (),
    ) -> None:
        if unknown not in ("error", "unk", "skip"):
            raise ConfigError(f"tokenizer.unknown is {unknown!r}, not 'error', 'unk' or 'skip'")
        if characters is None and files is not None:
            from nemo_llm.tokenizers.texts import read_texts

            given = [files] if isinstance(files, (str, Path)) else list(files)
            characters = _distinct(read_texts([Path(path) for path in given], whole=True))
        self._characters = list(characters or ())
        self.unknown = unknown
        wrong = next((each for each in self._characters if not isinstance(each, str) or len(each) != 1), None)
        if wrong is not None:
            raise ConfigError(f"tokenizer.characters: {wrong!r} is not one character")
        if not self._characters:
            raise ConfigError("tokenizer: there are no characters", hint="give characters, or files to take them from")
        special = list(special_tokens)
        if unknown == "unk" and unk_token is None:
            unk_token = UNKNOWN
            if UNKNOWN not in special:
                special.append(UNKNOWN)
        check_distinct(special)
        self._special = special
        self._tokens = [*self._characters, *special]
        self._numbers = {token: place for place, token in enumerate(self._tokens)}
        if len(self._numbers) != len(self._tokens):
            twice = next(token for place, token in enumerate(self._tokens) if self._numbers[token] != place)
            raise ConfigError(f"tokenizer.characters: {twice!r} is there twice")
        named = {"bos": bos_token, "eos": eos_token, "pad": pad_token, "unk": unk_token}
        self._set_up({token: self._numbers[token] for token in special}, named, chat_template, stop_ids)

    @classmethod
    def learn(cls, texts: str | Iterable[str], **options: Any) -> CharacterTokenizer:
        """Return the tokenizer of the characters of ``texts``, sorted; ``options`` as in the constructor."""
        return cls(_distinct([texts] if isinstance(texts, str) else texts), **options)

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self._tokens)

    def id_to_token(self, index: int) -> str:
        """Return the character or special token."""
        return self._tokens[index]

    def token_to_id(self, token: str) -> int | None:
        """Return the number of a character or special token."""
        return self._numbers.get(token)

    def token_bytes(self, index: int) -> bytes:
        """Return the character in UTF-8."""
        return self._tokens[index].encode()

    def _encode(self, text: str, parse_special: bool) -> list[int]:
        ids: list[int] = []
        numbers = self._numbers
        for place, part in enumerate(self._split(text, parse_special)):
            if place % 2:
                ids.append(numbers[part])
            elif self.unknown == "error":
                try:
                    ids.extend([numbers[character] for character in part])
                except KeyError as error:
                    raise _unknown(error.args[0], part) from None
            elif self.unknown == "skip":
                ids.extend([numbers[character] for character in part if character in numbers])
            else:
                ids.extend([numbers.get(character, self.unk_id) for character in part])  # type: ignore[misc]
        return ids

    def _encode_with_spans(self, texts: Sequence[str], parse_special: bool) -> list[tuple[list[int], Any]]:
        found = []
        for text in texts:
            spans: list[tuple[int, int]] = []
            start = 0
            for place, part in enumerate(self._split(text, parse_special)):
                if place % 2:
                    spans.append((start, start + len(part)))
                else:
                    skips = self.unknown == "skip"
                    spans += [
                        (start + n, start + n + 1) for n, each in enumerate(part) if not skips or each in self._numbers
                    ]
                start += len(part)
            found.append((self._encode(text, parse_special), spans))
        return found

    def _files(self) -> Mapping[str, bytes]:
        return {}

    def _settings(self) -> dict[str, Any]:
        return {"characters": self._characters, "unknown": self.unknown, "special_tokens": self._special}


def _distinct(texts: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    for text in texts:
        seen.update(text)
    # Half characters cannot be written to a file.
    return sorted(character for character in seen if not 0xD800 <= ord(character) < 0xE000)


def _unknown(character: str, text: str) -> DataError:
    place = text.index(character)
    around = text[max(0, place - 15) : place + 15]
    return DataError(
        f"{character!r} (U+{ord(character):04X}) in {around!r} is none of the tokenizer's characters",
        hint="add it to tokenizer.characters, or set tokenizer.unknown=unk",
    )
