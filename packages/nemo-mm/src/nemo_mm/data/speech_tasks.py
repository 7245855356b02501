"""Plain speech turned into conversations: what is asked about it, and what the answer is."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nemo_core.audio.manifest import Manifest
from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError
from nemo_core.plugins.nearest import did_you_mean
from nemo_llm.data.chat import Conversation
from nemo_mm.data.spoken import AUDIO_MARK, AudioPolicy, SkippedRow, SpokenRow

__all__ = ["SpeechMixture", "SpeechTask", "SpeechTasks", "parse_tasks"]

#: What an answer may name besides the fields of a manifest, and how it follows from the words that are said.
_DERIVED = {
    "count": lambda words: str(len(words)),
    "first": lambda words: words[0] if words else "",
    "last": lambda words: words[-1] if words else "",
    "reversed": lambda words: " ".join(reversed(words)),
}


@dataclass(frozen=True, slots=True)
class SpeechTask:
    """What is asked about speech.

    Attributes:
        name: Of the task.
        prompts: Ways to ask; ``<audio>`` says where the audio stands, before the text if it is not there.
        answer: The answer, with names of fields in braces.
        weight: How often it is asked in training, in proportion.
        words: What words become in ``{translated}``.
    """

    name: str
    prompts: tuple[str, ...]
    answer: str = "{text}"
    weight: float = 1.0
    words: Mapping[str, str] = field(default_factory=dict)

    def answer_to(self, text: str, fields: Mapping[str, Any], where: str) -> str:
        """Return the answer about an utterance.

        Args:
            text: What is said.
            fields: What else is known of the utterance.
            where: File and line, for messages.

        Raises:
            DataError: The answer names a field that the utterance does not have.
        """
        words = text.split()
        known: dict[str, Any] = {name: make(words) for name, make in _DERIVED.items()}
        known["translated"] = " ".join(self.words.get(word, word) for word in words)
        known |= {name: value for name, value in fields.items() if value is not None} | {"text": text}
        try:
            return self.answer.format_map(known)
        except KeyError as error:
            name = str(error.args[0])
            raise DataError(
                f"{where}: the answer of task {self.name} names {{{name}}}, which the utterance does not have",
                hint=did_you_mean(name, sorted(known)) or f"it has {', '.join(sorted(known))}",
            ) from None


def parse_tasks(given: Mapping[str, Any]) -> list[SpeechTask]:
    """Return the tasks that a recipe describes.

    Args:
        given: Name of each task -> ``prompts`` (one, or a list), ``answer``, ``weight`` and ``words``; or only the
            prompt of a task whose answer is what is said.

    Raises:
        ConfigError: There is none, or one has a mistake.

    Example:
        >>> parse_tasks({"count": {"prompts": "How many words?", "answer": "{count}"}})[0].answer
        '{count}'
    """
    if not given:
        raise ConfigError("tasks: there is none", hint="tasks: {transcribe: Transcribe the speech.}")
    tasks = []
    for name, value in given.items():
        where, values = f"tasks.{name}", dict(value) if isinstance(value, Mapping) else {"prompts": value}
        known = ("prompts", "answer", "weight", "words")
        for key in values:
            if key not in known:
                raise ConfigError(f"{where}.{key} is not a key", hint=did_you_mean(str(key), known))
        prompts = values.get("prompts")
        prompts = [prompts] if isinstance(prompts, str) else list(prompts or ())
        if not prompts or not all(isinstance(prompt, str) and prompt.strip() for prompt in prompts):
            raise ConfigError(f"{where}.prompts is {values.get('prompts')!r}", hint="give a text, or a list of texts")
        for prompt in prompts:
            if prompt.count(AUDIO_MARK) > 1:
                raise ConfigError(f"{where}: {prompt!r} has {AUDIO_MARK} more than once", hint="an utterance is one")
        answer, weight = values.get("answer", "{text}"), values.get("weight", 1.0)
        _check_answer(answer, f"{where}.answer")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < float("inf"):
            raise ConfigError(f"{where}.weight is {weight!r}", hint="give a number, at least 0")
        marked = tuple(prompt if AUDIO_MARK in prompt else f"{AUDIO_MARK}{prompt}" for prompt in prompts)
        tasks.append(SpeechTask(str(name), marked, answer, float(weight), dict(values.get("words") or {})))
    if not any(task.weight for task in tasks):
        raise ConfigError("tasks: all weights are 0")
    return tasks


def _check_answer(answer: Any, where: str) -> None:
    if not isinstance(answer, str):
        raise ConfigError(f"{where} is {answer!r}, not a text")
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(answer) if name is not None]
    except ValueError as error:
        raise ConfigError(f"{where} is {answer!r}: {error}", hint="write {{ for a brace") from None
    for name in names:
        if not name.isidentifier():
            raise ConfigError(f"{where} names {{{name}}}", hint="a field is a plain name, such as {text}")


class SpeechTasks(Configured):
    """Speech with its text, asked about.

    In training an utterance is asked ``questions`` in one conversation, drawn by the weights of the tasks, no task
    twice, in any order. In evaluation each is asked every question in a conversation of its own, in the first of its
    wordings: item i is utterance ``i // tasks`` and task ``i % tasks``.

    Answers name what is known: ``{text}``, fields of the manifest's lines (``{translation}``), and what follows from
    the words: ``{count}``, ``{first}``, ``{last}``, ``{reversed}``, and ``{translated}``, word by word with the table
    ``words`` of the task.

    Args:
        speech: A manifest (:class:`~nemo_core.audio.manifest.Manifest`), a list of them, or a data set of utterances:
            items with ``audio`` (T,), ``text``, ``name`` and ``fields``, ``sample_rate``, perhaps
            ``sample(index, rng)`` and ``lengths``, such as ``asr.ConnectedDigits``.
        tasks: What is asked; see :func:`parse_tasks`.
        questions: How many an utterance is asked in training; the audio is heard once for all.
        training: Whether the set is for training: then it is as long as there are utterances.
        sample_rate: Of the audio handed out, Hz.
        channel: Which channel of files that have several.
        resample: If false, audio of another rate is bad instead of being resampled.
        on_bad_audio: ``raise`` an error that names file and line, or ``skip`` the row, log why and count it.

    Example:
        >>> import tempfile, soundfile
        >>> from nemo_core.audio.manifest import write_manifest
        >>> folder = Path(tempfile.mkdtemp())
        >>> soundfile.write(folder / "a.wav", np.zeros(8000), 8000)
        >>> write_manifest(folder / "a.jsonl", [{"audio_filepath": "a.wav", "text": "one two"}])
        >>> asked = {"hear": "Write it down.", "count": {"prompts": "How many words?", "answer": "{count}"}}
        >>> tasks = SpeechTasks(folder / "a.jsonl", asked, sample_rate=8000)
        >>> [tasks[index].conversation.messages[1]["content"] for index in range(len(tasks))], tasks.kinds
        (['one two', '2'], ['hear', 'count'])
    """

    def __init__(
        self,
        speech: Any,
        tasks: Mapping[str, Any],
        sample_rate: int = 16000,
        *,
        questions: int = 1,
        training: bool = False,
        channel: int | str | None = None,
        resample: bool = True,
        on_bad_audio: Literal["raise", "skip"] = "raise",
    ) -> None:
        self.policy = AudioPolicy(sample_rate, channel, resample, on_bad_audio)
        self.tasks = parse_tasks(tasks)
        if isinstance(speech, (str, Path)):
            speech = [speech]
        files = isinstance(speech, Sequence) and all(isinstance(each, (str, Path)) for each in speech)
        self.speech: Any = _Recordings(Manifest(speech, require_text=True), self.policy) if files else speech
        asked = sum(1 for task in self.tasks if task.weight)
        if not 1 <= questions <= asked:
            raise ConfigError(f"questions is {questions}", hint=f"from 1 to the {asked} tasks that have a weight")
        self.questions, self.training = questions, training
        weights = np.array([task.weight for task in self.tasks])
        self._rates: np.ndarray = weights / weights.sum()

    @property
    def kinds(self) -> list[str]:
        """Names of the tasks, by the number that a row's ``kind`` is."""
        return [task.name for task in self.tasks]

    def __len__(self) -> int:
        return len(self.speech) * self._each

    @property
    def _each(self) -> int:
        """Items about an utterance."""
        return 1 if self.training else len(self.tasks)

    def __getitem__(self, index: int) -> SpokenRow | SkippedRow:
        utterance, kind = divmod(range(len(self))[index], self._each)
        asked = range(len(self.tasks)) if self.training else [kind]
        try:
            return self._row(self.speech[utterance], [(each, self.tasks[each].prompts[0]) for each in asked])
        except DataError as error:
            return self.policy.skipped(error)

    def sample(self, index: int, rng: np.random.Generator) -> SpokenRow | SkippedRow:
        """Return a row about an utterance; the questions, their wordings and all else are drawn from ``rng``."""
        drawn = rng.choice(len(self.tasks), self.questions, replace=False, p=self._rates)
        asked = []
        for kind in drawn.tolist():
            prompts = self.tasks[kind].prompts
            asked.append((kind, prompts[int(rng.integers(len(prompts)))]))
        utterance = range(len(self))[index] // self._each
        draw = getattr(self.speech, "sample", None)
        try:
            return self._row(self.speech[utterance] if draw is None else draw(utterance, rng), asked)
        except DataError as error:
            return self.policy.skipped(error)

    @property
    def lengths(self) -> np.ndarray:
        """Seconds of every row's audio (N,)."""
        return np.repeat(np.asarray(self.speech.lengths), self._each)

    def _row(self, utterance: Any, asked: Sequence[tuple[int, str]]) -> SpokenRow:
        where = utterance.name
        rate = getattr(self.speech, "sample_rate", self.policy.sample_rate)
        audio = np.asarray(utterance.audio, np.float32)
        if rate != self.policy.sample_rate:
            audio = self._resampled(audio, rate, where)
        messages = []
        for place, (kind, prompt) in enumerate(asked):
            question = prompt if place == 0 else prompt.replace(AUDIO_MARK, "").strip()
            answer = self.tasks[kind].answer_to(utterance.text, utterance.fields, where)
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return SpokenRow(Conversation(where, messages), [audio], asked[0][0], [utterance.text])

    def _resampled(self, audio: np.ndarray, rate: int, where: str) -> np.ndarray:
        from nemo_core.audio.files import prepare_samples

        if not self.policy.resample:
            raise DataError(
                f"{where}: its sample rate is {rate} Hz, not {self.policy.sample_rate} Hz", hint="allow resampling"
            )
        return prepare_samples(audio, rate, self.policy.sample_rate, name=where)


@dataclass(frozen=True, slots=True)
class _Recording:
    audio: np.ndarray
    text: str
    name: str
    fields: Mapping[str, Any]


class _Recordings(Sequence[_Recording]):
    """The utterances of a manifest, decoded when they are asked for."""

    def __init__(self, manifest: Manifest, policy: AudioPolicy) -> None:
        self.manifest, self.policy = manifest, policy

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, index: Any) -> Any:
        entry = self.manifest[index]
        audio = self.policy.read(entry.audio, entry.where, offset=entry.offset, duration=entry.duration)
        return _Recording(audio, entry.text, entry.where, entry.fields)

    def __iter__(self) -> Iterator[_Recording]:
        return (self[index] for index in range(len(self)))

    @property
    def lengths(self) -> np.ndarray:
        """Seconds of every utterance (N,), as the manifest says."""
        return self.manifest.durations()


class SpeechMixture(Configured):
    """Data sets mixed by weight: speech of several kinds, and rows of text.

    Each item of training is drawn from one of the sets with a probability that is its share of the weights, and within
    it from all items alike; what comes is a function of seed, epoch and index.

    Args:
        sets: Data sets of rows, by name.
        weights: Of each, by the same names; those that are not named have 1.
        size: Items in an epoch; that of all sets together if not given.

    Example:
        >>> mixture = SpeechMixture({"a": [1, 2], "b": [3]}, {"b": 0.5})
        >>> len(mixture), {mixture.sample(index, np.random.default_rng(index)) for index in range(30)}
        (3, {1, 2, 3})
    """

    def __init__(
        self, sets: Mapping[str, Any], weights: Mapping[str, float] | None = None, size: int | None = None
    ) -> None:
        weights = dict(weights or {})
        if not sets:
            raise ConfigError("mixture: there are no sets")
        for name, weight in weights.items():
            if name not in sets:
                raise ConfigError(f"weights.{name}: there is no such set", hint=did_you_mean(name, list(sets)))
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < float("inf"):
                raise ConfigError(f"weights.{name} is {weight!r}", hint="give a number, at least 0")
        self.sets = dict(sets)
        self._rates: np.ndarray = np.cumsum([float(weights.get(name, 1.0)) for name in sets])
        if not self._rates[-1] > 0:
            raise ConfigError("mixture: all weights are 0")
        self._members = list(self.sets.values())
        self._ends: np.ndarray = np.cumsum([len(each) for each in self._members])
        self.size = int(self._ends[-1]) if size is None else size
        if self.size < 1:
            raise ConfigError(f"mixture: size is {size}", hint="give at least 1")

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        """Return item ``index`` of the sets one behind the other, without regard to the weights."""
        index = range(self.size)[index] % int(self._ends[-1])
        place = int(np.searchsorted(self._ends, index, side="right"))
        return self._members[place][index - (int(self._ends[place - 1]) if place else 0)]

    def sample(self, index: int, rng: np.random.Generator) -> Any:
        """Return an item drawn from ``rng``."""
        place = int(np.searchsorted(self._rates, rng.random() * self._rates[-1], side="right"))
        chosen = self._members[place]
        item = int(rng.integers(len(chosen)))
        draw = getattr(chosen, "sample", None)
        return chosen[item] if draw is None else draw(item, rng)
