"""The recipe of a model that hears digits: it composes, its layout is possible, and a few steps of it run."""

from __future__ import annotations

import importlib.util

import pytest

from nemo_core.cli.main import run
from nemo_core.config import Trust, compose, instantiate
from nemo_core.config.build import plain
from nemo_core.errors import ConfigError

needs_speech = pytest.mark.skipif(
    importlib.util.find_spec("nemo_asr") is None, reason="its encoder and its recordings are nemo-asr's"
)


@pytest.mark.skipif(importlib.util.find_spec("nemo_asr") is not None, reason="nemo-asr is installed")
def test_what_it_needs_is_said() -> None:
    with pytest.raises(ConfigError, match="mm/salm_digits needs nemo-asr"):
        compose("mm/salm_digits")


@needs_speech
def test_data_and_model_count_alike() -> None:
    tree = plain(compose("mm/salm_digits"))
    model = instantiate(tree["model"], trust=Trust.user())
    assert model.config.samples_per_embedding == tree["data"]["samples_per_embedding"]
    assert model.config.sample_rate == tree["data"]["sample_rate"]
    data = instantiate(tree["data"], trust=Trust.user())
    known = set(model.tokenizer.encode("<unk>", parse_special=False))
    for split in ("train", "validation"):
        rows = data.dataset(split)
        for index in range(0, 24):
            tokens = rows[index]["tokens"]
            assert not known & set(tokens.tolist())  # every word of questions and answers is a token
            assert len(tokens) < tree["data"]["sequence_length"]


@needs_speech
def test_a_few_steps_train_judge_and_keep_it(tmp_path, capsys) -> None:
    settings = [
        "trainer.max_steps=2",
        "trainer.val_check_interval=2",
        "trainer.log_every_n_steps=1",
        "data.global_batch_size=4",
        "data.eval_global_batch_size=12",
        "data.train.speech.size=64",
        "data.validation.speech.size=2",
        "data.test.speech.size=2",
        "model.answer_tokens=3",
        f"experiment.dir={tmp_path}",
    ]
    assert run(["train", "mm/salm_digits", *settings]) == 0
    folder = tmp_path / "salm_digits" / "v1"
    header = (folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train_ctc", "val_wer", "val_accuracy", "val_wer_transcribe", "val_accuracy_german"} <= set(header)
    assert (folder / "model.dist" / "manifest.json").is_file()
