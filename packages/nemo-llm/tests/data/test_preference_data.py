"""Pairs of a better and a worse answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nemo_core.errors import DataError
from nemo_llm.data import PreferenceData
from nemo_llm.data.preference import read_preference
from nemo_llm.data.records import Record
from nemo_llm.tokenizers import ByteTokenizer

USER = {"role": "user", "content": "Hi"}
GOOD, BAD = {"role": "assistant", "content": "Hello"}, {"role": "assistant", "content": "Go away"}
SHAPES = [
    {"prompt": "Hi", "chosen": "Hello", "rejected": "Go away"},
    {"prompt": "Hi", "chosen": [GOOD], "rejected": [BAD]},
    {"prompt": [USER], "chosen": "Hello", "rejected": "Go away"},
    {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
    {"prompt": "Hi", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
]


def record(values):
    return Record(Path("train.jsonl"), "line", 3, values)


@pytest.fixture
def tokenizer():
    return ByteTokenizer(["<bos>", "<eos>", "<pad>", "<|im_start|>", "<|im_end|>"], chat_template="chatml")


@pytest.mark.parametrize("values", SHAPES, ids=range(len(SHAPES)))
def test_shapes_of_records_and_batches(values, tokenizer, tmp_path):
    for conversation, answer in zip(read_preference(record(values)), ("Hello", "Go away"), strict=True):
        assert [each["content"] for each in conversation.messages] == ["Hi", answer]
    path = tmp_path / "a.jsonl"
    path.write_text(f"{json.dumps(values)}\n" * 2)
    data = PreferenceData(
        path, tokenizer=tokenizer, sequence_length=100, global_batch_size=2, cache_dir=tmp_path / "cache"
    )
    [batch] = list(data.train_dataloader())
    parts = ("tokens", "labels", "loss_mask", "position_ids", "segment_ids")
    assert set(batch) == {f"{side}_{part}" for side in ("chosen", "rejected") for part in parts}
    assert len({value.shape for value in batch.values()}) == 1
    for side, answer in (("chosen", "Hello"), ("rejected", "Go away")):
        for row in range(2):
            counted = batch[f"{side}_labels"][row][batch[f"{side}_loss_mask"][row] > 0].tolist()
            assert tokenizer.decode(counted) == f"{answer}<|im_end|>"
            start = tokenizer.decode(batch[f"{side}_tokens"][row].tolist())
            assert start.startswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_only_the_last_answer_counts(tokenizer, tmp_path):
    before = [USER, GOOD, {"role": "user", "content": "And?"}]
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": before, "chosen": "yes", "rejected": "no"}))
    data = PreferenceData(path, tokenizer=tokenizer, sequence_length=200, global_batch_size=1, cache_dir=tmp_path)
    [batch] = list(data.train_dataloader())
    for side, answer in (("chosen", "yes"), ("rejected", "no")):
        counted = batch[f"{side}_labels"][0][batch[f"{side}_loss_mask"][0] > 0].tolist()
        assert tokenizer.decode(counted) == f"{answer}<|im_end|>"


def test_as_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(SHAPES[0]))
    tokenizer = ByteTokenizer()
    data = PreferenceData(path, tokenizer=tokenizer, sequence_length=64, global_batch_size=1, cache_dir=tmp_path)
    [batch] = list(data.train_dataloader())
    assert tokenizer.decode(batch["chosen_tokens"][0, :7].tolist()) == "HiHello"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"prompt": "a", "chosen": "b"}, "rejected is missing"),
        ({"chosen": "b", "rejected": "c"}, "prompt is missing"),
        ({"prompt": 3, "chosen": "b", "rejected": "c"}, "prompt is 3"),
        ({"prompt": "a", "chosen": "b", "rejected": [BAD]}, "rejected is no text"),
        ({"prompt": "a", "chosen": [GOOD], "rejected": "c"}, "rejected is 'c', not a list of messages"),
        ({"chosen": [USER, GOOD], "rejected": [USER]}, "rejected ends with a message of the user"),
        ({"chosen": [USER, GOOD], "rejected": [BAD]}, "chosen and rejected do not answer the same"),
        ({"prompt": [{"role": "bot"}], "chosen": [GOOD], "rejected": [BAD]}, r"prompt\[0\]\.role is 'bot'"),
    ],
)
def test_bad_records_are_named(values, said):
    with pytest.raises(DataError, match=f"train.jsonl, line 3: {said}"):
        read_preference(record(values))


def test_a_pair_stays_together(tokenizer, tmp_path):
    """If one side is too long to learn from, the other goes with it; evaluation is filled up with pairs."""
    long = {"prompt": "x" * 300, "chosen": "a", "rejected": "b"}
    short = {"prompt": "x", "chosen": "a", "rejected": "b"}
    one_long = {"prompt": "x", "chosen": "a", "rejected": "b" * 300}
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (long, short, one_long, short)))
    sizes = {}
    for truncation in ("right", "drop"):
        data = PreferenceData(
            path,
            validation=path,
            tokenizer=tokenizer,
            sequence_length=100,
            global_batch_size=2,
            truncation=truncation,
            cache_dir=tmp_path / "cache",
            shuffle=False,
        )
        sizes[truncation] = len(data.dataset("train"))
        batches = list(data.val_dataloader()[0])
        assert all(batch["chosen_tokens"].shape[0] == 2 for batch in batches)
    assert sizes == {"right": 3, "drop": 2}
