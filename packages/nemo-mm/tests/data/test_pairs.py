"""Pairs of files: read, shuffled, divided, gone on with, and what is done about bad ones."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nemo_core.data import BatchOrder, ResumableLoader
from nemo_core.errors import ConfigError, DataError
from nemo_llm.tokenizers.byte import ByteTokenizer
from nemo_mm.data import Captions, Pair, PairData, RandomCrop, TarPairs, TextTokens
from nemo_mm.images import ImageTransform


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 5), (number % 256, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write_shard(path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def shards(tmp_path):
    for shard in range(3):
        members = {}
        for item in range(4 + shard):
            number = 10 * shard + item
            members[f"{number:04d}.png"] = picture(number)
            members[f"{number:04d}.txt"] = f"number {number}".encode()
        write_shard(tmp_path / f"train-{shard:02d}.tar", members)
    return tmp_path


def data_of(train, **options) -> PairData:
    options = {"batch_size": 4, "seed": 5, "drop_last": False} | options
    return PairData(ImageTransform(4), TextTokens(ByteTokenizer(), 24), train, **options)


def texts(batch) -> list[str]:
    tokenizer = ByteTokenizer()
    rows = zip(batch.second["tokens"].tolist(), batch.second["length"].tolist(), strict=True)
    return [tokenizer.decode(row[: length - 1]) for row, length in rows]


@pytest.mark.parametrize("pattern", ["train-*.tar", "train-{00..02}.tar"])
def test_shards_hold_what_was_written(shards, pattern):
    pairs = TarPairs(str(shards / pattern))
    assert len(pairs) == 4 + 5 + 6
    assert pairs.groups == [4, 5, 6]
    assert [pairs[index].second for index in range(4)] == [[f"number {number}"] for number in range(4)]
    assert pairs[4].first == picture(10)


def test_folders_in_shards_and_json_and_several_captions(tmp_path):
    write_shard(
        tmp_path / "x.tar",
        {
            "b/1.jpg": b"1",
            "a/1.JPG": b"2",
            "a/1.json": json.dumps({"caption": ["one", "uno"]}).encode(),
            "b/1.txt": b"eins\nun\n",
            "notes.txt": b"no picture",
            "c/2.webp": b"3",
        },
    )
    pairs = TarPairs(tmp_path / "x.tar")
    assert [pairs[index].second for index in (0, 1)] == [["eins", "un"], ["one", "uno"]]
    with pytest.raises(DataError, match=r"c/2: has no caption"):
        pairs[2]


def test_all_of_an_epoch_once_with_workers_too(shards):
    expected = Counter(f"number {10 * shard + item}" for shard in range(3) for item in range(4 + shard))
    orders = []
    for workers in (0, 2):
        loader = data_of(str(shards / "*.tar"), num_workers=workers).train_dataloader()
        batches = [texts(batch) for batch in loader]
        assert Counter(text for batch in batches for text in batch) == expected
        orders.append(batches)
    assert orders[0] == orders[1]


def test_epochs_differ_and_are_gone_on_with_exactly(shards):
    data = data_of(str(shards / "*.tar"))
    pairs = data.dataset("train")
    order = BatchOrder(len(pairs), batch_size=4, seed=5, groups=pairs.groups, window=pairs.window)
    loader = ResumableLoader(pairs, order, data.collate, random=True)
    first = [texts(batch) for batch in loader]
    assert first == [texts(batch) for batch in data.train_dataloader()]
    loader.load_state_dict({"epoch": 1, "batch": 0})
    second = [texts(batch) for batch in loader]
    assert first != second
    loader.load_state_dict({"epoch": 1, "batch": 2})
    assert [texts(batch) for batch in loader] == second[2:]


@given(
    groups=st.lists(st.integers(1, 6), min_size=1, max_size=9),
    window=st.integers(1, 4),
    batch=st.integers(1, 5),
    ranks=st.integers(1, 3),
    epoch=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_processes_share_the_members_of_archives(groups, window, batch, ranks, epoch):
    size = sum(groups)
    options = {"batch_size": batch, "groups": groups, "window": window, "seed": 3, "world_size": ranks}
    shares = [BatchOrder(size, rank=rank, **options).batches(epoch) for rank in range(ranks)]
    steps = [np.concatenate(step) for step in zip(*shares, strict=True)]
    seen = np.concatenate(steps)
    assert set(seen.tolist()) == set(range(size))
    assert len(seen) < size + ranks


def test_jsonl_with_paths_and_parquet_with_content(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").write_bytes(picture(3))
    lines = [{"image": "images/a.png", "caption": "three"}, {"image": "images/a.png", "caption": ["drei", "tre"]}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (loader,) = data_of(None, validation=str(tmp_path / "train.jsonl")).val_dataloader()
    batch = next(iter(loader))
    assert texts(batch) == ["three", "drei"]
    assert batch.first["images"][0, 0].unique().tolist() == [3]

    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"jpg": [{"bytes": picture(7), "path": None}], "text": ["seven"], "class": [7]})
    parquet.write_table(table, tmp_path / "train.parquet")
    pairs = Captions(tmp_path / "train.parquet", image_key="jpg", caption_key="text", label_key="class")
    assert (pairs[0].first, pairs[0].second, pairs[0].label) == (picture(7), "seven", 7)


def test_training_draws_among_captions():
    train = [Pair(np.zeros((4, 4), np.uint8), ["one", "two", "three"], str(i)) for i in range(40)]
    seen = {text for batch in data_of(train).train_dataloader() for text in texts(batch)}
    assert seen == {"one", "two", "three"}


BAD = {
    "cut.png": ({"caption": "x"}, "cut off"),
    "none.png": ({"caption": "x"}, "no such file"),
    "empty.png": ({"caption": " "}, "caption is empty"),
    "silent.png": ({}, "has no caption"),
    "listed.png": ({"caption": []}, "has no caption"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pairs_are_errors_or_counted(name, tmp_path):
    record, says = BAD[name]
    if name != "none.png":
        (tmp_path / name).write_bytes(picture(1)[:50] if name == "cut.png" else picture(1))
    (tmp_path / "good.png").write_bytes(picture(2))
    lines = [{"image": name, **record}, *({"image": "good.png", "caption": f"good {i}"} for i in range(3))]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    path = str(tmp_path / "train.jsonl")
    with pytest.raises(DataError, match=says) as caught:
        list(data_of(path).train_dataloader())
    assert name in caught.value.message or "line 1" in caught.value.message
    assert caught.value.hint
    (batch,) = data_of(path, on_bad_pair="skip").train_dataloader()
    assert batch.skipped == 1
    assert sorted(texts(batch)) == ["good 0", "good 1", "good 2"]


def test_damaged_archives(tmp_path):
    write_shard(tmp_path / "x.tar", {"a.png": picture(1), "a.txt": b"a"})
    whole = (tmp_path / "x.tar").read_bytes()
    pairs = TarPairs(tmp_path / "x.tar")
    (tmp_path / "x.tar").write_bytes(whole[:600])
    with pytest.raises(DataError, match="cut off"):
        pairs[0]
    (tmp_path / "y.tar").write_bytes(b"no archive at all" * 100)
    with pytest.raises(DataError, match=r"y\.tar is no whole tar archive"):
        TarPairs(tmp_path / "y.tar")
    with pytest.raises(ConfigError, match="no file fits"):
        TarPairs(str(tmp_path / "z-*.tar"))


def cut_or_changed(path, where: int, change: bytes | None) -> None:
    content = bytearray(path.read_bytes())
    if change is None:
        del content[where:]
    else:
        content[where : where + len(change)] = change
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("where", "change", "says", "left"),
    [  # each member is a header and a content of 512 bytes; tarfile is silent about all but the last
        (2048, None, "is cut off at byte 2048", 1),
        (2048 + 100, None, "is cut off at byte 2148", 1),
        (2048, b"\xff" * 200, "is damaged at byte 2048", 1),
        (4096 + 512 + 20, None, "no whole tar archive", 2),
    ],
)
def test_archives_that_end_too_soon(where, change, says, left, tmp_path, caplog):
    members = {f"{name}.{kind}": picture(1) if kind == "png" else b"a" for name in "abc" for kind in ("png", "txt")}
    path = tmp_path / "x.tar"
    write_shard(path, members)
    cut_or_changed(path, where, change)
    with pytest.raises(DataError, match=says) as caught:
        TarPairs(path)
    assert "on_bad_shard=skip" in str(caught.value.hint)
    assert len(TarPairs(path, on_bad_shard="skip")) == left
    assert f"{left} pictures before that are used" in caplog.text
    (batch,) = data_of(str(path), on_bad_pair="skip").train_dataloader()
    assert len(batch.names) == left


def test_archives_that_cannot_be_used(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.png"))
    (tmp_path / "b.tar.gz").write_bytes((tmp_path / "a.tar").read_bytes())
    write_shard(tmp_path / "c.tar", {"a.txt": b"no picture"})
    for name, says in (("a.tar", "is compressed"), ("b.tar.gz", "is compressed"), ("c.tar", "no picture in")):
        with pytest.raises(DataError, match=says) as caught:
            data_of(str(tmp_path / name), on_bad_pair="skip").train_dataloader()
        assert caught.value.hint


@pytest.mark.parametrize("caption", ["5", '{"a": 1}', "[null]", "[5, 6]"])
def test_captions_that_are_no_texts(caption, tmp_path):
    write_shard(tmp_path / "x.tar", {"a.png": picture(1), "a.json": b'{"caption": %s}' % caption.encode()})
    (tmp_path / "x.jsonl").write_text(f'{{"image": "a.png", "caption": {caption}}}')
    (tmp_path / "a.png").write_bytes(picture(1))
    for name in ("x.tar", "x.jsonl"):
        with pytest.raises(DataError, match="caption is"):
            list(data_of(str(tmp_path / name)).train_dataloader())
        (batch,) = data_of(str(tmp_path / name), on_bad_pair="skip").train_dataloader()
        assert (batch.skipped, batch.names) == (1, [])


def test_parquet_that_is_cut_off_or_has_bad_rows(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "x.parquet"
    images = [{"bytes": content, "path": None} for content in (picture(1), picture(2)[:40], None, picture(3))]
    parquet.write_table(pyarrow.table({"image": images, "caption": ["one", "two", "three", None]}), path)
    with pytest.raises(DataError, match=r"x\.parquet, row [234]"):
        list(data_of(str(path)).train_dataloader())
    (batch,) = data_of(str(path), on_bad_pair="skip").train_dataloader()
    assert (batch.skipped, texts(batch)) == (3, ["one"])
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:4] + b"\x11" * 300 + whole[304:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.parquet (is no Parquet file|cannot be read)") as caught:
            list(data_of(str(path), on_bad_pair="skip").train_dataloader())
        assert "\n" not in caught.value.message
        assert caught.value.hint


def test_workers_open_archives_of_their_own(shards):
    pairs = TarPairs(str(shards / "*.tar"))
    _ = pairs[0]
    assert pickle.loads(pickle.dumps(pairs))[1].second == ["number 1"]


@given(seed=st.integers(0, 200))
@settings(max_examples=30, deadline=None)
def test_random_crops_are_inside(seed):
    rng = np.random.default_rng(seed)
    image = np.arange(24 * 36 * 3, dtype=np.uint32).reshape(24, 36, 3).astype(np.uint8)
    found = RandomCrop((0.2, 1.0), (0.5, 2.0), mirror=0.5)(image, rng)
    assert 0 < found.shape[0] <= 24
    assert 0 < found.shape[1] <= 36


def test_others_are_read_for_evaluation_alone():
    pairs = [Pair(np.zeros((4, 4), np.uint8), "yes", str(i), i % 2, others=["no", "never"][: i % 3]) for i in range(4)]
    data = data_of(pairs, validation=pairs)
    (batch,) = data.val_dataloader()[0]
    assert batch.owners.tolist() == [1, 2, 2]
    assert batch.others["tokens"].shape[0] == 3
    (batch,) = data.train_dataloader()
    assert batch.others is None
    assert batch.labels is None
    (batch,) = data_of(pairs, train_labels=True).train_dataloader()
    assert sorted(batch.labels.tolist()) == [0, 0, 1, 1]
