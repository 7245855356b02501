"""Chat templates: conversations as the text that a model reads, and which part of it the assistant says."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError, DataError, UnsafeArchiveError

if TYPE_CHECKING:
    import jinja2

__all__ = ["ChatTemplate", "template_names", "template_source"]

_FOLDER = Path(__file__).parent / "templates"
_LONGEST = 1_000_000  # characters of a template
# Unicode keeps these out of texts, for use inside programs: marks that no text has.
_NONCHARACTERS = [chr(0xFDD0 + number) for number in range(32)]

# What is given may have come from a stranger: no file of another name is looked at.
_SUFFIXES = (".jinja", ".jinja2", ".j2")

Message = Mapping[str, Any]
Spans = list[tuple[int, int]]


def template_names() -> list[str]:
    """Return the names of the templates that are known without a file.

    >>> template_names()
    ['chatml', 'gemma', 'llama3', 'mistral', 'phi3']
    """
    return sorted(path.stem for path in _FOLDER.glob("*.jinja"))


def template_source(given: str) -> tuple[str, str]:
    """Return the text of a template and what to call it, without looking at what the text says.

    Args:
        given: A name (``chatml``), a file (``.jinja``, ``.jinja2``, ``.j2``), or the text itself.

    Raises:
        ConfigError: It is none of these.
    """
    if given in template_names():
        return (_FOLDER / f"{given}.jinja").read_text(encoding="utf-8"), f"the chat template {given!r}"
    if "{" in given:
        return given, "the chat template"
    if given.endswith(_SUFFIXES):
        try:
            return Path(given).read_text(encoding="utf-8"), f"the chat template of {given}"
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{given} cannot be read: {getattr(error, 'strerror', 'it is not UTF-8')}") from None
    raise ConfigError(
        f"chat_template: {given!r} is no template, no file of one ({', '.join(_SUFFIXES)}), and no name of one",
        hint=f"names are {', '.join(template_names())}",
    )


class ChatTemplate:
    """A template in Jinja, as Hugging Face's tokenizers have them, that runs in a sandbox with a budget.

    It knows ``messages``, ``add_generation_prompt``, the tokenizer's ``bos_token`` and so on, ``tools`` and
    ``documents``; the functions ``raise_exception``, ``strftime_now``, ``range``, ``namespace`` and ``dict``; ``break``
    and ``continue``; and ``{% generation %}``, which marks what the assistant says.

    Args:
        source: The template.
        name: What messages call it.

    Raises:
        ConfigError: It is no Jinja.
        UnsafeArchiveError: It reaches for Python's insides.

    Example:
        >>> template = ChatTemplate.of("chatml")
        >>> print(template.render([{"role": "user", "content": "Hello"}], add_generation_prompt=True))
        <|im_start|>user
        Hello<|im_end|>
        <|im_start|>assistant
    """

    def __init__(self, source: str, name: str = "the chat template") -> None:
        self.source, self.name = source, name
        _ = self._compiled  # so that what is wrong with it is said now

    @classmethod
    def of(cls, given: str) -> ChatTemplate:
        """Return the template of a name (``chatml``), of a file (``.jinja``, ``.jinja2``, ``.j2``), or of Jinja."""
        return cls(*template_source(given))

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False, **variables: Any) -> str:
        """Return a conversation as text.

        Args:
            messages: What is said, in turn: mappings with ``role`` and ``content``.
            add_generation_prompt: End with what stands before an answer.
            variables: Whatever else the template shall know.

        Raises:
            DataError: The template refuses these messages, or needs of them what they do not have.
            UnsafeArchiveError: It reaches for Python's insides.
            ConfigError: It does more than a template may: it goes round for ever, or fills the memory.
        """
        known = {
            "messages": [_without_none(message, f"messages[{place}]") for place, message in enumerate(messages)],
            "tools": None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            **{name: _plain(value, name) for name, value in variables.items()},
        }
        return self._run(known)

    def render_with_spans(self, messages: Sequence[Message], **variables: Any) -> tuple[str, Spans]:
        """Return a conversation as text, and where in it each of the assistant's messages stands.

        That is what ``{% generation %}`` blocks mark. Without them it is what comes after the prompt for an answer, the
        token that ends the turn included, white space behind that not.

        Returns:
            The text, and start and end of what the assistant says, in characters: one pair for each of its messages.

        Raises:
            DataError: The text does not show it.
        """
        text = self.render(messages, **variables)
        spoken = [place for place, message in enumerate(messages) if message.get("role") == "assistant"]
        if self.marks_generation:
            return text, self._marked(text, messages, variables, len(spoken))
        return text, [self._answer(text, messages, place, variables) for place in spoken]

    @functools.cached_property
    def marks_generation(self) -> bool:
        """Whether the template has ``{% generation %}`` blocks."""
        from jinja2 import nodes

        tree = self._compiled.environment.parse(self.source)
        marks = "nemo_llm.tokenizers.sandbox._Generation"
        return any(
            isinstance(call.call.node, nodes.ExtensionAttribute) and call.call.node.identifier == marks
            for call in tree.find_all(nodes.CallBlock)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source, self.name)

    # ------------------------------------------------------------------------------------------------------ the parts

    @functools.cached_property
    def _compiled(self) -> jinja2.Template:
        from nemo_llm.tokenizers.sandbox import Sandbox

        if len(self.source) > _LONGEST:
            raise ConfigError(f"{self.name} is too long: {len(self.source)} characters")
        with self._explaining(running=False):
            return Sandbox().load(self.source)

    def _run(self, known: Mapping[str, Any]) -> str:
        from nemo_llm.tokenizers import tolls

        budget = tolls.Budget(tolls.WORK + 100 * _length(known))
        with self._explaining(running=True), tolls.spending(budget):
            return self._compiled.render(known)

    @contextmanager
    def _explaining(self, *, running: bool) -> Iterator[None]:
        """Turn what goes wrong in a template into errors that name it."""
        from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError
        from jinja2.sandbox import SecurityError

        from nemo_llm.tokenizers.sandbox import TemplateRefusalError
        from nemo_llm.tokenizers.tolls import OverBudgetError

        try:
            yield
        except TemplateRefusalError as error:
            raise DataError(f"{self.name} refuses these messages: {error}") from None
        except SecurityError as error:
            raise UnsafeArchiveError(
                f"{self.name} is not safe: {error}", hint="nothing of it was used; take a template from a safe place"
            ) from None
        except OverBudgetError as error:
            raise ConfigError(
                f"{self.name} was stopped: {error}", hint="a template writes messages, and needs a moment for it"
            ) from None
        except (RecursionError, MemoryError):
            raise ConfigError(f"{self.name} was stopped: it is nested too deeply, or needs too much memory") from None
        except UndefinedError as error:
            raise DataError(f"{self.name} asks for what these messages do not have: {error.message}") from None
        except TemplateSyntaxError as error:
            raise ConfigError(f"{self.name}, line {error.lineno}: {error.message}") from None
        except TemplateError as error:
            raise ConfigError(f"{self.name}: {error.message}") from None
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, SyntaxError) as error:
            problem = f"{self.name} fails: {type(error).__name__}: {error}"
            raise (
                DataError(problem, hint="do the messages have what it expects?") if running else ConfigError(problem)
            ) from None

    def _marked(self, text: str, messages: Sequence[Message], variables: Mapping[str, Any], count: int) -> Spans:
        from nemo_llm.tokenizers.sandbox import marking

        free = [mark for mark in _NONCHARACTERS if mark not in text]
        if len(free) < 2:
            raise DataError("the messages have all of the characters U+FDD0 to U+FDEF, which no text has")
        start, end = free[:2]
        with marking(start, end):
            marked = self.render(messages, **variables)
        spans: Spans = []
        plain: list[str] = []
        length = 0
        for place, part in enumerate(marked.replace(end, start).split(start)):
            if place % 2:
                spans.append((length, length + len(part)))
            plain.append(part)
            length += len(part)
        if "".join(plain) != text or marked.count(start) != marked.count(end):
            raise DataError(
                f"{self.name}: what its {{% generation %}} blocks hold is changed after, so it has no place"
            )
        if len(spans) != count:
            raise DataError(
                f"{self.name} marks {len(spans)} texts of the assistant, and there are {count} messages of it",
                hint="{% generation %} has to be around each message of the assistant, and around nothing else",
            )
        return spans

    def _answer(
        self, text: str, messages: Sequence[Message], place: int, variables: Mapping[str, Any]
    ) -> tuple[int, int]:
        """Return where the answer stands that is message ``place``: what follows its prompt."""
        prompt = self.render(messages[:place], **{**variables, "add_generation_prompt": True})
        whole = text if place == len(messages) - 1 else self.render(messages[: place + 1], **variables)
        if not text.startswith(prompt):
            raise self._unclear(place)
        end = len(whole)
        if not text.startswith(whole):
            # Some templates write the last answer otherwise than earlier ones, with its thoughts say: then the turn
            # ends where both end it.
            said = _spoken(messages[place]).strip()
            found, found_whole = text.find(said, len(prompt)), whole.rfind(said)
            if not said or found < 0 or found_whole < len(prompt):
                raise self._unclear(place)
            end, rest = found + len(said), whole[found_whole + len(said) :]
            behind = _common(text[end:], rest)
            if behind == 0:
                raise self._unclear(place)
            end += behind
        answer = text[len(prompt) : end]
        if stripped := answer.rstrip():
            # White space of the answer itself stays; behind the token that ends the turn there is only the template's.
            said = _spoken(messages[place])
            if not said or not answer.endswith(said):
                answer = stripped
        return len(prompt), len(prompt) + len(answer)

    def _unclear(self, place: int) -> DataError:
        return DataError(
            f"{self.name} writes messages[{place}] so that its place in the text is not clear",
            hint="put {% generation %} ... {% endgeneration %} around what the assistant says in the template",
        )


def _spoken(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or () if isinstance(part, Mapping))


def _common(left: str, right: str) -> int:
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return min(len(left), len(right))


def _without_none(message: Any, where: str) -> dict[str, Any]:
    """Return a message for a template: OpenAI's have keys without value, which templates would print as ``None``."""
    if not isinstance(message, Mapping):
        raise DataError(f"{where} is {message!r}, not a mapping with role and content")
    return {key: value for key, value in _plain(message, where).items() if value is not None}


def _plain(value: Any, where: str) -> Any:
    """Return a copy of plain values; a template must get nothing that has methods of its own."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{place}]") for place, item in enumerate(value)]
    for kind in (str, bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise DataError(f"{where} is a {type(value).__name__}", hint="messages are texts, numbers, lists and mappings")


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value) + 1
    if isinstance(value, dict):
        return sum(map(_length, value.values())) + 1
    return sum(map(_length, value)) + 1 if isinstance(value, list) else 1
