"""A model that hears trains alike in every layout: losses and gradient norms are those of one process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from nemo_llm.megatron import Layout
from nemo_llm.testing.steps import train_steps

sys.path.insert(0, str(Path(__file__).parent))
import tiny_speech


def training(layout: Layout, **options: Any) -> list[tuple[float, float]]:
    """Train on the same batches; return the loss and the gradient norm of each step."""
    return train_steps(tiny_speech.make, tiny_speech.batch, layout, steps=3, **options)


TWO = {
    "TP2": (Layout(tensor=2), {}),
    "TP2 SP": (Layout(tensor=2, sequence_parallel=True), {}),
    "PP2": (Layout(pipeline=2), {}),
    "CP2": (Layout(context=2), {}),
    "DP2": (Layout(), {"sharding": "none"}),
    "DP2, micro-batches of one row": (Layout(), {"micro_batch_size": 1}),
}


@pytest.fixture(scope="module")
def alone() -> list[tuple[float, float]]:
    return training(Layout(), sharding="none")


@pytest.mark.parametrize("name", TWO)
def test_two_processes_train_as_one(name: str, two_ranks: Any, alone: list[tuple[float, float]]) -> None:
    layout, options = TWO[name]
    for found in two_ranks.run(training, layout, **options):
        for (loss, norm), (other, other_norm) in zip(found, alone, strict=True):
            assert loss == pytest.approx(other, rel=1e-4)
            assert norm == pytest.approx(other_norm, rel=1e-3)


def training_with_ctc(layout: Layout, **options: Any) -> list[tuple[float, float]]:
    """The same with a loss on the encoder's frames."""
    return train_steps(tiny_speech.make_with_ctc, tiny_speech.batch_with_transcripts, layout, steps=2, **options)


@pytest.fixture(scope="module")
def alone_with_ctc(alone: list[tuple[float, float]]) -> list[tuple[float, float]]:
    found = training_with_ctc(Layout(), sharding="none")
    assert found[0][0] == pytest.approx(alone[0][0], rel=1e-5)  # the loss of the answers is as it was,
    assert abs(found[0][1] - alone[0][1]) > 0.1  # and the gradients are not
    return found


@pytest.mark.parametrize("name", TWO)
def test_a_loss_on_the_frames_counts_alike_in_every_layout(
    name: str, two_ranks: Any, alone_with_ctc: list[tuple[float, float]]
) -> None:
    layout, options = TWO[name]
    for found in two_ranks.run(training_with_ctc, layout, **options):
        for (loss, norm), (other, other_norm) in zip(found, alone_with_ctc, strict=True):
            assert loss == pytest.approx(other, rel=1e-4)
            assert norm == pytest.approx(other_norm, rel=1e-3)


def test_lower_precision_scales_it_as_the_other_loss(alone_with_ctc: list[tuple[float, float]]) -> None:
    (_, norm), *_ = training_with_ctc(Layout(), dtype="float16", fp16_loss_scale=8.0)
    assert norm == pytest.approx(alone_with_ctc[0][1], rel=0.05)


def test_what_is_frozen_stays() -> None:
    from nemo_llm.megatron import engine

    with engine(seed=1):
        for freeze, trained in (
            (["language", "reader.encoder"], {"reader.projector"}),
            (["reader.encoder"], {"reader.projector", "language"}),
            (["reader"], {"language"}),
        ):
            model = tiny_speech.make(freeze=freeze)
            model.build()
            names = {name for name, weight in model.chunks[0].named_parameters() if weight.requires_grad}
            parts = {".".join(name.split(".")[:2]) if name.startswith("reader.") else "language" for name in names}
            assert parts == trained
