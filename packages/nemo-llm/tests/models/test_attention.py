"""Attention against the formula written out, on anything that hypothesis thinks of."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nemo_core.errors import ConfigError
from nemo_llm.models.config import ModelConfig
from nemo_llm.models.layers import attention, blockwise
from nemo_llm.models.layers.attention import SDPAttention
from nemo_llm.models.layers.blockwise import Rules, attend_blockwise, block_forward, merge


def naive(q: Tensor, k: Tensor, v: Tensor, rules: Rules, segments: Tensor | None = None) -> Tensor:
    """Attend as the papers write it: ``(S, B, H, D) -> (S, B, H * Dv)``, a query and a head at a time."""
    S, B, H, _ = q.shape
    per_group = H // k.shape[2]
    rows = []
    for s in range(S):
        for b in range(B):
            for h in range(H):
                seen = [
                    t
                    for t in range(S)
                    if (not rules.causal or t <= s)
                    and (rules.window is None or abs(s - t) < rules.window)
                    and (segments is None or segments[b, t] == segments[b, s])
                ]
                scores = (k[seen, b, h // per_group] @ q[s, b, h]) * rules.scale
                if rules.softcap is not None:
                    scores = rules.softcap * torch.tanh(scores / rules.softcap)
                rows.append(torch.softmax(scores, 0) @ v[seen, b, h // per_group])
    return torch.stack(rows).reshape(S, B, -1)


def make(rules: Rules, *, dropout: float = 0.0, **model: Any) -> SDPAttention:
    architecture = ModelConfig(
        num_layers=1, window=rules.window, attention_softcap=rules.softcap, num_heads=4, hidden_size=16, **model
    )
    config = SimpleNamespace(
        model=architecture, attention_dropout=dropout, context_parallel_size=1, sequence_parallel=True
    )
    kind = SimpleNamespace(name="causal" if rules.causal else "padding")
    return SDPAttention(config, 1, kind, softmax_scale=rules.scale)


def tensors(S: int, B: int, heads: int, kv_heads: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (
        torch.randn(S, B, count, size, generator=generator, dtype=torch.float64).float().requires_grad_()
        for count, size in ((heads, 8), (kv_heads, 8), (kv_heads, 6))
    )
    return q, k, v


def packed(B: int, S: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    starts = torch.rand(B, S, generator=generator) < 0.3
    segments = starts.cumsum(1).int()  # the first may be 0, which is padding
    return segments


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    kv_heads = draw(st.sampled_from((1, 2, 4)))
    return {
        "S": draw(st.integers(1, 20)),
        "B": draw(st.integers(1, 2)),
        "heads": kv_heads * draw(st.sampled_from((1, 2))),
        "kv_heads": kv_heads,
        "rules": Rules(
            draw(st.sampled_from((1.0, 0.25))),
            draw(st.booleans()),
            draw(st.none() | st.integers(1, 24)),
            draw(st.none() | st.floats(0.5, 20.0)),
        ),
        "segments": draw(st.booleans()),
        "largest": draw(st.sampled_from((0, 1 << 20))),
        "block": draw(st.sampled_from((3, 512))),
        "seed": draw(st.integers(0, 99)),
    }


@settings(max_examples=40, deadline=None)
@given(cases())
def test_attention_is_the_formula_forwards_and_backwards(case: dict[str, Any]) -> None:
    rules, seed = case["rules"], case["seed"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "LARGEST_MASK", case["largest"])
        patch.setitem(blockwise.BLOCKS, "cpu", case["block"])
        q, k, v = tensors(case["S"], case["B"], case["heads"], case["kv_heads"], seed)
        segments = packed(case["B"], case["S"], seed) if case["segments"] else None
        expected = naive(q, k, v, rules, segments)
        found = make(rules)(q, k, v, segments)
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)
        weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed))
        wanted = torch.autograd.grad((expected * weight).sum(), (q, k, v))
        gradients = torch.autograd.grad((found * weight).sum(), (q, k, v))
        for a, b in zip(gradients, wanted, strict=True):
            torch.testing.assert_close(a, b, atol=5e-5, rtol=5e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_two_blocks_of_keys_merge_into_attention_to_both(first: int, second: int, seed: int) -> None:
    q, k, v = (x.permute(1, 2, 0, 3).detach() for x in tensors(first + second, 1, 2, 1, seed))
    rules = Rules(0.5, causal=False)
    both, lse = block_forward(q, k, v, rules, None)
    parts = [block_forward(q, k[:, :, part], v[:, :, part], rules, None) for part in (slice(first), slice(first, None))]
    merged, merged_lse = merge(*parts[0], *parts[1])
    torch.testing.assert_close(merged, both)
    torch.testing.assert_close(merged_lse, lse)


def test_a_block_without_anything_to_see_adds_nothing() -> None:
    q, k, v = (x.permute(1, 2, 0, 3).detach() for x in tensors(4, 1, 2, 2, 0))
    blind = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    rules = Rules(0.5)
    nothing, nothing_lse = block_forward(q, k, v, rules, blind)
    assert not nothing.any()
    something = block_forward(q, k, v, rules, None)
    merged, _ = merge(*something, nothing, nothing_lse)
    torch.testing.assert_close(merged, something[0])


def test_half_precision_comes_out_as_it_came_in_and_is_near() -> None:
    rules = Rules(0.5, softcap=5.0)
    q, k, v = tensors(12, 2, 4, 2, 0)
    exact = make(rules)(q, k, v)
    found = make(rules)(*(x.bfloat16() for x in (q, k, v)))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, atol=5e-2, rtol=5e-2)


def test_memory_of_blocks_does_not_grow_with_the_square_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original = blockwise._scores

    def spy(*args: Any) -> Any:
        scores, bent = original(*args)
        seen.append(scores.numel())
        return scores, bent

    monkeypatch.setattr(blockwise, "_scores", spy)
    monkeypatch.setitem(blockwise.BLOCKS, "cpu", 16)
    q, k, v = (x.permute(1, 2, 0, 3) for x in tensors(256, 1, 1, 1, 0))
    attend_blockwise(q, k, v, Rules(0.5, window=16)).sum().backward()
    assert len(seen) == 2 * 16
    assert max(seen) == 16 * 31


def test_dropout_falls_on_the_weights_in_training_only() -> None:
    layer = make(Rules(0.5), dropout=0.5)
    q, k, _ = tensors(64, 1, 4, 4, 0)
    ones = torch.ones_like(k)
    torch.testing.assert_close(layer.eval()(q, k, ones), torch.ones(64, 1, 32))
    torch.manual_seed(0)
    out = layer.train()(q, k, ones)
    assert 0.9 < float(out.mean()) < 1.1
    assert float(out.std()) > 0.05
    segments = torch.ones(1, 64, dtype=torch.int32)
    assert float(layer(q, k, ones, segments).std()) > 0.05


def test_masks_of_the_engine_and_biases_are_understood() -> None:
    layer = make(Rules(0.5, causal=False))
    q, k, v = tensors(6, 1, 4, 2, 0)
    hidden = ~torch.ones(6, 6, dtype=torch.bool).tril()
    expected = naive(q, k, v, Rules(0.5))
    torch.testing.assert_close(layer(q, k, v, hidden[None, None]), expected, atol=1e-5, rtol=1e-5)
    bias = torch.zeros(1, 1, 6, 6).masked_fill(hidden, float("-inf"))
    torch.testing.assert_close(layer(q, k, v, None, attention_bias=bias), expected, atol=1e-5, rtol=1e-5)


def test_scale_is_of_the_head_if_not_given() -> None:
    layer = make(Rules(1.0))
    layer.scale = None
    q, k, v = tensors(5, 1, 4, 2, 0)
    torch.testing.assert_close(layer(q, k, v), naive(q, k, v, Rules(1 / math.sqrt(8))), atol=1e-5, rtol=1e-5)


def test_what_is_not_possible_says_so() -> None:
    with pytest.raises(ConfigError, match="soft-capped attention has no dropout"):
        make(Rules(1.0, softcap=5.0), dropout=0.1)
    q, k, v = tensors(5, 1, 4, 2, 0)
    with pytest.raises(ConfigError, match="packed_seq_params"):
        make(Rules(1.0))(q, k, v, packed_seq_params=object())
