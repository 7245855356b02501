"""The decoder computes what the engine's modules compute on the whole text, for every family."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_llm.generation import Decoder
from nemo_llm.generation import decoder as decoder_module
from nemo_llm.megatron import Layout, engine
from nemo_llm.models import Experts, LatentAttention, ModelConfig, Rope, build_chunks, build_gpt
from nemo_llm.testing import Ranks

BASE: dict[str, Any] = {
    "vocab_size": 65,
    "hidden_size": 32,
    "num_layers": 4,
    "num_heads": 4,
    "ffn_size": 64,
    "max_length": 64,
}
GEMMA: dict[str, Any] = {
    "norm": "rms_plus_one",
    "sandwich_norm": True,
    "window": 4,
    "embedding_scale": 32**0.5,
    "activation": "gelu_tanh",
}
EXPERTS = Experts(count=4, per_token=2, ffn_size=32)
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"num_kv_heads": 2},
    "gpt2": {
        "positions": "learned",
        "norm": "layer",
        "gated": False,
        "activation": "gelu_tanh",
        "qkv_bias": True,
        "attention_bias": True,
        "mlp_bias": True,
        "tied_embeddings": True,
    },
    "gemma2": {
        **GEMMA,
        "num_kv_heads": 2,
        "global_every": 2,
        "attention_softcap": 5.0,
        "logit_softcap": 3.0,
        "query_scale": 0.3,
        "tied_embeddings": True,
    },
    "gemma3": {
        **GEMMA,
        "num_kv_heads": 1,
        "global_every": 3,
        "qk_norm": True,
        "rope": Rope(base=1e6, local_base=1e4, scaling="linear", factor=8.0),
    },
    "mistral": {"window": 5},
    "qwen2": {"qkv_bias": True, "num_kv_heads": 2},
    "qwen3": {"num_kv_heads": 2, "qk_norm": True, "head_dim": 16},
    "phi": {"rope": Rope(fraction=0.5)},
    "interleaved": {"rope": Rope(interleaved=True)},
    "dynamic_ntk": {"rope": Rope(scaling="ntk", factor=2.0, original_length=1000)},
    "llama3": {"rope": Rope(scaling="llama3", factor=8.0, original_length=16)},
    "mixtral": {"experts": EXPERTS},
    "qwen2_moe": {
        "experts": Experts(count=4, per_token=2, ffn_size=32, shared_ffn_size=48, shared_gate=True, normalize=False)
    },
    "deepseek_v2": {
        "latent": LatentAttention(kv_rank=16, nope_dim=8, rope_dim=8, value_dim=12),
        "rope": Rope(interleaved=True),
    },
    "deepseek_v3": {
        "latent": LatentAttention(q_rank=12, kv_rank=16, nope_dim=8, rope_dim=4, value_dim=12),
        "experts": Experts(
            count=8,
            per_token=3,
            ffn_size=32,
            shared_ffn_size=48,
            groups=4,
            groups_per_token=2,
            score="sigmoid",
            score_bias=True,
            scale=2.5,
            dense_layers=(0,),
        ),
        "rope": Rope(scaling="yarn", factor=4.0, original_length=16, mscale=1.0, mscale_all_dim=0.7),
    },
}


def config_of(family: str) -> ModelConfig:
    return ModelConfig(**{**BASE, **FAMILIES[family]})


def shake(model: torch.nn.Module) -> None:
    """Make weights large enough for logits to differ, norms and biases too; alike however they are divided."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                divided = getattr(parameter, "tensor_model_parallel", False)
                parameter.add_(0.05 if divided else 0.1 * torch.linspace(-1, 1, parameter.shape[0]))
            else:
                parameter.mul_(6)


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Any]]:
    """One model of each family, while the engine runs."""
    made: dict[str, Any] = {}
    with engine(seed=1):
        yield made


def model_of(family: str, models: dict[str, Any]) -> Any:
    if family not in models:
        models[family] = build_gpt(config_of(family)).eval()
        shake(models[family])
    return models[family]


def reference(model: Any, text: list[int]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([text]), None, None)
    return logits[0, -1]


@pytest.mark.parametrize("family", FAMILIES)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    leaves=st.lists(st.integers(0, 3), max_size=3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=4, deadline=None)
def test_logits_are_those_of_the_whole_text(
    family: str, lengths: list[int], leaves: list[int], seed: int, models: dict[str, Any]
) -> None:
    """Ragged prompts; rows leave; each row is compared with the engine's forward pass of its text alone."""
    model, random = model_of(family, models), torch.Generator().manual_seed(seed)

    def some(count: int) -> list[int]:
        return torch.randint(0, BASE["vocab_size"], (count,), generator=random).tolist()

    texts = [some(length) for length in lengths]
    decoder = Decoder([model], config_of(family))
    logits = decoder.start(texts, max_tokens=12)
    for step in range(9):
        for row, text in enumerate(texts):
            torch.testing.assert_close(logits[row], reference(model, text), atol=1e-5, rtol=1e-5)
        tokens = some(len(texts))
        texts = [[*text, token] for text, token in zip(texts, tokens, strict=True)]
        if step in (2, 5) and leaves and len(texts) > 1:
            leaving = leaves[step % len(leaves)] % len(texts)
            stay = [row for row in range(len(texts)) if row != leaving]
            decoder.keep(stay)
            texts, tokens = [texts[row] for row in stay], [tokens[row] for row in stay]
        logits = decoder.step(torch.tensor(tokens))


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2"])
def test_long_prompts_pass_in_pieces(family: str, models: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, config = model_of(family, models), config_of(family)
    prompts = [list(range(50)), list(range(13))]
    whole = Decoder([model], config).start(prompts, 4)
    monkeypatch.setattr(decoder_module, "_PREFILL", 7)
    torch.testing.assert_close(Decoder([model], config).start(prompts, 4), whole, atol=1e-5, rtol=1e-5)


def test_longrope_of_long_texts(models: dict[str, Any]) -> None:
    """Where a text outgrows the trained length, all its tokens have the angles of long texts."""
    rope = Rope(
        scaling="longrope", original_length=8, short_factors=(1.0, 1.1, 1.2, 1.3), long_factors=(2.0, 3.0, 4.0, 5.0)
    )
    config = ModelConfig(**{**BASE, "rope": rope})
    model = build_gpt(config).eval()
    shake(model)
    decoder = Decoder([model], config)
    texts = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [5, 4]]
    logits = decoder.start(texts, max_tokens=4)
    torch.testing.assert_close(logits[0], reference(model, texts[0]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits[1], reference(model, texts[1]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "deepseek_v3", "qwen2_moe"])
def test_packed_weights_say_the_same(family: str, models: dict[str, Any]) -> None:
    model, config = model_of(family, models), config_of(family)
    plain, packed = Decoder([model], config), Decoder([model], config, pack=True)
    prompts = [list(range(30)), list(range(7)), [3]]
    for first, second in zip(
        (plain.start(prompts, 4), plain.step(torch.tensor([1, 2, 3]))),
        (packed.start(prompts, 4), packed.step(torch.tensor([1, 2, 3]))),
        strict=True,
    ):
        torch.testing.assert_close(second, first, atol=1e-5, rtol=1e-5)


def test_bfloat16_agrees_up_to_its_rounding(models: dict[str, Any]) -> None:
    config = config_of("llama")
    model = build_gpt(config, dtype=torch.bfloat16).eval()
    shake(model)
    decoder = Decoder([model], config)
    logits = decoder.start([[1, 2, 3], [4]], 4)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits[1], reference(model, [4]), atol=0.05, rtol=0.05)


PROMPTS = [[3, 1, 4, 1, 5, 9, 2, 6], [2, 7], [1, 8, 2]]


def logits_in_layout(family: str, values: dict[str, Any]) -> list[list[float]]:
    """Return the logits of three steps in a layout; runs in every process."""
    layout, config = Layout(**values), config_of(family)
    with engine(layout, seed=1):
        chunks = build_chunks(config, layout)
        for chunk in chunks:
            shake(chunk.eval())
        decoder = Decoder(chunks, config)
        found = [decoder.start(PROMPTS, 4), decoder.step(torch.tensor([5, 6, 7]))]
        decoder.keep([0, 2])
        found.append(decoder.step(torch.tensor([8, 9])))
        return torch.cat(found).tolist()


@pytest.mark.parametrize(
    ("family", "values"),
    [
        ("llama", {"tensor": 2}),
        ("gpt2", {"tensor": 2}),
        ("gemma3", {"tensor": 2}),  # one head of keys for two processes
        ("deepseek_v3", {"tensor": 2}),
        ("mixtral", {"tensor": 2}),
        ("mixtral", {"expert": 2}),
        ("llama", {"pipeline": 2}),
        ("gpt2", {"pipeline": 2, "virtual_pipeline": 2}),
    ],
)
def test_layouts_agree_with_one_process(family: str, values: dict[str, Any], two_ranks: Ranks) -> None:
    alone = torch.tensor(two_ranks.run(logits_in_layout, family, {})[0])
    assert alone.abs().max() > 0.1
    for found in two_ranks.run(logits_in_layout, family, values):
        torch.testing.assert_close(torch.tensor(found), alone, atol=2e-5, rtol=1e-4)


def test_embeddings_take_the_places_of_tokens(models: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_module, "_PREFILL", 4)  # prompts go through in pieces
    config = ModelConfig(**BASE)
    model = build_gpt(config)
    with torch.no_grad():
        words = model.embedding.word_embeddings.weight
        decoder = Decoder([model], config)
        meant = [[3, 7, 8, 5, 7, 9], [7, 4]]
        expected = decoder.start(meant, 4), decoder.step(torch.tensor([1, 2]))
        given = [[3, 0, 0, 5, 0, 9], [0, 4]]
        replaced = [
            decoder_module.Replaced(torch.tensor([1, 2, 4]), words[[7, 8, 7]]),
            decoder_module.Replaced(torch.tensor([0]), words[[7]]),
        ]
        found = decoder.start(given, 4, replaced), decoder.step(torch.tensor([1, 2]))
        torch.testing.assert_close(found, expected)
        assert not torch.allclose(decoder.start(given, 4), expected[0])
        only_one = decoder.start(given, 4, [None, replaced[1]])
        torch.testing.assert_close(only_one[1], expected[0][1])
