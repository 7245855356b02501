"""Context parallelism: a sequence divided among processes gives what it gives undivided, gradients too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nemo_llm.models.config import ModelConfig
from nemo_llm.models.layers.attention import SDPAttention
from nemo_llm.models.layers.context import gather_sequence, positions_of, take_part
from nemo_llm.testing import Ranks


@given(st.integers(1, 4), st.integers(1, 5))
def test_parts_are_all_of_the_sequence_and_equally_much_work(size: int, half: int) -> None:
    parts = [positions_of(rank, size, 2 * half) for rank in range(size)]
    assert torch.cat(parts).sort().values.tolist() == list(range(2 * half * size))
    work = [int((part + 1).sum()) for part in parts]
    assert max(work) == min(work)
    whole = torch.arange(2 * half * size)[None]
    for rank, part in enumerate(parts):
        assert take_part(whole, rank, size)[0].tolist() == part.tolist()


def _attend(case: dict[str, Any]) -> Tensor:
    """Compare divided with undivided attention in each process; return the largest difference."""
    from torch import distributed

    from nemo_llm.models.layers import blockwise

    blockwise.BLOCKS["cpu"] = case["block"]
    rank, size = distributed.get_rank(), distributed.get_world_size()
    config = SimpleNamespace(
        model=ModelConfig(num_layers=1, window=case["window"], attention_softcap=case["softcap"]),
        attention_dropout=0.0, context_parallel_size=1, sequence_parallel=False,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(case["seed"])
    S, B, H, K = case["S"], 2, 4, case["kv_heads"]
    q, k, v, weight = (
        torch.randn(S, B, heads, width, generator=generator) for heads, width in ((H, 8), (K, 8), (K, 6), (1, H * 6))
    )
    segments = (torch.rand(B, S, generator=generator) < 0.2).cumsum(1).int() if case["segments"] else None
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    causal = SimpleNamespace(name="causal" if case["causal"] else "padding")
    expected = SDPAttention(config, 1, causal)(*leaves, segments)
    (expected * weight[:, :, 0]).sum().backward()

    config.context_parallel_size = size
    layer = SDPAttention(
        config, 1, causal, cp_comm_type=case["how"], pg_collection=SimpleNamespace(cp=distributed.group.WORLD)
    )
    mine = [take_part(x, rank, size, 0).clone().requires_grad_() for x in (q, k, v)]
    found = layer(*mine, None if segments is None else take_part(segments, rank, size))
    (found * take_part(weight[:, :, 0], rank, size, 0)).sum().backward()
    worst = float((found - take_part(expected, rank, size, 0)).abs().max())
    for a, b in zip(mine, leaves, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        worst = max(worst, float((a.grad - take_part(b.grad, rank, size, 0)).abs().max()))
    return torch.tensor(worst)


@pytest.mark.parametrize("how", ["all_gather", "p2p"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("segments", "window", "softcap"),
    [(False, None, None), (True, None, None), (False, 5, None), (True, 7, 4.0), (False, None, 4.0)],
)
def test_divided_attention_is_undivided(
    two_ranks: Ranks, how: str, causal: bool, segments: bool, window: int | None, softcap: float | None
) -> None:
    case = {
        "how": how, "causal": causal, "segments": segments, "window": window, "softcap": softcap, "S": 24,
        "kv_heads": 2, "block": 4, "seed": 1,
    }  # fmt: skip
    for worst in two_ranks.run(_attend, case):
        assert float(worst) < 2e-5


@pytest.mark.parametrize("how", ["all_gather", "p2p"])
def test_four_processes_go_round(four_ranks: Ranks, how: str) -> None:
    case = {
        "how": how, "causal": True, "segments": True, "window": 11, "softcap": None, "S": 32, "kv_heads": 1,
        "block": 512, "seed": 2,
    }  # fmt: skip
    for worst in four_ranks.run(_attend, case):
        assert float(worst) < 2e-5


def _gather(count: int) -> tuple[Tensor, Tensor]:
    from torch import distributed

    rank, size = distributed.get_rank(), distributed.get_world_size()
    part = positions_of(rank, size, count)[:, None].float().requires_grad_()
    whole = gather_sequence(part, distributed.group.WORLD)
    (whole * (rank + 1)).sum().backward()
    assert part.grad is not None
    return whole.detach(), part.grad


def test_gathering_puts_tokens_in_order_and_adds_up_gradients(two_ranks: Ranks) -> None:
    for whole, gradient in two_ranks.run(_gather, 4):
        assert whole[:, 0].tolist() == list(range(8))
        assert gradient[:, 0].tolist() == [3.0] * 4  # 1 from the first process, 2 from the second
