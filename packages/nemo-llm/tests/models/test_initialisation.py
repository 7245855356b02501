"""Weights and losses that do not depend on how a model is divided."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from nemo_llm.megatron import Layout, engine
from nemo_llm.models import Experts, LatentAttention, ModelConfig, Rope, build_chunks, build_gpt
from nemo_llm.models.initialisation import global_names
from nemo_llm.testing import Ranks

PLAIN = ModelConfig(vocab_size=65, hidden_size=32, num_layers=4, num_heads=4, num_kv_heads=2, ffn_size=48)
CONFIGS = {
    "plain": PLAIN,
    "one head of keys": dataclasses.replace(PLAIN, num_kv_heads=1),
    "tied, everything biased": dataclasses.replace(
        PLAIN, tied_embeddings=True, qkv_bias=True, attention_bias=True, mlp_bias=True, norm="layer", gated=False,
        positions="learned", max_length=16,
    ),
    "normed all over": dataclasses.replace(
        PLAIN, sandwich_norm=True, qk_norm=True, norm="rms_plus_one", embedding_scale=5.6, logit_softcap=3.0,
        attention_softcap=5.0, window=4, global_every=2, rope=Rope(base=1e6, local_base=1e4),
    ),
    "experts": dataclasses.replace(
        PLAIN, experts=Experts(count=4, per_token=2, ffn_size=16, shared_ffn_size=24, shared_gate=True,
                               dense_layers=(0,)),
    ),
    "latent": dataclasses.replace(
        PLAIN, num_kv_heads=None, latent=LatentAttention(q_rank=24, kv_rank=16, nope_dim=8, rope_dim=8, value_dim=8),
        rope=Rope(interleaved=True),
    ),
}  # fmt: skip
LAYOUTS = {
    "TP2": (Layout(tensor=2), tuple(CONFIGS)),
    "TP2 SP": (Layout(tensor=2, sequence_parallel=True), tuple(CONFIGS)),
    "PP2": (Layout(pipeline=2), ("plain", "tied, everything biased", "experts")),
    "PP2 VP2": (Layout(pipeline=2, virtual_pipeline=2), ("plain", "tied, everything biased", "experts")),
    "EP2": (Layout(expert=2), ("experts",)),
    "ETP1": (Layout(tensor=2, expert_tensor=1, sequence_parallel=True), ("experts",)),
}


def _compare_parts(config: ModelConfig, layout: Layout) -> int:
    with engine():
        whole = dict(global_names(build_gpt(config, seed=3)))
        whole = {name: value.detach().clone() for name, value in whole.items()}
    compared = 0
    with engine(layout):
        from megatron.core import parallel_state

        for chunk in build_chunks(config, layout, seed=3):
            for name, part in chunk.named_parameters():
                del name
                assert not part.isnan().any()
            for name, part in global_names(chunk):
                expected = whole[name]
                compared += 1
                if expected.shape == part.shape:
                    assert torch.equal(expected, part), name
                    continue
                rank = parallel_state.get_tensor_model_parallel_rank()
                if ".local_experts." in name:
                    rank = parallel_state.get_expert_tensor_parallel_rank()
                dim = next(d for d, (a, b) in enumerate(zip(expected.shape, part.shape, strict=True)) if a != b)
                pieces = 2 if "fc1" in name and config.gated else 1
                if expected.shape[0] == config.vocab_size:
                    expected = torch.cat([expected, expected.new_zeros(1, expected.shape[1])])
                mine = torch.cat([piece.chunk(2, dim)[rank] for piece in expected.chunk(pieces, dim)], dim)
                assert torch.equal(mine, part), name
    return compared


@pytest.mark.parametrize(
    ("layout", "config"), [(layout, config) for layout, (_, configs) in LAYOUTS.items() for config in configs]
)
def test_each_process_has_its_part_of_the_same_model(two_ranks: Ranks, layout: str, config: str) -> None:
    found = two_ranks.run(_compare_parts, CONFIGS[config], LAYOUTS[layout][0])
    assert all(compared > 10 for compared in found)


def test_seeds_and_deviations_are_those_asked_for() -> None:
    config = dataclasses.replace(PLAIN, hidden_size=64, num_heads=4, ffn_size=256, init_std=0.05)
    with engine():
        first, again, other = (dict(build_gpt(config, seed=seed).named_parameters()) for seed in (1, 1, 2))
    for name, value in first.items():
        assert torch.equal(value, again[name])
        if "norm" in name:
            assert bool((value == 1).all())
            continue
        assert not torch.equal(value, other[name])
        expected = 0.05 / math.sqrt(8) if "linear_proj" in name or "linear_fc2" in name else 0.05
        assert float(value.detach().std()) == pytest.approx(expected, rel=0.05)
    names = [name for name in first if name.endswith("fc1.weight")]
    assert not torch.equal(first[names[0]], first[names[1]])


def _tokens(config: ModelConfig, length: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens, labels = (torch.randint(0, config.vocab_size, (2, length), generator=generator) for _ in range(2))
    segments = torch.tensor([[1] * 5 + [2] * (length - 5), [1] * (length - 3) + [0] * 3], dtype=torch.int32)
    return tokens, labels, segments


def _losses_and_gradients(config: ModelConfig, layout: Layout, options: dict[str, Any]) -> dict[str, Any]:
    """Return the losses ``(B, S)`` and the gradients of this process's weights, finished by the engine."""
    from megatron.core import parallel_state
    from megatron.core.distributed import (
        DistributedDataParallel,
        DistributedDataParallelConfig,
        finalize_model_grads,
    )
    from torch import distributed

    from nemo_llm.models.layers.context import gather_sequence, take_part

    with engine(layout):
        model = build_gpt(config, layout=layout, seed=3, **options)
        wrapped = DistributedDataParallel(model.config, DistributedDataParallelConfig(), model)
        tokens, labels, segments = _tokens(config)
        rank, size = parallel_state.get_context_parallel_rank(), layout.context
        if size > 1:
            tokens, labels, segments = (take_part(each, rank, size) for each in (tokens, labels, segments))
        losses = wrapped(tokens, None, segments, labels=labels)
        replicas = distributed.get_world_size() // layout.model_processes
        (losses.sum() / replicas).backward()  # each replica has the same sequences
        finalize_model_grads([wrapped])
        if size > 1:
            group = parallel_state.get_context_parallel_group()
            losses = gather_sequence(losses.detach().t().contiguous(), group).t()
        found: dict[str, Any] = {"losses": losses.detach().numpy()}
        for name, weight in global_names(model):
            found[name] = weight.main_grad.numpy().copy()
        return found


def _put_together(name: str, parts: list[Tensor], whole: Tensor, config: ModelConfig) -> Tensor:
    """Return a weight from what the processes have of it."""
    if parts[0].shape == whole.shape:
        for part in parts[1:]:
            torch.testing.assert_close(part, parts[0], msg=name)
        return parts[0]
    dim = next(d for d, (a, b) in enumerate(zip(whole.shape, parts[0].shape, strict=True)) if a != b)
    pieces = 2 if "fc1" in name and config.gated else 1
    split = [part.chunk(pieces, dim) for part in parts]
    together = torch.cat([torch.cat([part[piece] for part in split], dim) for piece in range(pieces)], dim)
    return together[: whole.shape[0]]


RECOMPUTED = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
DIVIDED: dict[str, tuple[Layout, dict[str, Any], list[str]]] = {
    "TP2": (Layout(tensor=2), {}, [name for name in CONFIGS if name != "experts"]),
    "TP2 SP": (Layout(tensor=2, sequence_parallel=True), {}, list(CONFIGS)),
    "CP2": (Layout(context=2), {}, ["plain", "tied, everything biased", "normed all over", "latent"]),
    "CP2 ring": (Layout(context=2), {"cp_comm_type": "p2p"}, ["plain", "normed all over", "latent"]),
    "EP2": (Layout(expert=2), {}, ["experts"]),
    "TP2 recomputed": (Layout(tensor=2), RECOMPUTED, ["normed all over", "latent"]),
}


@pytest.mark.parametrize(
    ("layout", "config"), [(layout, config) for layout, (_, _, configs) in DIVIDED.items() for config in configs]
)
def test_losses_and_gradients_are_those_of_one_process(two_ranks: Ranks, layout: str, config: str) -> None:
    how, options, _ = DIVIDED[layout]
    expected = _losses_and_gradients(CONFIGS[config], Layout(), {})
    found = two_ranks.run(_losses_and_gradients, CONFIGS[config], how, options)
    assert set(expected) == set(found[0]) | set(found[1])
    for name, value in expected.items():
        whole = torch.from_numpy(value)
        parts = [torch.from_numpy(each[name]) for each in found if name in each]
        together = _put_together(name, parts, whole, CONFIGS[config])
        torch.testing.assert_close(together, whole, atol=2e-5, rtol=1e-3, msg=lambda told, name=name: f"{name}: {told}")
