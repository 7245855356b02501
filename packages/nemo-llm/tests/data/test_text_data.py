"""Windows of a text: where they are, how it is divided, and that they depend on seed, epoch and index alone."""

from __future__ import annotations

import hashlib
import itertools
from types import SimpleNamespace

import pytest

from nemo_core.errors import ConfigError, DataError
from nemo_llm.data import MockData, TextData, tiny_shakespeare
from nemo_llm.tokenizers import ByteTokenizer, train_tokenizer

OPTIONS = {"sequence_length": 8, "global_batch_size": 4}


@pytest.fixture
def alphabet(tmp_path):
    """200 characters that are all different."""
    path = tmp_path / "alphabet.txt"
    path.write_text("".join(map(chr, range(0x4E00, 0x4E00 + 200))), encoding="utf-8")
    return path


def train(data, epoch: int = 0, batch: int = 0):
    progress = SimpleNamespace(current=SimpleNamespace(completed=batch))
    data.trainer = SimpleNamespace(
        strategy=SimpleNamespace(),
        current_epoch=epoch,
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress)),
    )
    return [each["tokens"].tolist() for each in data.train_dataloader()]


def counted(loader) -> list[int]:
    return [label for batch in loader for label in batch["labels"][batch["loss_mask"] > 0].tolist()]


def test_the_text_is_divided_where_it_stands(alphabet):
    data = TextData(alphabet, split="80,15,5", **OPTIONS)
    assert data.tokenizer.vocab_size == 200
    assert counted(data.val_dataloader()[0]) == list(range(161, 190))
    assert counted(data.test_dataloader()[0]) == list(range(191, 200))
    windows = list(itertools.chain(*itertools.chain(*(train(data, epoch) for epoch in range(60)))))
    assert all(window == list(range(window[0], window[0] + 8)) for window in windows)
    starts = {window[0] for window in windows}
    assert (min(starts), max(starts)) == (0, 160 - 8 - 1)
    assert len(windows) == 60 * 20
    assert TextData(alphabet, **OPTIONS).test_dataloader() == []


def test_windows_at_random_depend_on_seed_epoch_and_index(alphabet):
    def windows(seed, epoch, batch=0):
        return train(TextData(alphabet, seed=seed, **OPTIONS), epoch, batch)

    assert windows(1, 2) == windows(1, 2)
    assert windows(1, 2, batch=3) == windows(1, 2)[3:]
    assert windows(1, 2) != windows(1, 3)
    assert windows(1, 2) != windows(2, 2)
    assert len(train(TextData(alphabet, epoch_size=5, **OPTIONS))) == 2


def test_strided_windows(alphabet):
    windows = list(itertools.chain(*train(TextData(alphabet, windows="strided", shuffle=False, **OPTIONS))))
    assert [window[0] for window in windows] == list(range(0, 160, 8))
    half = train(TextData(alphabet, windows="strided", stride=4, **OPTIONS))
    starts = [window[0] for window in itertools.chain(*half)]
    assert set(starts) <= set(range(0, 172, 4))
    assert len(set(starts)) == len(starts) == 40  # of 43: the others do not fill a step
    assert starts != sorted(starts)


def test_losses_per_character(tmp_path):
    path = tmp_path / "some.txt"
    path.write_text("the cat sat on the mat and the cat ate the rat. " * 30)
    tokenizer = train_tokenizer([path.read_text()], kind="byte_level_bpe", vocab_size=300)
    data = TextData(path, tokenizer, **OPTIONS)
    held_out = path.read_text()[1296:]
    assert data.characters_per_token("validation") == len(held_out) / len(tokenizer.encode(held_out)) > 1.5
    assert data.characters_per_token("test") is None
    tokenizer.save(tmp_path / "tokenizer")
    again = TextData([path], tmp_path / "tokenizer", **OPTIONS)
    assert train(again) == train(data)
    assert TextData(path, ByteTokenizer(), **OPTIONS).characters_per_token("validation") == 1


def test_what_cannot_be(tmp_path, alphabet):
    with pytest.raises(DataError, match=r"none\.txt cannot be read: No such file"):
        TextData(tmp_path / "none.txt", **OPTIONS)
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(DataError, match="byte 0xe9 at 0 is no UTF-8"):
        TextData(tmp_path / "latin.txt", **OPTIONS)
    (tmp_path / "empty.txt").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        TextData(tmp_path / "empty.txt", **OPTIONS)
    with pytest.raises(DataError, match="train part has 180 tokens, and a window needs 501"):
        train(TextData(alphabet, sequence_length=500, global_batch_size=1))
    with pytest.raises(DataError, match="validation part has 1 tokens, and a window needs 2"):
        TextData(alphabet, split=[199, 1], **OPTIONS).val_dataloader()
    with pytest.raises(ConfigError, match="windows is 'some'"):
        TextData(alphabet, windows="some", **OPTIONS)
    with pytest.raises(ConfigError, match="stride is 0"):
        TextData(alphabet, stride=0, **OPTIONS)


def test_the_text_that_comes_with_the_package():
    text = tiny_shakespeare().read_bytes()
    assert hashlib.sha256(text).hexdigest() == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    assert {path.name for path in tiny_shakespeare().parent.iterdir()} == {"input.txt", "LICENSE", "ATTRIBUTION.md"}
    data = TextData("tiny_shakespeare", sequence_length=128, global_batch_size=16)
    assert data.tokenizer.vocab_size == 65
    assert sum(batch["loss_mask"].sum() for batch in data.val_dataloader()[0]) == 111_539 - 1


def test_mock_data():
    options = {"vocab_size": 11, "sequence_length": 6, "global_batch_size": 4, "size": 8, "eval_size": 5}
    data = MockData(**options)
    first = train(data)
    assert first == train(MockData(**options))
    assert first != train(MockData(**options, seed=1))
    assert sum(batch["loss_mask"].sum() for batch in data.val_dataloader()[0]) == 5 * 6
    assert data.predict_dataloader() == []
    batch = next(iter(MockData(**options, documents=3).train_dataloader()))
    assert batch["segment_ids"][0].tolist() == [1, 1, 2, 2, 3, 3]
    assert batch["position_ids"][0].tolist() == [0, 1] * 3
    assert batch["loss_mask"][0].tolist() == [1, 0, 1, 0, 1, 1]
    assert int(batch["tokens"].max()) <= 10
    with pytest.raises(ConfigError, match="7 documents"):
        MockData(**options, documents=7)
