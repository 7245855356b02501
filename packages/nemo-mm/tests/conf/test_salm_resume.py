"""Adapters on a model that hears: a run that was stopped and gone on with ends with the weights of one that was not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from nemo_core.config import compose
from nemo_core.training import train
from nemo_mm.models.loading import loaded

SMALL = [
    "peft=lora",
    "model.architecture.language.num_layers=1",
    "model.architecture.encoder.jasper=[{filters: 16, kernel: 11, stride: 2, residual: false}, "
    "{filters: 16, kernel: 5, stride: 2}]",
    "model.architecture.projector_size=32",
    "model.answer_tokens=0",
    "data.global_batch_size=4",
    "data.eval_global_batch_size=4",
    "data.train.speech.size=32",
    "data.buckets=1",
    "data.validation.speech.size=2",
    "trainer.max_steps=6",
    "trainer.val_check_interval=3",
    "trainer.log_every_n_steps=1",
    "optim.lr=0.01",
    "experiment.test=false",
    "experiment.monitor=val_loss",
    "experiment.tensorboard=false",
    "experiment.checkpoint.every_n_steps=2",
]  # fmt: skip


def weights(path: Path) -> dict[str, torch.Tensor]:
    with loaded(path) as model:
        return {name: value.clone() for name, value in model.chunks[0].state_dict().items() if torch.is_tensor(value)}


@pytest.mark.skipif(importlib.util.find_spec("nemo_asr") is None, reason="its encoder and recordings are nemo-asr's")
@pytest.mark.parametrize("freeze", ["[]", "[reader.encoder]", "[reader]"])
def test_a_stopped_run_with_adapters_ends_as_one_that_was_not(freeze: str, tmp_path: Path) -> None:
    stop = [
        "trust=[nemo_core.testing]",
        f"+trainer.callbacks=[{{_target_: nemo_core.testing.Preempted, step: 4, note: {tmp_path}/note}}]",
    ]

    def config(folder: str, *more: str) -> Any:
        return compose("mm/salm_digits", [*SMALL, f"freeze={freeze}", f"experiment.dir={tmp_path}/{folder}", *more])

    whole = train(config("whole"))
    first = train(config("parts", *stop))
    assert (first.status, first.steps) == ("preempted", 4)
    resumed = train(config("parts", *stop))
    assert resumed.run_dir == first.run_dir
    assert resumed.steps == whole.steps == 6
    assert resumed.metrics["val_loss"] == whole.metrics["val_loss"]
    expected, found = weights(whole.archive), weights(resumed.archive)
    assert set(found) == set(expected)
    different = [name for name, value in expected.items() if not torch.equal(value, found[name])]
    assert different == []
    fresh = train(config("fresh", "trainer.max_steps=1"))
    moved = {name for name, value in weights(fresh.archive).items() if not torch.equal(value, expected[name])}
    assert any("decoder" in name for name in moved)  # the adapters were trained, and are added to the weights
    assert any("reader.encoder" in name for name in moved) == (freeze == "[]")
    assert any("reader.projector" in name for name in moved) == (freeze != "[reader]")
