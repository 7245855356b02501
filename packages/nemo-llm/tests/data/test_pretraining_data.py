"""Data for pretraining: every token once per pass, whoever shares the work and wherever a run was stopped."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nemo_core.errors import ConfigError, DataError
from nemo_llm.data import PretrainingData, TokenWriter
from nemo_llm.data.prepare import prepare
from nemo_llm.tokenizers import ByteTokenizer


def write(prefix: Path, lengths, start: int = 0, dtype=np.int32) -> Path:
    with TokenWriter(prefix, dtype) as writer:
        for length in lengths:
            writer.add(range(start, start + length))
            start += length
    return prefix


@pytest.fixture
def numbers(tmp_path) -> Path:
    """30 documents, 420 tokens, all different."""
    return write(tmp_path / "numbers", [14] * 30)


def at(data: PretrainingData, rank: int = 0, replicas: int = 1, epoch: int = 0, batch: int = 0) -> PretrainingData:
    """Put data where a trainer would have it."""
    progress = SimpleNamespace(current=SimpleNamespace(completed=batch))
    data.trainer = SimpleNamespace(
        strategy=SimpleNamespace(distributed_sampler_kwargs={"rank": rank, "num_replicas": replicas}),
        current_epoch=epoch,
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress)),
    )
    return data


def tokens(loader) -> list[list[list[int]]]:
    return [batch["tokens"].tolist() for batch in loader]


def test_steps_do_not_depend_on_how_they_are_shared(numbers):
    def steps(replicas):
        ranks = [
            tokens(
                at(PretrainingData(numbers, sequence_length=6, global_batch_size=8), rank, replicas).train_dataloader()
            )
            for rank in range(replicas)
        ]
        return [sorted(itertools.chain(*step)) for step in zip(*ranks, strict=True)]

    alone = steps(1)
    assert len(alone) == 419 // 6 // 8
    assert alone == steps(2) == steps(4)
    with pytest.raises(ConfigError, match="global_batch_size is 8, which does not divide among 3"):
        steps(3)


@pytest.mark.parametrize("workers", [0, 2])
def test_going_on_is_the_same_as_never_stopping(numbers, workers):
    def epoch(number, batch):
        data = PretrainingData(numbers, sequence_length=6, global_batch_size=4, seed=2, num_workers=workers)
        return tokens(at(data, epoch=number, batch=batch).train_dataloader())

    for number in (0, 3):
        whole = epoch(number, 0)
        assert len(whole) == 17
        assert epoch(number, 5) == whole[5:]
    assert epoch(0, 0) != epoch(3, 0)


def test_every_token_once_per_pass_whatever_an_epoch_is(numbers):
    for epoch_size, batch in ((None, 4), (10, 5), (None, 64)):
        data = PretrainingData(numbers, sequence_length=6, global_batch_size=batch, epoch_size=epoch_size)
        labels = []
        for epoch in range(30):
            loader = at(data, epoch=epoch).train_dataloader()
            assert {len(each["labels"]) for each in loader} == {batch}
            labels += [row for each in loader for row in each["labels"].tolist()]
            if len(labels) >= 3 * 69:
                break
        for repetition in range(3):
            part = list(itertools.chain(*labels[repetition * 69 : (repetition + 1) * 69]))
            assert len(set(part)) == len(part) == 69 * 6


def test_blend_keeps_its_proportions_in_every_step(tmp_path):
    write(tmp_path / "a", [50] * 20)
    write(tmp_path / "b", [50] * 20, start=5000)
    weights = {str(tmp_path / "a"): 0.75, str(tmp_path / "b"): 0.25}
    data = at(PretrainingData(weights, sequence_length=10, global_batch_size=8))
    for batch in data.train_dataloader():
        assert int((batch["tokens"][:, 0] >= 5000).sum()) == 2
    with pytest.raises(ConfigError, match="weight 1 of the blend is 0"):
        PretrainingData({**weights, str(tmp_path / "b"): 0}, sequence_length=10, global_batch_size=8).dataset("train")
    both = PretrainingData(str(tmp_path / "*"), sequence_length=10, global_batch_size=2)
    assert [Path(file.prefix).name for file in both.train_files] == ["a", "b"]
    firsts = Counter(row[0] >= 5000 for step in tokens(both.train_dataloader()) for row in step)
    assert firsts == {False: 99, True: 99}


def test_split_by_parts(numbers):
    data = PretrainingData(numbers, split="80,10,10", sequence_length=6, global_batch_size=4, shuffle=False)
    assert tokens(data.train_dataloader())[0][0] == [0, 1, 2, 3, 4, 5]
    found = {}
    for split, loaders in (("validation", data.val_dataloader()), ("test", data.test_dataloader())):
        batches = list(loaders[0])
        assert {len(batch["tokens"]) for batch in batches} == {4}
        labels = [batch["labels"][batch["loss_mask"] > 0].tolist() for batch in batches]
        found[split] = list(itertools.chain(*labels))
    assert found == {"validation": list(range(24 * 14 + 1, 27 * 14)), "test": list(range(27 * 14 + 1, 420))}
    assert PretrainingData(numbers, split=[9, 1], sequence_length=6, global_batch_size=4).dataset("test") is None


def test_validation_counts_every_token_once_among_several(numbers, tmp_path):
    write(tmp_path / "more", [9], start=1000)
    sets = {"same": str(numbers), "more": [str(tmp_path / "more")]}
    expected = {"same": list(range(1, 420)), "more": list(range(1001, 1009))}
    for replicas in (1, 2, 4):
        found = {name: [] for name in sets}
        for rank in range(replicas):
            data = PretrainingData(numbers, sets, sequence_length=16, global_batch_size=4)
            loaders = at(data, rank, replicas).val_dataloader()
            for name, loader in zip(data.names("validation"), loaders, strict=True):
                found[name] += [label for batch in loader for label in batch["labels"][batch["loss_mask"] > 0].tolist()]
        assert {name: sorted(labels) for name, labels in found.items()} == expected
    data = PretrainingData(numbers, tmp_path / "more.idx", sequence_length=16, global_batch_size=4)
    assert data.names("validation") == []
    assert len(data.val_dataloader()) == 1
    assert data.test_dataloader() == []


def test_tokens_of_another_vocabulary(tmp_path, numbers):
    (tmp_path / "lines.jsonl").write_text(json.dumps({"text": "to be or not to be"}))
    prepare([tmp_path / "lines.jsonl"], tmp_path / "prepared", ByteTokenizer())
    options = {"sequence_length": 4, "global_batch_size": 1}
    assert len(PretrainingData(tmp_path / "prepared", vocab_size=259, **options).dataset("train")) == 4
    with pytest.raises(DataError, match="tokenizer of 259 tokens, but the model has 200"):
        PretrainingData(tmp_path / "prepared", vocab_size=200, **options)
    # Of a file that others made it is seen when the token is.
    with pytest.raises(DataError, match=r"numbers\.bin has the token"):
        tokens(PretrainingData(numbers, vocab_size=200, **options).train_dataloader())


def test_documents_kept_apart(numbers):
    data = PretrainingData(
        numbers,
        sequence_length=20,
        global_batch_size=2,
        reset_position_ids=True,
        reset_attention_mask=True,
        eod_mask_loss=True,
    )
    batch = next(iter(data.train_dataloader()))
    assert {name: (tuple(value.shape), str(value.dtype)) for name, value in batch.items()} == {
        "tokens": ((2, 20), "torch.int64"),
        "labels": ((2, 20), "torch.int64"),
        "loss_mask": ((2, 20), "torch.float32"),
        "position_ids": ((2, 20), "torch.int64"),
        "segment_ids": ((2, 20), "torch.int32"),
    }
    assert int(batch["segment_ids"].max()) >= 2
    assert int(batch["position_ids"].max()) <= 13


def test_what_cannot_be(tmp_path, numbers):
    options = {"sequence_length": 6, "global_batch_size": 4}
    with pytest.raises(DataError, match=r"none\.idx is not there"):
        PretrainingData(tmp_path / "none", **options)
    with pytest.raises(DataError, match="names no token file"):
        PretrainingData(str(tmp_path / "n*.x*"), **options)
    with pytest.raises(ConfigError, match="no token files"):
        PretrainingData([], **options)
    with pytest.raises(ConfigError, match=r"data\.split"):
        PretrainingData(numbers, numbers, split="9,1", **options)
    for split in ("", "0,1", "a,b", "1,1,1,1", "-1,2", "nan"):
        with pytest.raises(ConfigError, match=r"data\.split is"):
            PretrainingData(numbers, split=split, **options)
    with pytest.raises(DataError, match="validation part has no tokens"):
        PretrainingData(numbers, split="999,1", **options).dataset("validation")
    with pytest.raises(DataError, match="do not make one sequence of 1000"):
        PretrainingData(numbers, sequence_length=1000, global_batch_size=1).dataset("train")
    with pytest.raises(ConfigError, match="epoch_size"):
        PretrainingData(numbers, epoch_size=0, **options)
    for name in options:
        with pytest.raises(ConfigError, match=name):
            PretrainingData(numbers, **{**options, name: 0})
    write(tmp_path / "floats", [5], dtype=np.float32)
    with pytest.raises(DataError, match="float32 are no numbers"):
        PretrainingData(tmp_path / "floats", **options)
    glob_like = write(tmp_path / "a[1]", [20])
    assert PretrainingData(glob_like, **options).train_files[0].tokens == 20
