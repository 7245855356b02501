"""Conversations: from records of all the usual shapes to tokens, with a mask on what is to be learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from nemo_core.errors import ConfigError, DataError, NemoError
from nemo_core.plugins.nearest import did_you_mean
from nemo_llm.data.records import Record

if TYPE_CHECKING:
    from nemo_llm.tokenizers import ChatTemplate, Tokenizer

__all__ = ["ChatEncoder", "Conversation", "LossOn", "Pairs", "read_conversation", "read_messages"]

LossOn = Literal["assistant", "last", "all"]
Pairs = Literal["auto", "chat", "text"]

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_SHAREGPT = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
}
_PAIRS = (("prompt", "completion"), ("input", "output"), ("prompt", "response"), ("question", "answer"))
_SHAPES = "messages, conversations, prompt and completion, input and output, or instruction and output"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a record holds.

    Attributes:
        where: File and line, for messages.
        messages: What is said in turn, as templates take it; of a pair, the question and the answer.
        pair: Whether the record is a question and its answer without roles.
        tools: Tools that the assistant may call, as the template takes them.
    """

    where: str
    messages: list[dict[str, Any]]
    pair: bool = False
    tools: Any = None


def read_conversation(record: Record) -> Conversation:
    """Return the conversation that a record holds.

    Known are ``messages`` as OpenAI has them (``role``, ``content``, perhaps ``weight`` 0 for an answer that is not to
    be learned); ShareGPT's ``conversations`` (``from``, ``value``); ``prompt`` and ``completion``, ``input`` and
    ``output``, ``question`` and ``answer``; and Alpaca's ``instruction``, ``input`` and ``output``.

    Raises:
        DataError: It is none of these, or has a mistake; the message names file, line and key.

    Example:
        >>> from pathlib import Path
        >>> shared = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}
        >>> read_conversation(Record(Path("a.jsonl"), "line", 1, shared)).messages
        [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello'}]
    """
    values, where = record.values, record.where
    if "messages" in values:
        messages = read_messages(values["messages"], where, "messages")
    elif "conversations" in values:
        messages = _share_gpt(values["conversations"], where)
    elif "instruction" in values:
        question = _text(values, "instruction", where)
        given = values.get("input")
        if given:
            question = f"{question}\n\n{_text(values, 'input', where)}"
        return _pair(question, _text(values, "output", where), where)
    else:
        for first, second in _PAIRS:
            if first in values and second in values:
                if isinstance(values[first], list):
                    parts = [read_messages(values[key], where, key) for key in (first, second)]
                    return _checked(Conversation(where, parts[0] + parts[1], tools=values.get("tools")))
                return _pair(_text(values, first, where), _text(values, second, where), where)
        keys = ", ".join(map(str, values)) or "none"
        raise DataError(f"{where}: is no conversation; its keys are {keys}", hint=f"it needs {_SHAPES}")
    return _checked(Conversation(where, messages, tools=values.get("tools")))


def read_messages(values: Any, where: str, key: str) -> list[dict[str, Any]]:
    """Return a list of messages if it is one.

    Args:
        values: What is to be it.
        where: File and line.
        key: What it is called there.

    Raises:
        DataError: It is not.
    """
    if not isinstance(values, (list, tuple)) or not values:
        raise DataError(f"{where}: {key} is {_brief(values)}, not a list of messages")
    messages = []
    for place, message in enumerate(values):
        at = f"{where}: {key}[{place}]"
        if not isinstance(message, Mapping):
            raise DataError(f"{at} is {_brief(message)}, not a message with role and content")
        role = message.get("role")
        if role not in _ROLES:
            raise DataError(f"{at}.role is {_brief(role)}", hint=_nearest(role) or f"roles are {', '.join(_ROLES)}")
        content = message.get("content")
        if isinstance(content, list):
            content = _joined(content, f"{at}.content")
        if content is not None and not isinstance(content, str):
            raise DataError(f"{at}.content is {_brief(content)}, not a text")
        if content is None and not message.get("tool_calls"):
            raise DataError(f"{at} has no content")
        weight = message.get("weight")
        if weight not in (None, 0, 1):
            raise DataError(f"{at}.weight is {_brief(weight)}, not 0 or 1")
        messages.append({**message, "content": content})
    return messages


def _joined(parts: list[Any], at: str) -> str:
    texts = []
    for place, part in enumerate(parts):
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            kind = part.get("type", "no text") if isinstance(part, Mapping) else _brief(part)
            raise DataError(f"{at}[{place}] is {kind}", hint="this is data of texts; images and sounds are not taken")
        texts.append(text)
    return "".join(texts)


def _share_gpt(values: Any, where: str) -> list[dict[str, Any]]:
    if (
        isinstance(values, (list, tuple))
        and values
        and all(isinstance(each, Mapping) and "role" in each for each in values)
    ):
        return read_messages(values, where, "conversations")
    if not isinstance(values, (list, tuple)) or not values:
        raise DataError(f"{where}: conversations is {_brief(values)}, not a list of messages")
    messages = []
    for place, message in enumerate(values):
        at = f"{where}: conversations[{place}]"
        if not isinstance(message, Mapping):
            raise DataError(f"{at} is {_brief(message)}, not a message with from and value")
        role = message.get("from")
        if role not in _SHAREGPT:
            hint = did_you_mean(str(role), sorted(_SHAREGPT)) or f"known are {', '.join(_SHAREGPT)}"
            raise DataError(f"{at}.from is {_brief(role)}", hint=hint)
        text = message.get("value")
        if not isinstance(text, str):
            raise DataError(f"{at}.value is {_brief(text)}, not a text")
        messages.append({"role": _SHAREGPT[role], "content": text})
    return messages


def _pair(question: str, answer: str, where: str) -> Conversation:
    return Conversation(
        where, [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], pair=True
    )


def _checked(conversation: Conversation) -> Conversation:
    if not any(message["role"] == "assistant" for message in conversation.messages):
        raise DataError(
            f"{conversation.where}: the assistant says nothing, so there is nothing to learn",
            hint="a conversation needs a message whose role is assistant",
        )
    return conversation


def _text(values: Mapping[str, Any], key: str, where: str) -> str:
    text = values.get(key)
    if not isinstance(text, str):
        raise DataError(f"{where}: {key} is {'missing' if key not in values else f'{_brief(text)}, not a text'}")
    return text


def _nearest(role: Any) -> str | None:
    return did_you_mean(role, list(_ROLES)) if isinstance(role, str) else None


def _brief(value: Any) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class ChatEncoder:
    """Turns conversations into tokens and a mask on those that are to be learned.

    Args:
        tokenizer: What makes the tokens.
        template: How conversations are written; None: as the tokenizer says, if it does.
        loss_on: What is to be learned: all that the ``assistant`` says, the ``last`` of it, or ``all`` of the text.
        pairs: How a question and its answer without roles are written: as a ``chat`` of user and assistant, or as
            ``text``, one behind the other and then the token for the end of a text; ``auto``: as a chat where there is
            a template.

    Example:
        >>> from nemo_llm.tokenizers import ByteTokenizer
        >>> encoder = ChatEncoder(ByteTokenizer(), pairs="text")
        >>> messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        >>> encoder.encode([Conversation("", messages, pair=True)])
        [([97, 98, 257], [0, 1, 1])]
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        template: ChatTemplate | None = None,
        loss_on: LossOn = "assistant",
        pairs: Pairs = "auto",
    ) -> None:
        for name, value, known in (("loss_on", loss_on, get_args(LossOn)), ("pairs", pairs, get_args(Pairs))):
            if value not in known:
                raise ConfigError(f"data.{name} is {value!r}", hint=f"one of {', '.join(known)}")
        if template is None and tokenizer.chat_template is not None:
            template = tokenizer.template
        if template is None and pairs == "chat":
            raise ConfigError(
                "data.pairs is 'chat', and there is no chat template", hint="give one: data.chat_template=chatml, say"
            )
        self.tokenizer, self.template, self.loss_on = tokenizer, template, loss_on
        self.as_chat = template is not None and pairs != "text"

    @property
    def settings(self) -> dict[str, Any]:
        """What decides on tokens and masks, besides the tokenizer."""
        source = None if self.template is None else self.template.source
        return {"loss_on": self.loss_on, "as_chat": self.as_chat, "template": source}

    def encode(self, conversations: Sequence[Conversation]) -> list[tuple[list[int], list[int]]]:
        """Return tokens (n,) and mask (n,) of each conversation.

        Raises:
            DataError: The template refuses one; the message names its file and line.
        """
        written = [self._write(conversation) for conversation in conversations]
        encoded = self.tokenizer.encode_with_spans([text for text, _ in written])
        found = []
        for conversation, (_, spans), (ids, places) in zip(conversations, written, encoded, strict=True):
            mask = [1] * len(ids) if self.loss_on == "all" else mask_of(places, spans)
            found.append(self._framed(ids, mask) if self._is_text(conversation) else (ids, mask))
        return found

    def _is_text(self, conversation: Conversation) -> bool:
        return conversation.pair and not self.as_chat

    def _framed(self, ids: list[int], mask: list[int]) -> tuple[list[int], list[int]]:
        bos, eos = self.tokenizer.bos_id, self.tokenizer.eos_id
        before = [] if bos is None or not self.tokenizer.adds_bos else [bos]
        behind = [] if eos is None else [eos]
        counts = int(self.loss_on == "all")
        return [*before, *ids, *behind], [*(counts for _ in before), *mask, *(1 for _ in behind)]

    def _write(self, conversation: Conversation) -> tuple[str, list[tuple[int, int]]]:
        """Return a conversation as text, and where in it that stands which is to be learned."""
        messages = conversation.messages
        if self._is_text(conversation):
            question, answer = messages[0]["content"], messages[1]["content"]
            return question + answer, [(len(question), len(question) + len(answer))]
        if self.template is None:
            raise ConfigError(
                f"{conversation.where}: there is no chat template, so nobody says how messages are written",
                hint="give one: data.chat_template=chatml, say",
            )
        known = {**self.tokenizer._token_names(), **({"tools": conversation.tools} if conversation.tools else {})}
        try:
            if self.loss_on == "all":
                return self.template.render(messages, **known), []
            text, spans = self.template.render_with_spans(messages, **known)
        except NemoError as error:
            raise type(error)(f"{conversation.where}: {error.message}", hint=error.hint) from None
        answers = [message for message in messages if message["role"] == "assistant"]
        kept = [span for span, answer in zip(spans, answers, strict=True) if answer.get("weight") != 0]
        return text, kept[-1:] if self.loss_on == "last" else kept


def mask_of(places: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[int]:
    """Return for each token whether it stands in one of ``spans``, if only in part; both are in order.

    >>> mask_of([(0, 2), (2, 3), (3, 6), (6, 6), (6, 8)], [(3, 5)])
    [0, 0, 1, 0, 0]
    """
    spans = [(start, end) for start, end in spans if start < end]
    mask, current = [], 0
    for start, end in places:
        while current < len(spans) and spans[current][1] <= start:
            current += 1
        # A byte of a character may have no length of its own.
        mask.append(int(current < len(spans) and max(end, start + 1) > spans[current][0]))
    return mask
