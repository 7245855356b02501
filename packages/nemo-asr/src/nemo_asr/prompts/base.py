"""Formats of prompts: which fields there are, what they may say, and in which order they become tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nemo_asr.tokenizers.canary import PromptTokenizer
from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["PromptFormat", "Slot", "as_choice", "as_language", "as_switch", "as_text"]

_YES = frozenset({"yes", "true", "1"})
_NO = frozenset({"no", "false", "0"})


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of a prompt that a field fills.

    Attributes:
        name: Name of the field.
        write: What the field says, and what that is written as: a special token, or text. It raises ``ValueError`` with
            what may be said where that is something else.
        default: What it says where it is not given.
        aliases: Other names that the field may have in manifests.
    """

    name: str
    write: Callable[[str], str]
    default: str
    aliases: tuple[str, ...] = ()


class PromptFormat(Configured):
    """Base of the formats of prompts: fields become a prompt, and a text becomes what the model shall answer.

    A format is a ``template`` of special tokens and slots; the field ``target_lang`` says the language of texts. One of
    your own derives from this class, defines its template, and stands in the model as ``prompt``.

    Args:
        defaults: What fields say where they are not given, in place of what the format says.

    Raises:
        ConfigError: The format has no such field, or it cannot say this.

    Example:
        >>> class Shout(PromptFormat):
        ...     template = ("<|startoftranscript|>", Slot("target_lang", as_language, "en"))
        >>> Shout(defaults={"target_lang": "de"}).parts({})
        ['<|startoftranscript|>', '<|de|>']
    """

    template: ClassVar[tuple[str | Slot, ...]]
    #: The field that asks for times; None where the format has none.
    timestamps: ClassVar[str | None] = None

    def __init__(self, defaults: Mapping[str, Any] | None = None) -> None:
        self.defaults = dict(defaults or {})
        self.check(self.defaults)

    @property
    def slots(self) -> dict[str, Slot]:
        """The places that fields fill, by name."""
        return {part.name: part for part in self.template if isinstance(part, Slot)}

    @property
    def fields(self) -> dict[str, Slot]:
        """The places by every name that the field of each may have."""
        return {name: slot for slot in self.slots.values() for name in (slot.name, *slot.aliases)}

    def check(self, fields: Mapping[str, Any]) -> None:
        """Raise a ``ConfigError`` where a field is not of this format, or says what it cannot."""
        names = self.fields
        for name, value in fields.items():
            if name not in names:
                raise ConfigError(
                    f"the prompt has no field {name!r}",
                    hint=did_you_mean(name, names) or f"it has {', '.join(self.slots)}",
                )
            try:
                names[name].write(_said(value))
            except ValueError as error:
                raise ConfigError(f"the prompt's {name} is {value!r}", hint=str(error)) from None

    def parts(self, fields: Mapping[str, Any]) -> list[str]:
        """Return the prompt, special tokens and text one after the other.

        Args:
            fields: What fields say; those of other names are passed over, so that they may be all fields of a manifest.

        Raises:
            DataError: A field says what it cannot.
        """
        written = (self._written(part, fields) for part in self.template)
        return [part for part in written if part]

    def language(self, fields: Mapping[str, Any]) -> str:
        """Return the language of the texts."""
        token = self._written(self.slots["target_lang"], fields)
        return token.removeprefix("<|").removesuffix("|>")

    def encode(self, fields: Mapping[str, Any], tokenizer: PromptTokenizer) -> list[int]:
        """Return the tokens of the prompt.

        Raises:
            DataError: A field says what it cannot, or what the tokenizer has no token for.
        """
        return tokenizer.encode_parts(self.parts(fields), self.language(fields))

    def encode_answer(self, text: str, fields: Mapping[str, Any], tokenizer: PromptTokenizer) -> list[int]:
        """Return the tokens that shall follow the prompt: ``text`` and its end.

        Raises:
            DataError: The tokenizer does not know the language, or something in the text.
        """
        return tokenizer.encode_parts([text, "<|endoftext|>"], self.language(fields))

    def _written(self, part: str | Slot, fields: Mapping[str, Any]) -> str:
        if isinstance(part, str):
            return part
        for source in (fields, self.defaults):
            for name in (part.name, *part.aliases):
                if source.get(name) is not None:
                    try:
                        return part.write(_said(source[name]))
                    except ValueError as error:
                        raise DataError(f"the prompt's {name} is {source[name]!r}", hint=str(error)) from None
        return part.write(part.default)


def as_language(value: str) -> str:
    """Write a language: ``en`` is ``<|en|>``.

    >>> as_language("en"), as_language("<|en|>")
    ('<|en|>', '<|en|>')
    """
    return value if value.startswith("<|") else f"<|{value}|>"


def as_switch(name: str) -> Callable[[str], str]:
    """Return what writes yes as ``<|name|>`` and no as ``<|noname|>``.

    >>> as_switch("pnc")("yes"), as_switch("pnc")("false"), as_switch("pnc")("<|nopnc|>")
    ('<|pnc|>', '<|nopnc|>', '<|nopnc|>')
    """
    return as_choice({name: _YES, f"no{name}": _NO})


def as_choice(tokens: Mapping[str, frozenset[str]]) -> Callable[[str], str]:
    """Return what writes each token's names, and the token's own, as the token.

    >>> as_choice({"transcribe": frozenset({"asr"})})("asr")
    '<|transcribe|>'
    """
    written = {name: f"<|{token}|>" for token, names in tokens.items() for name in (token, f"<|{token}|>", *names)}

    def write(value: str) -> str:
        found = written.get(value, written.get(value.lower()))
        if found is None:
            raise ValueError(f"one of {', '.join(name for name in written if not name.startswith('<|'))}")
        return found

    return write


def as_text(value: str) -> str:
    """Write text as it is."""
    return value


def _said(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
