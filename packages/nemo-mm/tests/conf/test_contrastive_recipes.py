"""The recipes of contrastive models compose, their parts fit, and digits train and answer at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nemo_core.cli.main import run
from nemo_core.config import compose, instantiate, trust_of
from nemo_core.config.build import plain
from nemo_core.plugins import registry

EMOJI = Path(__file__).resolve().parents[4].parent / "shared/data/noto-emoji-captions"


def built(name: str, *overrides: str):
    config = compose(name, overrides)
    tree = plain(config)
    return tuple(instantiate(tree[part], trust=trust_of(config)) for part in ("model", "data"))


def check(model, data) -> None:
    """A batch of each split goes through the towers."""
    for loader in (data.train_dataloader(), *data.val_dataloader(), *data.test_dataloader()):
        batch = next(iter(loader))
        first = model._embed(model.first, batch.first)
        second = model._embed(model.second, batch.second)
        assert first.shape == second.shape == (len(batch.names), model.first.size)


def test_digits_fit():
    model, data = built("mm/clip_digits", "data.batch_size=4", "data.eval_batch_size=4")
    check(model, data)
    batch = next(iter(data.train_dataloader()))
    assert batch.labels is None  # training sees pictures and words, never a class
    assert next(iter(data.val_dataloader()[0])).labels is not None


def test_speech_and_pictures_fit():
    if registry().find("asr.ConformerEncoder") is None:
        pytest.skip("nemo-asr is not installed")
    model, data = built("mm/speech_image", "data.batch_size=4", "data.eval_batch_size=4")
    check(model, data)
    assert (model.first.kind, model.second.kind) == ("speech", "image")


def test_emoji_fit_and_nothing_held_out_is_trained_on():
    if not EMOJI.is_dir():
        pytest.skip(f"{EMOJI} is not there")
    model, data = built("mm/clip_emoji", f"folder={EMOJI}", "data.batch_size=4", "data.eval_batch_size=4")
    check(model, data)
    train = data.dataset("train").pairs
    seen = {train[index].first for index in range(len(train))}
    captions = {train[index].second[0] for index in range(len(train))}
    sets = {name: each.pairs for name, each in data.dataset("test").items()}
    for name, pairs in sets.items():
        for index in range(len(pairs)):
            assert pairs[index].first not in seen, name
            assert pairs[index].second[0] not in captions, name
    composition = sets["composition"]
    for index in range(len(composition)):
        pair = composition[index]
        assert len(pair.others) == 4
        assert set(pair.others) <= captions  # the other tones of this emoji were trained on
    new = sets["new_bases"]
    assert not {other for index in range(len(new)) for other in new[index].others} & captions
    tones = [record["skin_tone"] for record in composition.records]
    assert max(map(tones.count, tones)) - min(map(tones.count, tones)) <= 10


def test_emoji_without_a_folder(capsys):
    assert run(["train", "mm/clip_emoji"]) == 2
    said = capsys.readouterr().err
    assert "no folder of emoji is given" in said
    assert "folder=" in said


def test_digits_are_trained_and_asked(tmp_path, capsys):
    small = [
        "model.first.encoder.width=16",
        "model.first.encoder.layers=1",
        "model.second.encoder.width=16",
        "model.second.encoder.layers=1",
        "data.train.limit=64",
        "data.validation.limit=20",
        "data.test.limit=20",
        "data.batch_size=16",
        "trainer.max_epochs=1",
        f"experiment.dir={tmp_path}/runs",
    ]
    assert run(["train", "mm/clip_digits", *small]) == 0
    archive = str(tmp_path / "runs/clip_digits/latest/model.nemo")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.full((30, 40), 80 * number, np.uint8)).save(folder / f"{number}.png")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:40])
    capsys.readouterr()

    assert run(["mm", "classify", archive, str(folder / "1.png"), "--labels", "a three, an eight", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert {each["label"] for each in record["labels"]} == {"a three", "an eight"}
    assert sum(each["probability"] for each in record["labels"]) == pytest.approx(1, abs=1e-4)

    assert run(["mm", "classify", archive, str(folder), "--top", "1", "--json"]) == 1
    said = capsys.readouterr()
    records = json.loads(said.out)
    assert [Path(each["image"]).name for each in records] == ["0.png", "1.png", "2.png", "cut.png"]
    assert "error" in records[3]
    assert "cut.png" in said.err
    assert records[0]["label"] in ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

    assert run(["mm", "retrieve", archive, "a six", "--in", str(folder), "--json"]) == 1
    said = capsys.readouterr()
    assert len(json.loads(said.out)) == 3
    assert "cut.png" in said.err
    for command, says in (
        (["classify", archive, str(folder / "cut.png"), "--labels", " , "], "no labels to choose from"),
        (["classify", archive, str(folder / "cut.png"), "--labels", "a", "--template", "it"], "no place for labels"),
        (["classify", str(folder), str(folder)], "has no model.nemo"),
        (["retrieve", archive, " ", "--in", str(folder)], "the query is empty"),
        (["ask", archive, str(folder / "1.png"), "What?"], "is a ContrastiveModel, not a language model"),
    ):
        assert run(["mm", *command]) == 2
        assert says in capsys.readouterr().err

    (folder / "cut.png").unlink()
    latest = str(tmp_path / "runs/clip_digits/latest")
    assert run(["mm", "retrieve", latest, "a handwritten six", "--in", str(folder), "--top", "2", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    texts = tmp_path / "texts.txt"
    texts.write_text("one\ntwo\n\nthree\n")
    assert run(["mm", "retrieve", latest, str(folder / "2.png"), "--in", str(texts), "--json"]) == 0
    assert {each["match"] for each in json.loads(capsys.readouterr().out)} == {"one", "two", "three"}
    assert run(["mm", "retrieve", latest, "seven.wav", "--in", str(folder)]) == 2
    assert "the model reads image and text" in capsys.readouterr().err

    assert run(["mm", "export", "hf", latest, "-o", str(tmp_path / "hf")]) == 0
    assert "no tokenizer of the kind 'bytes'" in capsys.readouterr().err
    config = json.loads((tmp_path / "hf/config.json").read_text())
    assert (config["model_type"], config["vision_config"]["num_channels"]) == ("clip", 1)
    assert run(["mm", "import", "hf", str(tmp_path / "hf"), "-o", str(tmp_path / "again.nemo")]) == 2
    assert "has no tokenizer" in capsys.readouterr().err
