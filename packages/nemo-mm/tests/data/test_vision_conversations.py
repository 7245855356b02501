"""Conversations about pictures: marks and pictures agree, rows are cut between pictures, packed rows know theirs."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nemo_core.errors import ConfigError, DataError
from nemo_llm.tokenizers import ByteTokenizer, CharacterTokenizer
from nemo_mm.data.conversations import VisionConversations

VISION = {"image_size": 28, "patch_size": 14, "width": 16, "layers": 2, "heads": 2}
TOKENIZER = CharacterTokenizer(
    [chr(code) for code in range(10, 127)], special_tokens=["<image>", "<end>"], eos_token="<end>", pad_token="<end>",
    chat_template="{% for m in messages %}{{ m.role[0] }}:{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}<end>{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}",
)  # fmt: skip
MARK = TOKENIZER.special_tokens["<image>"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        pixels = np.full((20 + 20 * number, 60, 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    frames = [Image.new("RGB", (8, 8), (30 * place, 0, 0)) for place in range(6)]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    return tmp_path


def llava(question: str, answer: str, image: Any = None) -> dict[str, Any]:
    said = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"conversations": said, **({} if image is None else {"image": image})}


def data(folder: Path, records: list[dict[str, Any]], name: str = "train.json", **options: Any) -> VisionConversations:
    text = json.dumps(records) if name.endswith(".json") else "\n".join(map(json.dumps, records))
    (folder / name).write_text(text)
    settings = {"global_batch_size": len(records), "shuffle": False, "sequence_length": 128, **options}
    return VisionConversations(
        folder / name,
        folder / name,
        architecture={"vision": VISION, **settings.pop("architecture", {})},
        tokenizer=TOKENIZER,
        cache_dir=folder / "cache",
        **settings,
    )


def batch(data: VisionConversations) -> dict[str, torch.Tensor]:
    return next(iter(data.train_dataloader()))


def test_pictures_take_their_places(folder: Path) -> None:
    records = [
        llava("<image>\nwhat?", "a", "0.png"),
        llava("no picture", "b"),
        llava("<image> and <image>", "c", ["1.png", "2.png"]),
    ]
    found = batch(data(folder, records))
    assert (found["tokens"] == MARK).sum(1).tolist() == [4, 0, 8]
    assert found["pixel_counts"].tolist() == [1, 0, 2]
    assert found["pixels"].shape == (3, 2, 3, 28, 28)
    assert [TOKENIZER.decode(row[mask > 0].tolist()) for row, mask in zip(found["labels"], found["loss_mask"],
            strict=True)] == ["a<end>", "b<end>", "c<end>"]  # fmt: skip
    assert int(found["pixels"][2, 1].float().mean()) == 80


def test_lines_of_messages_with_parts(folder: Path) -> None:
    content = [{"type": "image", "image": "3.png"}, {"type": "text", "text": "what?"}]
    record = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "d"}]}
    found = batch(data(folder, [record], "train.jsonl"))
    assert (found["tokens"] == MARK).sum() == 4


def test_videos_are_frames(folder: Path) -> None:
    records = [
        {**llava("<video>what?", "a"), "video": "moves.gif"},
        {**llava("<video>what?", "a"), "video": ["0.png", "1.png", "2.png", "3.png"]},
    ]
    found = batch(data(folder, records, frames=3))
    assert found["pixel_counts"].tolist() == [3, 3]
    assert [int(frame[0].float().mean()) for frame in found["pixels"][0]] == [30, 90, 150]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (llava("<image><image>", "a", "0.png"), "item 1: has 2 marks <image> and 1 of image"),
        (llava("none", "a", "0.png"), "item 1: has 0 marks <image> and 1 of image"),
        (llava("<image>", "a", "nowhere.png"), "item 1: there is no picture"),
        (llava("<image>", "a", {"x": 1}), "item 1: image is"),
        (
            {**llava("<video>", "a"), "video": "0.txt"},
            "item 1: cannot be read as a video: .*: there is no such",
        ),
    ],
)
def test_what_does_not_agree_is_named(folder: Path, record: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        batch(data(folder, [record]))


def test_bad_records_can_be_skipped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = [llava("<image><image>", "a", "0.png"), llava("<image>", "b", "1.png")]
    found = batch(data(folder, records, on_bad_record="skip", global_batch_size=1))
    assert found["pixel_counts"].tolist() == [1]
    assert "skipped 1 bad records" in caplog.text


def test_tiles_follow_their_picture(folder: Path) -> None:
    records = [llava("<image>", "a", "0.png"), llava("<image>x<image>", "b", ["2.png", "3.png"])]
    given = data(folder, records, architecture={"tiles": [[1, 2], [2, 2], [2, 1]]})
    found = batch(given)
    assert found["image_sizes"].tolist() == [[[20, 60], [0, 0]], [[60, 60], [80, 60]]]
    assert found["image_counts"].tolist() == [1, 2]
    counts = [given.pictures.open(folder / f"{name}.png").count for name in (0, 2, 3)]
    assert (found["tokens"] == MARK).sum(1).tolist() == [counts[0], counts[1] + counts[2]]
    with pytest.raises(ConfigError, match="packing"):
        data(folder, records, architecture={"tiles": [[1, 2]]}, packing=True)


def test_rows_are_cut_between_pictures(folder: Path) -> None:
    several = {**llava("<image>", "abc"), "image": ["0.png", "1.png"]}
    several["conversations"] *= 2
    right = batch(data(folder, [several], sequence_length=16))
    assert (right["tokens"] == MARK).sum() == 4
    assert right["pixel_counts"].tolist() == [1]
    left = batch(data(folder, [several], "left.json", sequence_length=16, truncation="left"))
    assert left["pixel_counts"].tolist() == [1]
    assert TOKENIZER.decode(left["labels"][0][left["loss_mask"][0] > 0].tolist()).endswith("abc<end>")
    with pytest.raises(DataError, match="with its pictures"):
        batch(data(folder, [several], "error.json", sequence_length=22, truncation="error"))


def test_packed_rows_hold_the_pictures_of_all(folder: Path) -> None:
    records = [llava("<image>", str(number), f"{number}.png") for number in range(4)]
    found = batch(data(folder, records, packing=True, sequence_length=40, global_batch_size=1))
    packed = int(found["segment_ids"].max())
    assert packed > 1
    assert found["pixel_counts"].tolist() == [packed]
    assert (found["tokens"] == MARK).sum() == 4 * packed


def test_the_tokenizer_must_know_the_mark(folder: Path) -> None:
    (folder / "a.json").write_text("[]")
    with pytest.raises(ConfigError, match="special token <image>"):
        VisionConversations(folder / "a.json", architecture={"vision": VISION}, tokenizer=ByteTokenizer())


def test_resuming_sees_the_same_rows(folder: Path) -> None:
    records = [llava("<image>", str(number), f"{number}.png") for number in range(4)]
    orders = []
    for _ in range(2):
        given = data(folder, records, shuffle=True, global_batch_size=2, seed=3)
        orders.append([each["pixels"].float().mean((1, 2, 3, 4)).tolist() for each in given.train_dataloader()])
    assert orders[0] == orders[1]


BAD = {
    "cut.png": "is damaged or cut off",
    "empty.png": "the file is empty",
    "words.png": "cannot be read as a picture",
    "bomb.png": "has far more than",
}


@pytest.fixture
def bad(folder: Path) -> Path:
    whole = (folder / "3.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "words.png").write_bytes(b"not a picture")
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 20_000, 1, 0, 0, 0, 0)  # which is all that is read of it
    checked = header + struct.pack(">I", zlib.crc32(header))
    end = b"\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e"
    (folder / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\r" + checked + end)
    return folder


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("options", [{}, {"packing": True}, {"architecture": {"tiles": [[1, 2], [2, 1]]}}])
def test_pictures_that_cannot_be_opened(
    name: str, options: dict[str, Any], bad: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records = [llava("<image>q", "a", name), llava("<image>q", "b", "1.png")]
    with pytest.raises(DataError, match=f"item 1: .*{name}: {BAD[name]}") as caught:
        list(data(bad, records, global_batch_size=1, **options).train_dataloader())
    assert caught.value.hint
    found = list(data(bad, records, global_batch_size=1, on_bad_record="skip", **options).train_dataloader())
    assert sum(int(each["skipped"].sum()) for each in found) == 1
    learned = [each["labels"][each["loss_mask"] > 0].tolist() for each in found]
    assert "".join(map(TOKENIZER.decode, learned)) == "b<end>"
    assert f"item 1: {bad / name}" in caplog.text


def test_workers_name_the_record_too(bad: Path) -> None:
    records = [llava("<image>q", "a", "cut.png"), llava("<image>q", "b", "1.png")]
    with pytest.raises(DataError) as caught:
        batch(data(bad, records, num_workers=1))
    assert caught.value.message.startswith(f"{bad / 'train.json'}, item 1: {bad / 'cut.png'}: is damaged")
    assert "Traceback" not in caught.value.message


@pytest.mark.parametrize("name", ["cut.png", "words.png", "bomb.png", "none.gif"])
def test_videos_that_cannot_be_opened(name: str, bad: Path) -> None:
    records = [{**llava("<video>what?", "a"), "video": name}, llava("<image>q", "b", "1.png")]
    with pytest.raises(DataError, match=f"item 1: .*{name}"):
        list(data(bad, records, global_batch_size=1, frames=2).train_dataloader())
    found = list(data(bad, records, global_batch_size=1, frames=2, on_bad_record="skip").train_dataloader())
    assert found[-1]["pixel_counts"].tolist() == [1]


def test_odd_pictures_are_read(folder: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 256, (20, 60, 3), dtype=np.uint8))
    pixels.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(rng.integers(0, 65536, (20, 60), dtype=np.uint16)).save(folder / "deep.png")
    pixels.convert("P").save(folder / "palette.png", transparency=0)
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    Image.new("RGB", (1, 3000)).save(folder / "slender.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    pixels.save(folder / "turned.jpg", exif=turned)
    names = ["cmyk.jpg", "deep.png", "palette.png", "one.png", "slender.png", "turned.jpg", "moves.gif"]
    records = [llava("<image>q", "a", name) for name in names]
    assert batch(data(folder, records))["pixel_counts"].tolist() == [1] * len(names)
    tiled = batch(data(folder, records, architecture={"tiles": [[1, 2], [2, 1]]}))
    assert tiled["image_sizes"][:, 0].tolist() == [[20, 60]] * 3 + [[1, 1], [3000, 1], [60, 20], [8, 8]]
