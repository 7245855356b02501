"""Every recipe composes at every size, its layout is possible, and what it keeps on a GPU fits into one."""

from __future__ import annotations

from typing import Any

import pytest

from nemo_core.config import Trust, compose, instantiate, list_recipes
from nemo_core.config.build import plain
from nemo_llm.megatron.strategy import MegatronStrategy
from nemo_llm.models.config import ModelConfig

RECIPES = [recipe.name for recipe in list_recipes() if recipe.name.startswith("llm/")]
FAMILIES = [name for name in RECIPES if "layouts" in compose(name)]
# Stated in the head of each recipe.
GPUS = {
    "llm/llama": {"2-70b": 64, "3-70b": 64, "3.1-70b": 64, "3.3-70b": 64, "3.1-405b": 1152, "2-13b": 16},
    "llm/mistral": {"nemo-12b": 16, "small-24b": 32},
    "llm/mixtral": {"8x7b": 64, "8x22b": 128},
    "llm/qwen2": {"72b": 64, "2.5-72b": 64, "2.5-14b": 16, "2.5-32b": 32},
    "llm/qwen2_moe": {"1.5-a2.7b": 16, "57b-a14b": 64},
    "llm/qwen3": {"14b": 16, "32b": 32},
    "llm/qwen3_moe": {"30b-a3b": 32, "235b-a22b": 128},
    "llm/gemma2": {"9b": 16, "27b": 32},
    "llm/gemma3": {"12b": 16, "27b": 32},
    "llm/phi3": {"medium-4k": 16, "4-14b": 16},
    "llm/deepseek_v2": {"lite": 16, "236b": 256},
    "llm/deepseek_v3": {"671b": 2048},
}


@pytest.mark.parametrize("name", RECIPES)
def test_it_composes_and_says_what_it_is(name: str) -> None:
    config = compose(name)
    assert config.recipe.summary
    assert config.recipe.data
    assert config.recipe.hardware


@pytest.mark.parametrize("name", FAMILIES)
def test_every_size_has_a_layout_that_is_possible_and_fits(name: str) -> None:
    sizes = compose(name).layouts
    for size in sizes:
        tree = plain(compose(name, [f"size={size}"]))
        processes = GPUS.get(name, {}).get(size, 8)
        strategy = built(tree["strategy"])
        strategy.preflight(tree, processes, lambda node, where: built(node))
        assert gigabytes(built(tree["model"]["architecture"]), strategy, processes) < 64, (name, size)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_a_size_for_a_laptop(name: str) -> None:
    tree = plain(compose(name, ["llm/data=tiny_shakespeare"]))
    config = built(tree["model"]["architecture"])
    assert config.num_parameters < 1e6
    built(tree["strategy"]).preflight(tree, 1, lambda node, where: built(node))


def built(node: Any) -> Any:
    return instantiate(node, trust=Trust.user(), at="")


def gigabytes(config: ModelConfig, strategy: MegatronStrategy, processes: int) -> float:
    """Return what a GPU keeps: weights in bf16, gradients in float32, and its share of the optimiser's three copies."""
    layout, total = strategy.layout, config.num_parameters
    experts = expert_weights(config)
    dense = (total - experts) / layout.tensor / layout.pipeline
    routed = experts / (layout.expert_tensor or layout.tensor) / layout.expert / layout.pipeline
    dense_copies = processes / layout.tensor / layout.pipeline
    routed_copies = processes / (layout.expert_tensor or layout.tensor) / layout.expert / layout.pipeline
    return (dense * (6 + 12 / dense_copies) + routed * (6 + 12 / routed_copies)) / 1e9


def expert_weights(config: ModelConfig) -> int:
    if config.experts is None:
        return 0
    layers = config.num_layers - len(config.experts.dense_layers)
    return layers * config.experts.count * 3 * config.hidden_size * config.experts.ffn_size
