"""Layouts: what is possible, and the arithmetic of what is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_core.errors import ConfigError
from nemo_llm.megatron import Layout
from nemo_llm.models.config import Experts, LatentAttention, ModelConfig

CONFIG = ModelConfig(hidden_size=64, num_layers=4, num_heads=4, num_kv_heads=2, ffn_size=96)


@pytest.mark.parametrize(
    ("layout", "processes", "told"),
    [
        (Layout(tensor=2, pipeline=2), 6, "6 processes cannot be divided into models of 4"),
        (Layout(tensor=3), 3, "num_heads 4 cannot be divided by tensor 3: 4 = 1 x 3 \\+ 1"),
        (Layout(pipeline=3), 3, "num_layers 4 cannot be divided by pipeline x virtual_pipeline 3"),
        (Layout(pipeline=2, virtual_pipeline=4), 2, "num_layers 4 cannot be divided by .* 8"),
        (Layout(virtual_pipeline=2), 1, "virtual_pipeline 2 needs pipeline > 1"),
        (Layout(sequence_parallel=True), 1, "tensor is 1"),
        (Layout(expert=2), 2, "the model has none"),
        (Layout(expert=2), 3, "3 processes cannot be divided into 2 for the experts"),
        (Layout(tensor=2, expert=2), 4, "needs sequence_parallel"),
        (Layout(tensor=0), 1, "tensor is 0"),
        (Layout(tensor=1.5), 1, "tensor is 1.5"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_work_is_refused_with_the_arithmetic(layout: Layout, processes: int, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        layout.check(processes, CONFIG)


@pytest.mark.parametrize(
    ("layout", "options", "told"),
    [
        (Layout(context=2), {"sequence_length": 30}, "sequence_length 30 cannot be divided into 2 x context = 4"),
        (Layout(), {"global_batch_size": 3}, "global_batch_size 3 cannot be divided among 2"),
        (Layout(), {"global_batch_size": 6, "micro_batch_size": 2}, "3 sequences of each process"),
        (
            Layout(pipeline=2, virtual_pipeline=2),
            {"global_batch_size": 3, "micro_batch_size": 1},
            "3 micro-batches cannot be divided by pipeline 2",
        ),
        (
            Layout(tensor=2, sequence_parallel=True),
            {"sequence_length": 31},
            "sequence_length 31 / context 1 cannot be divided by tensor 2",
        ),
    ],
)
def test_batches_must_divide_too(layout: Layout, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        layout.check(2, CONFIG, **options)


def test_latent_attention_and_what_experts_share_must_divide() -> None:
    latent = LatentAttention(q_rank=9, kv_rank=8, rope_dim=5)
    config = ModelConfig(latent=latent, ffn_size=31, experts=Experts(count=4, ffn_size=32, shared_ffn_size=33))
    with pytest.raises(ConfigError) as caught:
        Layout(tensor=2).check(2, config)
    told = str(caught.value)
    assert "latent.kv_rank + rope_dim 13 cannot be divided by tensor 2" in told
    assert "latent.q_rank 9" in told
    assert "experts.shared_ffn_size 33" in told
    assert "the engine trains experts with tensor 2 only with sequence_parallel" in told
    assert "ffn_size 31" not in told  # no layer has it


def test_experts_must_divide() -> None:
    config = ModelConfig(experts=Experts(count=3, ffn_size=31))
    with pytest.raises(ConfigError, match=r"experts.count 3 cannot be divided by expert 2"):
        Layout(expert=2).check(2, config)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Layout(tensor=3, pipeline=3).check(9, CONFIG, global_batch_size=7)
    assert str(caught.value).count("cannot be divided") == 3


@given(
    st.builds(
        Layout,
        tensor=st.integers(1, 4),
        pipeline=st.integers(1, 4),
        context=st.integers(1, 3),
        expert=st.integers(1, 2),
        sequence_parallel=st.booleans(),
    )
)
def test_plain_values_and_back(layout: Layout) -> None:
    assert Layout.from_dict(layout.to_dict()) == layout


def test_unknown_dimension() -> None:
    with pytest.raises(ConfigError, match="tensr is not a dimension"):
        Layout.from_dict({"tensr": 2})
