"""Training and evaluation steps, driven by a real trainer."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile as sf
import torch

from nemo_asr.data import SpeechData


@pytest.fixture
def trainer():
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def manifest(folder, name, *texts, damaged=0):
    lines = []
    for index, text in enumerate(texts):
        audio = 0.1 * np.random.default_rng(index).standard_normal(4000 + 800 * index)
        sf.write(folder / f"{name}{index}.wav", audio, 8000)
        lines.append({"audio_filepath": f"{name}{index}.wav", "text": text, "duration": len(audio) / 8000})
    lines += [{"audio_filepath": "none.wav", "text": "a", "duration": 1}] * damaged
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return str(folder / f"{name}.jsonl")


def rate(model, data, split):
    """Word error rate by hand, one utterance at a time."""
    edits = units = 0
    for utterance in data.dataset(split):
        heard = model.transcribe(utterance.audio)[0].text.split()
        said = utterance.text.split()
        table = np.arange(len(heard) + 1)
        for i, word in enumerate(said, 1):
            row = [i]
            for j, other in enumerate(heard, 1):
                row.append(min(row[-1] + 1, table[j] + 1, table[j - 1] + (word != other)))
            table = np.array(row)
        edits, units = edits + table[-1], units + len(said)
    return edits, units


def test_rates_are_of_the_whole_set_whatever_the_batches(model, trainer, tmp_path):
    path = manifest(tmp_path, "a", "a b c", "d", "e a b d", "c")
    edits, units = rate(model, SpeechData(test=path, sample_rate=8000), "test")
    for batch_size in (1, 3):
        data = SpeechData(test=path, sample_rate=8000, batch_size=batch_size)
        (metrics,) = trainer.test(model, datamodule=data, verbose=False)
        assert metrics["test_wer"] == pytest.approx(edits / units)
        assert metrics.keys() == {"test_loss", "test_wer", "test_cer"}


def test_several_sets_have_their_own_rates_and_one_together(model, trainer, tmp_path):
    sets = {"clean": manifest(tmp_path, "a", "a b c"), "other": manifest(tmp_path, "b", "d", "e e")}
    data = SpeechData(validation=sets, sample_rate=8000, batch_size=1)
    metrics = trainer.validate(model, datamodule=data, verbose=False)[0]
    counts = {name: rate(model, SpeechData(test=path, sample_rate=8000), "test") for name, path in sets.items()}
    for name, (edits, units) in counts.items():
        assert metrics[f"val_wer/{name}"] == pytest.approx(edits / units)
    edits, units = map(sum, zip(*counts.values(), strict=True))
    assert metrics["val_wer"] == pytest.approx(edits / units)
    again = trainer.validate(model, datamodule=data, verbose=False)[0]
    assert again == metrics  # nothing is carried over


def test_training_goes_on_over_damaged_audio_and_counts_it(model, trainer, tmp_path):
    path = manifest(tmp_path, "a", "a b", "c", damaged=3)
    data = SpeechData(path, path, sample_rate=8000, on_bad_audio="skip", batch_size=1)
    model.optimizer_factory = lambda model: torch.optim.SGD(model.parameters(), lr=1e-3)
    before = torch.nn.utils.parameters_to_vector(model.parameters()).clone()
    trainer.fit(model, datamodule=data)
    after = torch.nn.utils.parameters_to_vector(model.parameters())
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)
    metrics = trainer.callback_metrics
    assert (metrics["train_skipped"], metrics["val_skipped"]) == (3, 3)
    assert torch.isfinite(metrics["val_wer"])
