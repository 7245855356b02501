"""Families of models: published sizes are of the published size, and small ones are built, run and trained."""

from __future__ import annotations

import json

import pytest
import torch

from nemo_core.errors import ConfigError
from nemo_core.plugins import registry
from nemo_llm.megatron import engine
from nemo_llm.models import ModelConfig, build_gpt, count_parameters, flops_per_token
from nemo_llm.models.families import FAMILIES, get

# Numbers of parameters that the files of the published models have.
PUBLISHED = {
    ("gpt2", "124m"): 124_439_808,
    ("gpt2", "1.5b"): 1_557_611_200,
    ("llama", "2-7b"): 6_738_415_616,
    ("llama", "2-70b"): 68_976_648_192,
    ("llama", "3.1-8b"): 8_030_261_248,
    ("llama", "3.2-1b"): 1_235_814_400,
    ("llama", "3.2-3b"): 3_212_749_824,
    ("llama", "3.3-70b"): 70_553_706_496,
    ("mistral", "7b-v0.1"): 7_241_732_096,
    ("mistral", "nemo-12b"): 12_247_782_400,
    ("mixtral", "8x7b"): 46_702_792_704,
    ("qwen2", "0.5b"): 494_032_768,
    ("qwen2", "2.5-7b"): 7_615_616_512,
    ("qwen2", "2.5-72b"): 72_706_203_648,
    ("qwen2_moe", "1.5-a2.7b"): 14_315_784_192,
    ("qwen3", "0.6b"): 596_049_920,
    ("qwen3", "8b"): 8_190_735_360,
    ("qwen3_moe", "30b-a3b"): 30_532_122_624,
    ("gemma", "2b"): 2_506_172_416,
    ("gemma", "7b"): 8_537_680_896,
    ("gemma2", "2b"): 2_614_341_888,
    ("gemma2", "27b"): 27_227_128_320,
    ("gemma3", "1b"): 999_885_952,
    ("phi3", "mini-4k"): 3_821_079_552,
    ("phi3", "4-14b"): 14_659_507_200,
    ("deepseek_v2", "lite"): 15_706_484_224,
    ("deepseek_v2", "236b"): 235_741_434_880,
    ("deepseek_v3", "671b"): 671_026_404_352,
}


@pytest.mark.parametrize(("family", "size"), PUBLISHED)
def test_published_sizes_have_the_published_number_of_weights(family: str, size: str) -> None:
    assert get(family).config(size).num_parameters == PUBLISHED[family, size]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_small_one_is_counted_right_runs_and_learns(family: str) -> None:
    config = get(family).config()
    with engine():
        model = build_gpt(config)
        assert sum(each.numel() for each in model.parameters()) == config.num_parameters
        tokens = torch.randint(0, config.vocab_size, (2, 40), generator=torch.Generator().manual_seed(0))
        loss = model(tokens, None, None, labels=tokens)
        assert loss.shape == tokens.shape
        loss.mean().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
        model.eval()
        with torch.no_grad():
            whole = model(tokens, None, None)
            start = model(tokens[:, :20], None, None)
            moved = model(tokens, torch.arange(40).expand(2, -1), None)
        torch.testing.assert_close(whole[:, :20], start, atol=1e-4, rtol=1e-4)  # nothing looks ahead
        torch.testing.assert_close(whole, moved, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_documents_do_not_see_each_other(family: str) -> None:
    config = get(family).config()
    with engine(), torch.no_grad():
        model = build_gpt(config).eval()
        first, second = torch.randint(0, config.vocab_size, (2, 1, 17), generator=torch.Generator().manual_seed(0))
        alone = torch.cat([model(first, None, None), model(second, None, None)], 1)
        segments = torch.tensor([[1] * 17 + [2] * 17], dtype=torch.int32)
        positions = torch.arange(17).repeat(2)[None]
        together = model(torch.cat([first, second], 1), positions, segments)
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_sizes_survive_json_and_say_where_they_are_from(family: str) -> None:
    data = get(family)
    assert data.source
    assert data.summary
    assert "tiny" in data.sizes
    for size in data.sizes:
        config = data.config(size)
        assert config.family == family
        assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
        assert count_parameters(config, active=True) <= config.num_parameters
        assert flops_per_token(config, 1024) > 4 * count_parameters(config, active=True)


def test_builders_are_components_that_take_other_values() -> None:
    components = registry()
    for family in FAMILIES:
        build = components.get("model_builder", f"llm.{family}").load()
        assert build("tiny", vocab_size=77).vocab_size == 77
    with pytest.raises(ConfigError, match="hidden_sizes is not a part of a model"):
        build("tiny", hidden_sizes=3)
    with pytest.raises(ConfigError, match="has no size '8b'"):
        get("deepseek_v3").config("8b")
    with pytest.raises(ConfigError, match="there is no family 'lama'\n  did you mean llama"):
        get("lama")


def test_flops_of_a_mixture_are_those_of_the_experts_visited() -> None:
    config = get("mixtral").config("8x7b")
    assert count_parameters(config, active=True) == 12_879_925_248
    per_token = flops_per_token(config, 1)
    assert per_token == pytest.approx(6 * (12_879_925_248 - 32000 * 4096), rel=1e-3)  # the embedding multiplies nothing


def test_windows_save_work() -> None:
    config = get("mistral").config("7b-v0.1")
    every = ModelConfig.from_dict({**config.to_dict(), "window": None})
    assert flops_per_token(config, 4096) == flops_per_token(every, 4096)
    assert flops_per_token(config, 32768) < flops_per_token(every, 32768)
