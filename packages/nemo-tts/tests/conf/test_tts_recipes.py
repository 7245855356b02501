"""Every recipe composes, its model and data are built, and the digits train from the command line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from nemo_core.audio import write_manifest
from nemo_core.cli.main import run
from nemo_core.config import compose, instantiate, list_recipes, trust_of
from nemo_core.config.build import plain

RECIPES = [recipe.name for recipe in list_recipes() if recipe.name.startswith("tts/")]
PITCH = ["model.pitch_mean=200", "model.pitch_std=40"]


def built(name: str, *overrides: str) -> tuple[object, object]:
    config = compose(name, overrides)
    tree = plain(config)
    return tuple(instantiate(tree[part], trust=trust_of(config)) for part in ("model", "data"))


def test_there_is_one_of_each_kind() -> None:
    assert {
        "tts/spoken_digits",
        "tts/spoken_digits_vocoder",
        "tts/ljspeech_fastpitch",
        "tts/ljspeech_hifigan",
        "tts/mandarin_fastpitch",
        "tts/finetune_speaker",
    } <= set(RECIPES)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "tts/finetune_speaker"])  # needs an archive
def test_models_are_built_and_what_they_take_is_what_they_get(name: str) -> None:
    if "mandarin" in name and importlib.util.find_spec("pypinyin") is None:
        pytest.skip("pypinyin is not installed")
    overrides = ["size=tiny", *PITCH] if "fastpitch" in name else []
    model, data = built(name, *overrides)
    assert data.features.preprocessor.to_config() == model.preprocessor.to_config()
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is not None:
        assert len(tokenizer) == model.encoder.word_emb.num_embeddings
        assert tokenizer.pad == model.encoder.word_emb.padding_idx


@pytest.mark.parametrize("generator", ["v2", "v3", "istft"])
def test_generators_of_hifigan(generator: str) -> None:
    model, _ = built("tts/ljspeech_hifigan", f"generator={generator}")
    assert model.generator.hop_length == model.preprocessor.hop_length


def test_energy_is_predicted_where_it_is_asked_for() -> None:
    with_energy, _ = built("tts/ljspeech_fastpitch", "size=tiny", "energy=true")
    without, _ = built("tts/ljspeech_fastpitch", "size=tiny")
    assert with_energy.energy_predictor.input_size == 128
    assert without.energy_predictor is None


def test_digits_are_trained_prepared_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["trainer.max_steps=2", "trainer.limit_val_batches=1", f"experiment.dir={tmp_path}/runs"]
    small = ["data.train.speakers=[theo]", "data.validation.speakers=[theo]", "data.batch_size=2"]
    assert run(["train", "tts/spoken_digits", *quick, *small]) == 0
    assert run(["train", "tts/spoken_digits_vocoder", *quick, *small, "data.n_segments=1024"]) == 0
    runs = tmp_path / "runs"
    command = ["synthesize", str(runs / "spoken_digits_voice" / "latest"), "seven two"]
    vocoder = ["--vocoder", str(runs / "spoken_digits_vocoder" / "latest"), "--speaker", "theo"]
    capsys.readouterr()
    assert run([*command, *vocoder, "-o", str(tmp_path / "out.wav"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["speech"][0]["seconds"] > 0


def test_a_manifest_is_trained_on_and_said_with_energy(tmp_path: Path) -> None:
    import soundfile as sf

    from nemo_tts.data import load_digits

    rows = []
    for digit, takes in enumerate(load_digits("jackson")[:4]):
        sf.write(tmp_path / f"{digit}.wav", takes[0], 8000)
        rows.append({"audio_filepath": f"{digit}.wav", "duration": len(takes[0]) / 8000, "text": "one"})
    write_manifest(tmp_path / "train.jsonl", rows)
    prepare = ["tts", "prepare", str(tmp_path / "train.jsonl"), "-o", str(tmp_path / "features"), "--jobs", "1"]
    assert run(prepare) == 0
    features = tmp_path / "features" / "manifest.jsonl"
    overrides = [f"data.train={features}", f"data.validation={features}", "size=tiny", "energy=true", *PITCH]
    quick = ["trainer.max_epochs=1", f"experiment.dir={tmp_path}/runs", "data.num_workers=0", "data.batch_size=2"]
    assert run(["train", "tts/ljspeech_fastpitch", *overrides, *quick, "trainer.check_val_every_n_epoch=1"]) == 0
    metrics = json.loads((tmp_path / "runs/ljspeech_fastpitch/latest/metrics.json").read_text())
    assert metrics["val_energy"] >= 0
    say = ["synthesize", str(tmp_path / "runs" / "ljspeech_fastpitch" / "latest"), "One two.", "--energy-shift", "6"]
    said = [*say, "--pitch-range", "0", "--word", "2:pace=0.5,energy-shift=3", "-o", str(tmp_path / "out.wav")]
    assert run(said) == 0
