"""Pictures and captions as conversations: parts that do not overlap, rows, and what is done about bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nemo_core.errors import ConfigError, DataError
from nemo_llm.tokenizers import ByteTokenizer
from nemo_mm.data import Pair
from nemo_mm.data.caption_chat import CaptionChat, CaptionParts
from nemo_mm.data.words import caption_words

ARCHITECTURE = {"vision": {"image_size": 28, "patch_size": 14, "width": 16, "layers": 2, "heads": 2}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = []
    for number in range(10):
        Image.fromarray(np.full((20, 30, 3), 20 * number, np.uint8)).save(tmp_path / f"{number}.png")
        lines.append({"image": f"{number}.png", "captions": [f"grey number {number}", f"a grey {number}"]})
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def data(folder: Path, **options) -> CaptionChat:
    parts = {
        f"{part}": CaptionParts(folder, part, held_out=3, validation=2) for part in ("train", "validation", "test")
    }
    settings = {
        "tokenizer": caption_words(CaptionParts(folder, "train", 3, 2), ["Describe it."]),
        "prompts": "Describe it.",
        "global_batch_size": 5,
        "eval_global_batch_size": 4,
        "seed": 1,
    }
    return CaptionChat(**{**parts, **settings, **options}, architecture=ARCHITECTURE)


def learned(made: CaptionChat, batch) -> list[str]:
    rows = zip(batch["labels"], batch["loss_mask"], strict=True)
    return [made.tokenizer.decode(row[mask > 0].tolist(), skip_special_tokens=False) for row, mask in rows]


def test_pictures_are_in_one_part_only_and_always_the_same(folder: Path) -> None:
    parts = [CaptionParts(folder, part, 3, 2) for part in ("train", "validation", "test")]
    names = [{Path(part[index].first).name for index in range(len(part))} for part in parts]
    assert [len(part) for part in names] == [5, 2, 3]
    assert set.union(*names) == {f"{number}.png" for number in range(10)}
    assert parts[2].places.tolist() == CaptionParts(folder / "captions.jsonl", "test", 3, 2).places.tolist()


def test_rows(folder: Path) -> None:
    made = data(folder)
    batch = next(iter(made.train_dataloader()))
    assert (batch["tokens"] == made.mark).sum(1).tolist() == [4] * 5
    assert batch["pixel_counts"].tolist() == [1] * 5
    shown = batch["pixels"][:, 0, 0, 0, 0].tolist()
    for value, text in zip(shown, learned(made, batch), strict=True):
        assert text.replace(" ", "") in (f"greynumber{value // 20}<end>", f"agrey{value // 20}<end>")
    assert made.tokenizer.decode(batch["tokens"][0].tolist()).split()[4:7] == ["describe", "it", "."]
    # Words that only held-out captions have are not known.
    test = next(iter(made.test_dataloader()[0]))
    assert sum("<unk>" in text for text in learned(made, test)) >= 3
    assert test["loss_mask"].any(1).tolist() == [True] * 3 + [False]


def test_training_draws_captions_and_resumes_exactly(folder: Path) -> None:
    made = data(folder, keep=True)
    loader = made.train_dataloader()
    epochs = []
    for epoch in range(6):
        loader._position = lambda epoch=epoch: (epoch, 0)
        epochs.append(sorted(text for batch in loader for text in learned(made, batch)))
    assert len({tuple(texts) for texts in epochs}) > 1
    again = data(folder, num_workers=1).train_dataloader()
    again._position = lambda: (5, 0)
    assert sorted(text for batch in again for text in learned(made, batch)) == epochs[5]


def test_what_to_describe_and_what_people_say(folder: Path) -> None:
    found = data(folder).captioned("test")
    assert found is not None
    assert found.prompt == "Describe it."
    assert [Path(image).name.removesuffix(".png") for image in found.images] == [
        several[0].rpartition(" ")[2] for several in found.references
    ]
    assert [len(several) for several in found.references] == [2] * 3
    assert CaptionChat(architecture=ARCHITECTURE, tokenizer=data(folder).tokenizer).captioned("test") is None


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        (("cut.png", "a"), "cut.png.*is damaged or cut off"),
        (("none.png", "a"), "none.png.*no such file"),
        (("0.png", []), "has no caption"),
        (("0.png", [" "]), "has no caption"),
        (("0.png", [None]), "caption is .*not a text"),
        (("0.png", None), "caption is None"),
    ],
)
def test_bad_pairs_are_errors_or_counted(pair, says: str, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:50])
    pairs = [Pair(folder / pair[0], pair[1], pair[0]), Pair(folder / "1.png", "number 1", "1.png")]
    with pytest.raises(DataError, match=says) as caught:
        list(data(folder, train=pairs, global_batch_size=2).train_dataloader())
    assert caught.value.hint
    made = data(folder, train=pairs, test=pairs, global_batch_size=2, on_bad_record="skip")
    (batch,) = made.train_dataloader()
    assert int(batch["skipped"].sum()) == 1
    assert "".join(learned(made, batch)).replace(" ", "").startswith("number")
    assert pair[0] in caplog.text
    captioned = made.captioned("test")
    assert captioned is not None
    assert captioned.references == [["number 1"]]


def test_settings_that_do_not_fit(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no pictures with captions are given"):
        CaptionParts(None, "train")
    with pytest.raises(ConfigError, match="10 pictures, and 9 and 8 are held out"):
        CaptionParts(folder, "train", 9)
    with pytest.raises(ConfigError, match="special token <image>"):
        data(folder, tokenizer=ByteTokenizer())
    with pytest.raises(ConfigError, match="a picture takes 4"):
        next(iter(data(folder, sequence_length=5).train_dataloader()))
    with pytest.raises(ConfigError, match="on_bad_record"):
        data(folder, on_bad_record="ignore")
