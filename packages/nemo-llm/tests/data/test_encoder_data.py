"""Masked texts and missing spans: only what is to be guessed counts, and nothing of the text is lost."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nemo_core.errors import ConfigError
from nemo_llm.data import MaskedTextData, Masking, SpanCorruption, SpanCorruptionData
from nemo_llm.data.spans import restore
from nemo_llm.tokenizers import CharacterTokenizer

SENTINELS = tuple(range(1000, 1200))


@given(st.integers(1, 60), st.floats(0.01, 0.99), st.booleans(), st.integers(0, 2**32 - 1))
def test_only_guessed_tokens_differ_and_count(length: int, probability: float, framed: bool, seed: int) -> None:
    frame = {"start_id": 101, "end_id": 102} if framed else {}
    make = Masking(64, 100, np.arange(100), probability, pad_id=103, **frame)
    text = np.arange(length)
    item = make(text, np.random.default_rng(seed))
    guessed = item["loss_mask"] == 1
    assert item["loss_mask"].sum() == max(1, round(probability * length))
    assert (item["tokens"] == item["labels"])[~guessed].all()
    inside = item["labels"][item["segment_ids"] == 1].tolist()
    assert inside == ([101, *text, 102] if framed else text.tolist())
    assert (item["labels"][guessed] < 100).all()  # neither frame nor padding is guessed
    assert ((item["tokens"][guessed] < 100) | (item["tokens"][guessed] == 100)).all()
    assert (item["tokens"][item["segment_ids"] == 0] == 103).all()


def test_eight_of_ten_become_the_mask() -> None:
    make, rng = Masking(512, 100, np.arange(100)), np.random.default_rng(0)
    items = [make(rng.integers(100, size=512), rng) for _ in range(100)]
    tokens, labels, counts = (np.stack([item[name] for item in items]) for name in ("tokens", "labels", "loss_mask"))
    guessed = counts == 1
    assert guessed.mean() == pytest.approx(0.15, abs=0.001)
    assert (tokens[guessed] == 100).mean() == pytest.approx(0.8, abs=0.02)
    assert (tokens[guessed] == labels[guessed]).mean() == pytest.approx(0.1, abs=0.02)


@given(
    st.integers(4, 80), st.floats(0.05, 0.7), st.floats(1, 6), st.floats(0, 1), st.integers(0, 2**32 - 1)
)  # fmt: skip
def test_spans_restore_the_text(size: int, density: float, mean: float, part: float, seed: int) -> None:
    make = SpanCorruption(size, SENTINELS, density, mean, start_id=998, end_id=999, pad_id=998)
    text = np.arange(max(1, round(part * make.room)))
    item = make(text, np.random.default_rng(seed))
    source = item["tokens"][item["segment_ids"] == 1].tolist()
    target = item["labels"][item["loss_mask"] == 1].tolist()
    assert restore(source, target, SENTINELS, 999) == text.tolist()
    assert source[-1] == target[-1] == 999
    assert item["decoder_tokens"][: len(target)].tolist() == [998, *target[:-1]]
    if len(text) > 1:
        noise, spans = make.counts(len(text))
        assert (len(source), len(target)) == make.lengths(len(text))
        assert [each for each in source if each in SENTINELS] == list(SENTINELS[:spans])
        assert sum(each not in SENTINELS for each in target) == noise + 1


def test_the_encoder_is_full() -> None:
    make = SpanCorruption(512, SENTINELS, round_to=1)
    assert (make.room, make.lengths(make.room), make.target_length) == (568, (512, 114), 114)  # as published


@pytest.mark.parametrize("kind", [MaskedTextData, SpanCorruptionData])
def test_epochs_differ_and_evaluation_does_not(kind: Any) -> None:
    def batches(epoch: int) -> torch.Tensor:
        data = kind(
            "tiny_shakespeare", sequence_length=32, global_batch_size=4, epoch_size=8, seed=1, windows="strided"
        )
        dataset = data.dataset("train")
        return np.stack([dataset.sample(index, np.random.default_rng((epoch, index)))["tokens"] for index in range(8)])

    assert (batches(0) == batches(0)).all()
    assert (batches(0) != batches(1)).any()
    data = kind("tiny_shakespeare", sequence_length=32, global_batch_size=4, split="99.5,0.5")
    first, again = ([batch["tokens"] for batch in data.val_dataloader()[0]] for _ in range(2))
    assert torch.equal(torch.cat(first), torch.cat(again))
    assert all(len(batch) == 4 for batch in first)


def test_validation_reads_all_of_the_text_once() -> None:
    text = (data := MaskedTextData("tiny_shakespeare", sequence_length=32, global_batch_size=4))._texts["validation"]
    seen = itertools.chain.from_iterable(
        item["labels"][item["segment_ids"] == 1].tolist()
        for item in map(data.dataset("validation").__getitem__, range(3486))
    )
    assert data.tokenizer.decode(list(seen)) == text
    assert data.characters_per_token("validation") is None


def test_what_the_tokenizer_lacks_is_told() -> None:
    plain = CharacterTokenizer.learn("ab")
    options = {"sequence_length": 64, "global_batch_size": 1}
    with pytest.raises(ConfigError, match=r"has no token '\[MASK\]'"):
        MaskedTextData("tiny_shakespeare", plain, **options)
    with pytest.raises(ConfigError, match="no token for padding"):
        SpanCorruptionData("tiny_shakespeare", plain, **options)
    few = CharacterTokenizer.learn("ab", special_tokens=("<pad>", "</s>", "<extra_id_0>"))
    with pytest.raises(ConfigError, match="has 1 tokens <extra_id_N>, and a window of 64 needs 3"):
        SpanCorruptionData("tiny_shakespeare", few, **options)
    with pytest.raises(ConfigError, match="mask_probability is 2"):
        MaskedTextData("tiny_shakespeare", mask_probability=2, **options)
    with pytest.raises(ConfigError, match="leave nothing to write"):
        SpanCorruptionData("tiny_shakespeare", noise_density=0, **options)
