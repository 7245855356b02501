"""The same training in every layout: losses, gradient norms and weights are those of one process."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from nemo_llm.megatron import Layout
from nemo_llm.models.config import Experts, ModelConfig
from nemo_llm.models.language_model import LanguageModel
from nemo_llm.testing import train_steps

CONFIG = ModelConfig(
    vocab_size=61, hidden_size=32, num_layers=4, num_heads=4, num_kv_heads=2, ffn_size=64, tied_embeddings=True
)
EXPERTS = dataclasses.replace(CONFIG, experts=Experts(count=4, per_token=2, ffn_size=32), tied_embeddings=False)
CLIP = 0.5


def training(layout: Layout, config: ModelConfig = CONFIG, **options: Any) -> list[tuple[float, float]]:
    """Train on the same batches; return the loss and the gradient norm of each step."""
    return train_steps(lambda: LanguageModel(config, seed=1), batch, layout, clip=CLIP, **options)


def batch(step: int, rows: int = 8, length: int = 16) -> dict[str, torch.Tensor]:
    """Rows of which each counts another number of tokens, so that an average of averages would be another number."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, 61, (rows, length + 1), generator=generator)
    counts = torch.arange(length)[None] < torch.arange(3, 3 + rows)[:, None]
    return {"tokens": tokens[:, :-1], "labels": tokens[:, 1:], "loss_mask": counts.float()}


@pytest.fixture(scope="module")
def alone() -> list[tuple[float, float]]:
    return training(Layout(), sharding="none")


@pytest.fixture(scope="module")
def alone_with_experts() -> list[tuple[float, float]]:
    return training(Layout(), EXPERTS, sharding="none")


TWO = {
    "TP2": (Layout(tensor=2), {}),
    "TP2 SP": (Layout(tensor=2, sequence_parallel=True), {}),
    "PP2": (Layout(pipeline=2), {}),
    "PP2 micro 1": (Layout(pipeline=2), {"micro_batch_size": 1}),
    "PP2 VP2": (Layout(pipeline=2, virtual_pipeline=2), {}),
    "PP2 VP2 overlap": (Layout(pipeline=2, virtual_pipeline=2), {"overlap_p2p": True, "micro_batch_size": 2}),
    "CP2": (Layout(context=2), {}),
    "CP2 ring": (Layout(context=2), {"context_mode": "ring"}),
    "DP2": (Layout(), {"sharding": "none"}),
    "DP2 optimizer": (Layout(), {"sharding": "optimizer"}),
    "DP2 overlap": (Layout(), {"overlap_grad_reduce": True, "overlap_param_gather": True, "micro_batch_size": 2}),
    "DP2 FSDP2": (Layout(), {"sharding": "fsdp2"}),
    "TP2 recompute": (Layout(tensor=2), {"recompute": "full"}),
    "TP2 selective": (Layout(tensor=2), {"recompute": "selective"}),
}
FOUR = {
    "TP2 PP2": (Layout(tensor=2, pipeline=2), {}),
    "TP2 PP2 VP2 SP": (Layout(tensor=2, pipeline=2, virtual_pipeline=2, sequence_parallel=True), {}),
    "TP2 CP2": (Layout(tensor=2, context=2, sequence_parallel=True), {}),
    "TP2 DP2": (Layout(tensor=2), {}),
    "PP2 CP2": (Layout(pipeline=2, context=2), {"context_mode": "ring"}),
    "PP2 DP2": (Layout(pipeline=2), {}),
    "CP2 DP2": (Layout(context=2), {}),
    "DP4": (Layout(), {}),
    "DP4 FSDP2": (Layout(), {"sharding": "fsdp2"}),
}


@pytest.mark.parametrize("name", TWO)
def test_two_processes_train_as_one(name: str, two_ranks: Any, alone: list[tuple[float, float]]) -> None:
    layout, options = TWO[name]
    for found in two_ranks.run(training, layout, **options):
        assert_same(found, alone)


@pytest.mark.parametrize("name", FOUR)
def test_four_processes_train_as_one(name: str, four_ranks: Any, alone: list[tuple[float, float]]) -> None:
    layout, options = FOUR[name]
    for found in four_ranks.run(training, layout, **options):
        assert_same(found, alone)


@pytest.mark.parametrize(
    "layout", [Layout(expert=2), Layout(tensor=2, sequence_parallel=True), Layout(pipeline=2)], ids=str
)
@pytest.mark.parametrize("dispatcher", ["allgather", "alltoall"])
def test_experts_train_as_in_one_process(
    layout: Layout, dispatcher: str, two_ranks: Any, alone_with_experts: list[tuple[float, float]]
) -> None:
    options = {"engine": {"moe_token_dispatcher_type": dispatcher}}
    for found in two_ranks.run(training, layout, EXPERTS, **options):
        assert_same(found, alone_with_experts)


@pytest.mark.parametrize("layout", [Layout(expert=2, tensor=2, sequence_parallel=True), Layout(expert=4)], ids=str)
def test_experts_train_as_in_one_process_on_four(
    layout: Layout, four_ranks: Any, alone_with_experts: list[tuple[float, float]]
) -> None:
    for found in four_ranks.run(training, layout, EXPERTS):
        assert_same(found, alone_with_experts)


def assert_same(found: list[tuple[float, float]], expected: list[tuple[float, float]]) -> None:
    for (loss, norm), (other, other_norm) in zip(found, expected, strict=True):
        assert loss == pytest.approx(other, rel=1e-4)
        assert norm == pytest.approx(other_norm, rel=1e-3)


def test_micro_batches_do_not_matter(alone: list[tuple[float, float]]) -> None:
    assert_same(training(Layout(), micro_batch_size=2), alone)


def test_recomputed_activations_do_not_matter(alone: list[tuple[float, float]]) -> None:
    assert_same(training(Layout(), recompute=2), alone)


def test_sixteen_bits_follow_thirty_two(alone: list[tuple[float, float]]) -> None:
    for (loss, _), (other, _) in zip(training(Layout(), dtype="bfloat16"), alone, strict=True):
        assert loss == pytest.approx(other, rel=0.02)


def test_half_precision_finds_its_loss_scale(alone: list[tuple[float, float]]) -> None:
    found = training(Layout(), dtype="float16", fp16_loss_scale=128.0)
    for (loss, _), (other, _) in zip(found, alone, strict=True):
        assert loss == pytest.approx(other, rel=0.02)
