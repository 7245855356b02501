"""Plain speech, asked about; and sets mixed by weight."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import soundfile

from nemo_core.audio.manifest import write_manifest
from nemo_core.errors import ConfigError, DataError
from nemo_mm.data.speech_tasks import SpeechMixture, SpeechTasks, parse_tasks

TASKS = {
    "hear": "Write it down.",
    "count": {"prompts": ["How many?", "Count <audio>!"], "answer": "{count}", "weight": 3},
    "german": {"prompts": "In German?", "answer": "{translated}", "words": {"one": "eins", "two": "zwei"}},
    "never": {"prompts": "Never?", "answer": "{first} {last}: {reversed}", "weight": 0},
}


@dataclass
class Said:
    audio: np.ndarray
    text: str
    name: str
    fields: dict[str, Any] = field(default_factory=dict)


class Drawn:
    """A data set of utterances that draws."""

    sample_rate = 8000
    lengths = np.array([0.1, 0.2])

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Said:
        return Said(np.zeros(800 * (index + 1), np.float32), "one two", f"said {index}")

    def sample(self, index: int, rng: np.random.Generator) -> Said:
        return Said(rng.standard_normal(800 * (index + 1)).astype(np.float32), "two", f"drawn {index}")


def texts(row) -> list[str]:
    return [message["content"] for message in row.conversation.messages]


def test_evaluation_asks_everything_of_everyone():
    tasks = SpeechTasks(Drawn(), TASKS, 8000)
    assert len(tasks) == 8
    assert [texts(tasks[index]) for index in range(4)] == [
        ["<audio>Write it down.", "one two"],
        ["<audio>How many?", "2"],
        ["<audio>In German?", "eins zwei"],
        ["<audio>Never?", "one two: two one"],
    ]
    assert [tasks[index].kind for index in range(8)] == [0, 1, 2, 3] * 2
    assert len(tasks[7].audio[0]) == 1600
    assert tasks.lengths.tolist() == [0.1] * 4 + [0.2] * 4


def test_training_asks_some_questions_by_weight():
    tasks = SpeechTasks(Drawn(), TASKS, 8000, questions=2, training=True)
    assert len(tasks) == 2
    asked: Counter[int] = Counter()
    for seed in range(300):
        row = tasks.sample(1, np.random.default_rng(seed))
        said = texts(row)
        assert len(said) == 4
        assert said[0] != said[2]
        assert sum(text.count("<audio>") for text in said) == 1
        asked[row.kind] += 1
    assert asked[3] == 0
    assert 0.5 < asked[1] / 300 < 0.7  # the weight is 3 of 5
    once, again = (tasks.sample(0, np.random.default_rng(7)) for _ in range(2))
    assert texts(once) == texts(again)
    assert (once.audio[0] == again.audio[0]).all()


def test_manifests_and_their_fields(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    entry = {"audio_filepath": "a.wav", "text": "hello", "duration": 1.0, "translation": "hallo"}
    write_manifest(tmp_path / "a.jsonl", [entry, {**entry, "translation": None}, {**entry, "audio_filepath": "b.wav"}])
    asked = {"translate": {"prompts": "Translate.", "answer": "{translation}"}}
    tasks = SpeechTasks(tmp_path / "a.jsonl", asked, 8000, on_bad_audio="skip")
    assert texts(tasks[0]) == ["<audio>Translate.", "hallo"]
    assert len(tasks[0].audio[0]) == 8000
    assert tasks.lengths.tolist() == [1.0, 1.0, 1.0]
    assert "line 2: the answer of task translate names {translation}" in tasks[1].reason
    assert "line 3" in tasks[2].reason
    with pytest.raises(DataError, match=r"line 3: .*b.wav: there is no such file"):
        SpeechTasks(tmp_path / "a.jsonl", asked, 8000)[2]
    with pytest.raises(DataError, match=r"line 1: the answer of task x names \{translaton\}") as caught:
        SpeechTasks(tmp_path / "a.jsonl", {"x": {"prompts": "?", "answer": "{translaton}"}}, 8000)[0]
    assert "translation" in (caught.value.hint or "")


def test_another_rate_of_a_data_set():
    assert len(SpeechTasks(Drawn(), TASKS, 16000)[0].audio[0]) == 1600
    with pytest.raises(DataError, match=r"said 0: its sample rate is 8000 Hz, not 16000 Hz"):
        SpeechTasks(Drawn(), TASKS, 16000, resample=False)[0]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({}, "there is none"),
        ({"a": {"answer": "x"}}, "tasks.a.prompts is None"),
        ({"a": {"prompt": "x"}}, "tasks.a.prompt is not a key"),
        ({"a": "<audio> or <audio>?"}, "more than once"),
        ({"a": {"prompts": "x", "answer": "{text.__class__}"}}, "a.answer names {text.__class__}"),
        ({"a": {"prompts": "x", "answer": "{"}}, "a.answer is '{'"),
        ({"a": {"prompts": "x", "weight": -1}}, "a.weight is -1"),
        ({"a": {"prompts": "x", "weight": 0}}, "all weights are 0"),
    ],
)
def test_mistakes_in_tasks_are_named(tasks, message):
    with pytest.raises(ConfigError) as caught:
        parse_tasks(tasks)
    assert message in caught.value.message


def test_more_questions_than_tasks():
    with pytest.raises(ConfigError, match=r"questions is 4"):
        SpeechTasks(Drawn(), TASKS, questions=4)


def test_mixtures_follow_their_weights():
    mixture = SpeechMixture({"many": list(range(100)), "few": ["text"]}, {"few": 3.0}, size=1000)
    drawn = [mixture.sample(index, np.random.default_rng(index)) for index in range(1000)]
    assert 0.7 < drawn.count("text") / 1000 < 0.8
    assert len({each for each in drawn if each != "text"}) > 80
    assert [mixture[index] for index in (0, 99, 100, 101)] == [0, 99, "text", 0]
    with pytest.raises(ConfigError, match=r"weights.fwe"):
        SpeechMixture({"few": [1]}, {"fwe": 1})
