"""A whole model: positions, recomputation, precision, what the engine refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nemo_core.errors import ConfigError
from nemo_llm.megatron import Layout, engine
from nemo_llm.models import ModelConfig, build_gpt, engine_config
from nemo_llm.models.families import get
from nemo_llm.models.layers.spec import local_parts

SMALL = ModelConfig(vocab_size=65, hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=2, ffn_size=48)


def _tokens(B: int = 2, S: int = 12) -> Tensor:
    return torch.randint(0, 65, (B, S), generator=torch.Generator().manual_seed(0))


def _gradients(config: ModelConfig, **options: Any) -> dict[str, Tensor]:
    with engine():
        model = build_gpt(config, **options)
        tokens = _tokens() % config.vocab_size
        segments = torch.tensor([[1] * 5 + [2] * 7, [1] * 9 + [0] * 3], dtype=torch.int32)
        positions = torch.arange(12).expand(2, -1)
        model(tokens, positions, segments, labels=tokens).sum().backward()
        return {name: each.grad for name, each in model.named_parameters() if each.grad is not None}


FULL = {"recompute_granularity": "full", "recompute_num_layers": 1}
PARTS = {"recompute_granularity": "selective"}
RECOMPUTED: dict[str, tuple[str, dict[str, Any]]] = {
    "every layer": ("gemma3", {**FULL, "recompute_method": "uniform"}),
    "the first layer": ("gemma2", {**FULL, "recompute_method": "block"}),
    "attention": ("gemma2", {**PARTS, "recompute_modules": ["core_attn"]}),
    "norms and feed-forward": ("qwen3", {**PARTS, "recompute_modules": ["layernorm", "mlp"]}),
    "latent projections": ("deepseek_v3", {**PARTS, "recompute_modules": ["mla_up_proj"]}),
    "experts": ("qwen2_moe", {**PARTS, "recompute_modules": ["moe"]}),
}


@pytest.mark.parametrize("what", RECOMPUTED)
def test_recomputed_activations_give_the_same_gradients(what: str) -> None:
    family, options = RECOMPUTED[what]
    expected = _gradients(get(family).config())
    found = _gradients(get(family).config(), **options)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-4, msg=name)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 50), st.sampled_from(["llama", "deepseek_v2"]))
def test_a_text_may_start_anywhere(shift: int, family: str) -> None:
    config = get(family).config()
    with engine(), torch.no_grad():
        model = build_gpt(config).eval()
        tokens = _tokens()
        here, there = (model(tokens, torch.arange(12).expand(2, -1) + start, None) for start in (0, shift))
    torch.testing.assert_close(here, there, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("family", ["mistral", "gemma2", "deepseek_v2"])
def test_training_goes_on_after_validation_in_inference_mode(family: str) -> None:
    config = dataclasses.replace(get(family).config(), window=10)
    with engine():
        model = build_gpt(config)
        tokens = _tokens()
        segments = torch.ones(2, 12, dtype=torch.int32)
        positions = torch.arange(12).expand(2, -1)
        for given in ((None, None), (positions, segments)):
            with torch.inference_mode():
                model(tokens, *given)
            model(tokens, *given, labels=tokens).sum().backward()


def test_learned_positions_are_looked_up_where_they_are_given() -> None:
    config = get("gpt2").config()
    with engine(), torch.no_grad():
        model = build_gpt(config).eval()
        tokens = _tokens()
        usual = model(tokens, None, None)
        torch.testing.assert_close(model(tokens, torch.arange(12).expand(2, -1), None), usual)
        assert not torch.allclose(model(tokens, torch.arange(12).expand(2, -1) + 3, None), usual)


@pytest.mark.parametrize("family", ["llama", "gemma2", "mixtral", "deepseek_v3"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_to_the_whole(family: str, dtype: torch.dtype) -> None:
    config = get(family).config()
    losses = {}
    with engine():
        for each in (torch.float32, dtype):
            model = build_gpt(config, dtype=each)
            assert {parameter.dtype for parameter in model.parameters()} == {each}
            losses[each] = model(_tokens(), None, None, labels=_tokens())
            assert losses[each].dtype == torch.float32
            losses[each].mean().backward()
    assert float(losses[dtype].mean()) == pytest.approx(float(losses[torch.float32].mean()), rel=1e-2)


def test_logits_of_rows_that_fill_up_the_vocabulary_are_never_chosen() -> None:
    with engine(), torch.no_grad():
        model = build_gpt(SMALL)
        model.vocab_size = 68  # as if it had been divided among four
        logits, _ = model._finish_logits(None, None, (torch.zeros(3, 1, 68), None))
        assert bool((logits[..., 65:] == float("-inf")).all())
        assert not logits[..., :65].any()


def test_logits_are_capped() -> None:
    config = dataclasses.replace(SMALL, logit_softcap=0.01)
    with engine(), torch.no_grad():
        assert float(build_gpt(config)(_tokens(), None, None).abs().max()) <= 0.01


def test_parts_can_be_exchanged() -> None:
    class Norm(torch.nn.LayerNorm):
        def __init__(self, config: Any, hidden_size: int, eps: float, **options: Any) -> None:
            super().__init__(hidden_size, eps)

    with engine():
        model = build_gpt(SMALL, parts=dataclasses.replace(local_parts(), norm=Norm))
        assert isinstance(model.decoder.layers[0].input_layernorm, Norm)
        assert isinstance(model.decoder.final_layernorm, Norm)


def test_options_of_the_engine_are_passed_on_and_checked() -> None:
    with engine():
        config = engine_config(SMALL, Layout(), tp_comm_overlap=True, clone_scatter_output_in_embedding=False)
        assert config.tp_comm_overlap
        with pytest.raises(ConfigError, match="the engine has no option 'recompute_granularty'\n  did you mean"):
            engine_config(SMALL, recompute_granularty="full")
        with pytest.raises(ConfigError, match=r"the engine refuses this model: .*recompute_method"):
            engine_config(SMALL, recompute_granularity="full")
        with pytest.raises(ConfigError, match="float64 is no type"):
            engine_config(SMALL, dtype=torch.float64)
        with pytest.raises(ConfigError, match="the engine refuses to build this model: CPU Offloading"):
            build_gpt(SMALL, cpu_offloading=True, cpu_offloading_num_layers=1)


def test_without_the_engine_nothing_is_built() -> None:
    with pytest.raises(ConfigError, match="the engine does not run"):
        build_gpt(SMALL)
