"""``nemo mm sample`` and ``nemo mm fidelity``, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from generation_support import NAMES, make_autoencoder, make_generator, make_judge
from PIL import Image

from nemo_core.cli.main import run
from nemo_mm.modules import CharacterEncoder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_generator(steps=2).save(folder / "classes.nemo")
    make_generator(condition_dropout=0.0).save(folder / "unguided.nemo")
    text = make_generator(network={"classes": None, "text_width": 4}, text_encoder=CharacterEncoder(4), steps=2)
    text.save(folder / "texts.nemo")
    make_judge().save(folder / "judge.nemo")
    make_autoencoder().save(folder / "autoencoder.nemo")
    return folder


def test_a_grid(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "grid.png"
    command = ["mm", "sample", str(models / "classes.nemo"), "--class", "dog", "--n", "4", "-o", str(out)]
    assert run(command) == 0
    assert "4 pictures on" in capsys.readouterr().out
    first = np.asarray(Image.open(out))
    assert first.shape == (2 * 56 + 2, 2 * 56 + 2)
    assert run(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run([*command, "--overwrite", "--json", "--guidance", "2", "--steps", "3", "--seed", "5"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["pictures"], said["steps"], said["evaluations"], said["guidance"], said["seed"]) == (4, 3, 5, 2.0, 5)
    assert not np.array_equal(first, np.asarray(Image.open(out)))


def test_a_folder_and_several_classes(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["mm", "sample", str(models / "classes.nemo"), "-c", "cat", "-c", "2", "--n", "3"]
    assert run([*command, "-o", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{i}.png" for i in range(1, 7)]
    assert Image.open(tmp_path / "out" / "1.png").size == (8, 8)
    assert run([*command, "-o", str(tmp_path / "grid.png")]) == 0
    assert Image.open(tmp_path / "grid.png").size == (3 * 58 - 2, 2 * 58 - 2)  # a row for each class


def test_texts(models: Path, tmp_path: Path) -> None:
    command = ["mm", "sample", str(models / "texts.nemo"), "-t", "a cat", "-t", "two owls"]
    assert run([*command, "-o", str(tmp_path / "grid.png")]) == 0


@pytest.mark.parametrize(
    ("model", "arguments", "said"),
    [
        ("classes", ["--class", "bat"], "did you mean cat"),
        ("classes", ["--class", "3"], "classes are cat, dog, owl"),
        ("classes", ["--class", "0", "--n", "0"], "--n 0"),
        ("classes", ["--class", "0", "--steps", "0"], "at least one step"),
        ("classes", ["--class", "0", "--sampler", "ddim"], "it has heun"),
        ("classes", ["--text", "a cat"], "it takes classes: cat"),
        ("classes", ["--guidance", "2"], "needs a class or a text"),
        ("unguided", ["--class", "0", "--guidance", "2"], "condition_dropout=0.1"),
        ("texts", ["--class", "0"], "it takes texts"),
        ("texts", ["--text", ""], "0 bytes"),
        ("autoencoder", [], "AutoencoderKL"),
        ("none", [], "none.nemo"),
        ("classes", ["--class", "0", "-o", "{out}/a.docx"], "ends with .png"),
    ],
)
def test_what_is_wrong_is_said(
    model: str, arguments: list[str], said: str, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [each.format(out=tmp_path) for each in arguments]
    where = [] if "-o" in filled else ["-o", str(tmp_path / "grid.png")]
    assert run(["mm", "sample", str(models / f"{model}.nemo"), *filled, *where]) == 2
    assert said in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if path.stat().st_size]


def test_fidelity(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        folder = tmp_path / "real" / NAMES[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    command = ["mm", "fidelity", str(models / "classes.nemo"), "--judge", str(models / "judge.nemo")]
    real = ["--real", str(tmp_path / "real"), "--per-class", "2"]
    assert run([*command, *real, "-o", str(tmp_path / "grid.png"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["samples"] == 6
    assert set(said["by_class"]) == set(NAMES)
    assert Image.open(tmp_path / "grid.png").size == (2 * 58 - 2, 3 * 58 - 2)
    assert run([*command, *real]) == 0
    assert "recognised" in capsys.readouterr().out
    assert run([*command, "--per-class", "1"]) == 2  # digits are no pictures of cats
    assert "made for" in capsys.readouterr().err
    assert run([*command, *real, "--per-class", "0"]) == 2
    assert run([*command, "--real", str(tmp_path / "none")]) == 2
    assert "is no folder" in capsys.readouterr().err
    texts = ["mm", "fidelity", str(models / "texts.nemo"), "--judge", str(models / "judge.nemo"), *real]
    assert run([*texts, "--text", "a {}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 6
    assert run(texts) == 2
    assert "makes images of texts" in capsys.readouterr().err
