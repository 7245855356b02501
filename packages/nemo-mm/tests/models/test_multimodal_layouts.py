"""The same training in every layout, with media in some rows: losses and gradient norms are those of one process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from nemo_llm.megatron import Layout

sys.path.insert(0, str(Path(__file__).parent))
from tiny_multimodal import training

TWO = {
    "TP2": (Layout(tensor=2), {}),
    "TP2 SP": (Layout(tensor=2, sequence_parallel=True), {}),
    "TP2 SP recompute": (Layout(tensor=2, sequence_parallel=True), {"recompute": "full"}),
    "PP2": (Layout(pipeline=2), {}),
    "PP2 VP2": (Layout(pipeline=2, virtual_pipeline=2), {}),
    "CP2": (Layout(context=2), {}),
    "CP2 ring": (Layout(context=2), {"context_mode": "ring"}),
    "DP2": (Layout(), {"sharding": "none"}),
    "DP2 optimizer": (Layout(), {"sharding": "optimizer"}),
    # Rows with and without media in turn: a process's micro-batch may have none while the other's has some.
    "DP2 overlap": (Layout(), {"overlap_grad_reduce": True, "overlap_param_gather": True, "micro_batch_size": 1}),
    "DP2 FSDP2": (Layout(), {"sharding": "fsdp2", "micro_batch_size": 1}),
}
FOUR = {
    "TP2 PP2 SP": (Layout(tensor=2, pipeline=2, sequence_parallel=True), {}),
    "TP2 CP2 SP": (Layout(tensor=2, context=2, sequence_parallel=True), {}),
    "PP2 DP2": (Layout(pipeline=2), {}),
}

Losses = list[tuple[float, float]]


@pytest.fixture(scope="module")
def alone() -> Losses:
    return training(Layout(), sharding="none")


@pytest.mark.parametrize("name", TWO)
def test_two_processes_train_as_one(name: str, two_ranks: Any, alone: Losses) -> None:
    layout, options = TWO[name]
    for found in two_ranks.run(training, layout, **options):
        assert_same(found, alone)


@pytest.mark.parametrize("name", FOUR)
def test_four_processes_train_as_one(name: str, four_ranks: Any, alone: Losses) -> None:
    layout, options = FOUR[name]
    for found in four_ranks.run(training, layout, **options):
        assert_same(found, alone)


def test_micro_batches_do_not_matter(alone: Losses) -> None:
    assert_same(training(Layout(), micro_batch_size=1), alone)


def test_recomputed_activations_do_not_matter(alone: Losses) -> None:
    assert_same(training(Layout(), recompute="full"), alone)


def test_sixteen_bits_follow_thirty_two(alone: Losses) -> None:
    for (loss, _), (other, _) in zip(training(Layout(), dtype="bfloat16"), alone, strict=True):
        assert loss == pytest.approx(other, rel=0.02)


@pytest.mark.parametrize(
    "model",
    [{"freeze": ["language"]}, {"freeze": ["reader"]}, {"peft": "lora", "freeze": ["reader.encoder"]}],
    ids=["projector only", "language only", "LoRA and projector"],
)
@pytest.mark.parametrize("layout", [Layout(tensor=2, sequence_parallel=True), Layout(pipeline=2)], ids=str)
def test_stages_of_training_are_the_same_in_layouts(model: dict[str, Any], layout: Layout, two_ranks: Any) -> None:
    expected = training(Layout(), model=model, recompute="full")
    for found in two_ranks.run(training, layout, model=model, recompute="full"):
        assert_same(found, expected)


def assert_same(found: Losses, expected: Losses) -> None:
    for (loss, norm), (other, other_norm) in zip(found, expected, strict=True):
        assert loss == pytest.approx(other, rel=1e-4)
        assert norm == pytest.approx(other_norm, rel=1e-3)
