"""Batches of conversations with audio."""

import json

import numpy as np
import pytest
import soundfile
import torch

from nemo_core.errors import ConfigError, DataError
from nemo_mm.data.speech_chat import SpeechChatData
from nemo_mm.data.speech_tasks import SpeechMixture
from nemo_mm.data.spoken import SpeechConversations
from nemo_mm.data.word_tokenizer import word_tokenizer

TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'user' %}<user>{{ m.content }}{% else %}<assistant>"
    "{% generation %}{{ m.content }}<end>{% endgeneration %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
SPECIAL = ["<audio>", "<user>", "<assistant>", "<end>"]


def tokenizer(special=SPECIAL):
    words = "what is it one two no yes . ?"
    return word_tokenizer(words, special, eos_token="<end>", pad_token="<end>", chat_template=TEMPLATE)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, length in (("a", 4000), ("b", 801)):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(length), 8000)
    pairs = [
        {"prompt": "<audio>what is it?", "completion": "one", "audio": "a.wav"},
        {"prompt": "<audio><audio>what?", "completion": "one two", "audio": ["a.wav", "b.wav"]},
        {"prompt": "it is <audio>?", "completion": "two", "audio": "b.wav"},
        {"prompt": "is it?", "completion": "no"},
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    (tmp_path / "text.jsonl").write_text(json.dumps(pairs[3]) + "\n", encoding="utf-8")
    return tmp_path


def data(train, **options):
    settings = {"samples_per_embedding": 800, "sample_rate": 8000, "sequence_length": 32, "global_batch_size": 4}
    return SpeechChatData(train, tokenizer=tokenizer(), **{**settings, "shuffle": False, **options})


def test_a_batch(folder):
    batch = next(iter(data(folder / "train.jsonl").train_dataloader()))
    known = tokenizer()
    mark = known.special_tokens["<audio>"]
    assert (batch["tokens"] == mark).sum(1).tolist() == [5, 7, 2, 0]
    assert batch["audio"].shape == (4, 2, 4000)
    assert batch["audio_length"].tolist() == [[4000, 0], [4000, 801], [801, 0], [0, 0]]
    assert batch["audio_counts"].tolist() == [1, 2, 1, 0]
    answers = [
        known.decode([token for token, counts in zip(row, mask, strict=True) if counts], skip_special_tokens=False)
        for row, mask in zip(batch["labels"].tolist(), batch["loss_mask"].tolist(), strict=True)
    ]
    assert [answer.replace(" ", "") for answer in answers] == ["one<end>", "onetwo<end>", "two<end>", "no<end>"]


def test_a_batch_with_what_is_said(folder):
    records = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    records[0]["transcript"] = "it is"
    records[1]["transcript"] = ["two", "one no yes"]
    (folder / "said.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    batch = next(iter(data(folder / "said.jsonl", transcripts=True).train_dataloader()))
    known, length = tokenizer(), batch["transcript_length"]
    assert length.tolist() == [[2, 0], [1, 3], [0, 0], [0, 0]]
    assert batch["transcript"].shape == (4, 2, 3)
    assert known.decode(batch["transcript"][0, 0, :2].tolist()) == "it is"
    assert known.decode(batch["transcript"][1, 1].tolist()) == "one no yes"
    assert "transcript" not in next(iter(data(folder / "said.jsonl").train_dataloader()))
    text = next(iter(data(folder / "text.jsonl", transcripts=True, global_batch_size=1).train_dataloader()))
    assert (text["transcript"].shape, text["transcript_length"].shape) == ((1, 0, 0), (1, 0))


def test_another_token_may_keep_the_places(folder):
    known = tokenizer(["<spare>", *SPECIAL[1:]])
    made = SpeechChatData(
        folder / "train.jsonl",
        tokenizer=known,
        media_token="<spare>",
        samples_per_embedding=800,
        sample_rate=8000,
        global_batch_size=4,
        shuffle=False,
    )
    batch = next(iter(made.train_dataloader()))
    assert (batch["tokens"] == known.special_tokens["<spare>"]).sum(1).tolist() == [5, 7, 2, 0]


def test_a_batch_of_text_only(folder):
    batch = next(iter(data(folder / "text.jsonl", global_batch_size=1).train_dataloader()))
    assert batch["audio"].shape == (1, 0, 0)
    assert batch["audio_counts"].tolist() == [0]


def test_text_is_mixed_in(folder):
    sets = {
        "speech": SpeechConversations(folder / "train.jsonl", 8000),
        "text": SpeechConversations(folder / "text.jsonl"),
    }
    loader = data(SpeechMixture(sets, {"text": 2.0}, size=64), global_batch_size=8, seed=3).train_dataloader()
    batches = list(loader)
    counts = torch.cat([batch["audio_counts"] for batch in batches])
    assert 0.6 < float((counts == 0).float().mean()) < 0.95


def test_batches_resume_exactly_and_workers_do_not_matter(folder):
    def batches(workers, start):
        sets = {"speech": SpeechConversations(folder / "train.jsonl", 8000)}
        made = data(SpeechMixture(sets, size=24), shuffle=True, seed=5, num_workers=workers)
        loader = made.train_dataloader()
        loader._position = lambda: (1, start)
        return list(loader)

    whole, rest, elsewhere = batches(0, 0), batches(0, 3), batches(2, 3)
    for expected, found, other in zip(whole[3:], rest, elsewhere, strict=True):
        for name, value in expected.items():
            assert torch.equal(value, found[name])
            assert torch.equal(value, other[name])


def test_bad_audio_is_skipped_and_counted(folder):
    (folder / "b.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"train.jsonl, line 2"):
        next(iter(data(folder / "train.jsonl").train_dataloader()))
    batch = next(iter(data(folder / "train.jsonl", on_bad_audio="skip").train_dataloader()))
    assert batch["skipped"].tolist() == [0, 1, 1, 0]
    assert batch["loss_mask"][1:3].sum() == 0
    assert batch["audio_counts"].tolist() == [1, 0, 0, 0]


def test_a_row_that_is_too_long(folder):
    with pytest.raises(DataError, match=r"train.jsonl, line 2: the row has \d+ tokens, embeddings of its audio"):
        next(iter(data(folder / "train.jsonl", sequence_length=12).train_dataloader()))
    batch = next(iter(data(folder / "train.jsonl", sequence_length=12, on_bad_audio="skip").train_dataloader()))
    assert batch["skipped"].tolist() == [0, 1, 0, 0]


def test_evaluation_is_filled_up_with_what_counts_for_nothing(folder):
    made = SpeechChatData(
        validation=folder / "train.jsonl",
        tokenizer=tokenizer(),
        samples_per_embedding=800,
        sample_rate=8000,
        global_batch_size=3,
    )
    batches = list(made.val_dataloader()[0])
    assert [len(batch["tokens"]) for batch in batches] == [3, 3]
    assert batches[1]["loss_mask"].any(1).tolist() == [True, False, False]


def test_settings_that_do_not_fit(folder):
    with pytest.raises(ConfigError, match=r"no special token <audio>"):
        SpeechChatData(tokenizer=tokenizer(SPECIAL[1:]), samples_per_embedding=800)
    with pytest.raises(ConfigError, match=r"samples_per_embedding is 0"):
        data(None, samples_per_embedding=0)
    with pytest.raises(ConfigError, match=r"on_bad_audio is 'ignore'"):
        data(None, on_bad_audio="ignore")
