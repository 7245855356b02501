"""Rotary embedding against transformers', for every way of stretching it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError
from nemo_llm.models.config import LatentAttention, ModelConfig, Rope
from nemo_llm.models.layers.rope import RotaryEmbedding, frequencies, rotate

LONG = {"short_factors": (1.0, 1.1, 1.3, 2.0), "long_factors": (1.0, 2.0, 4.0, 9.0)}
STRETCHED: dict[str, tuple[Rope, dict[str, Any]]] = {
    "default": (Rope(base=500.0), {"rope_theta": 500.0}),
    "linear": (Rope(scaling="linear", factor=3.0), {"factor": 3.0}),
    "dynamic": (Rope(scaling="ntk", factor=2.0), {"factor": 2.0}),
    "yarn": (Rope(scaling="yarn", factor=4.0, original_length=16), {
        "factor": 4.0, "original_max_position_embeddings": 16}),
    "yarn of DeepSeek": (
        Rope(scaling="yarn", factor=4.0, original_length=16, beta_fast=8.0, mscale=1.0, mscale_all_dim=0.7),
        {"factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 8, "mscale": 1.0, "mscale_all_dim": 0.7},
    ),
    "yarn not truncated": (
        Rope(scaling="yarn", factor=4.0, original_length=16, truncate=False, attention_factor=1.5),
        {"factor": 4.0, "original_max_position_embeddings": 16, "truncate": False, "attention_factor": 1.5},
    ),
    "llama3": (Rope(scaling="llama3", factor=8.0, original_length=32), {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}),
    "longrope": (Rope(scaling="longrope", original_length=16, **LONG), {
        "short_factor": list(LONG["short_factors"]), "long_factor": list(LONG["long_factors"]),
        "original_max_position_embeddings": 16}),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(STRETCHED))
@pytest.mark.parametrize("length", [12, 64])
def test_tables_are_those_of_transformers(name: str, length: int) -> None:
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    rope, theirs = STRETCHED[name]
    parameters = {"rope_type": name.split()[0], "rope_theta": 10000.0, **theirs}
    config = llama.LlamaConfig(
        hidden_size=32, num_attention_heads=4, max_position_embeddings=64, rope_parameters=parameters
    )
    positions = torch.arange(length)[None]
    cosine, sine = llama.LlamaRotaryEmbedding(config)(torch.zeros(1), positions)
    ours = RotaryEmbedding(ModelConfig(hidden_size=32, num_heads=4, max_length=64, rope=rope))
    for table in (ours(positions, torch.float32), ours.of_sequence(length, torch.float32, torch.device("cpu"))):
        assert table.shape == (1, 2, length, 1, 1, 4)
        torch.testing.assert_close(table[0, 0, :, 0, 0], cosine[0, :, :4], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(table[0, 1, :, 0, 0], sine[0, :, :4], atol=1e-5, rtol=1e-5)


def test_rotation_is_that_of_transformers_and_its_gradient_the_rotation_back() -> None:
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    q = torch.randn(2, 4, 6, 8, requires_grad=True)  # (B, H, S, D) of transformers
    angles = torch.rand(2, 6, 4)
    both = torch.cat([angles, angles], -1)
    expected, _ = llama.apply_rotary_pos_emb(q, q, both.cos(), both.sin())
    table = torch.stack([angles.cos(), angles.sin()]).transpose(1, 2)[:, :, :, None]
    found = rotate(q.permute(2, 0, 1, 3), table)
    torch.testing.assert_close(found.permute(1, 2, 0, 3), expected)
    weight = torch.randn_like(expected)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), q)
    (gradient,) = torch.autograd.grad((found * weight.permute(2, 0, 1, 3)).sum(), q)
    torch.testing.assert_close(gradient, wanted)


@settings(max_examples=20, deadline=None)
@given(st.booleans(), st.integers(1, 4), st.integers(0, 20), st.integers(0, 99))
def test_products_of_rotated_heads_depend_on_the_distance_alone(
    interleaved: bool, half: int, shift: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, k = (torch.randn(1, 1, 1, 2 * half + 2, generator=generator) for _ in range(2))  # the last two not rotated
    embedding = RotaryEmbedding(ModelConfig(head_dim=2 * half + 2, rope=Rope(fraction=2 * half / (2 * half + 2))))

    def product(a: int, b: int) -> float:
        tables = [embedding(torch.tensor([place]), torch.float32)[0] for place in (a, b)]
        rotated = (rotate(x, table, interleaved=interleaved) for x, table in zip((q, k), tables, strict=True))
        return float((next(rotated) * next(rotated)).sum())

    assert product(3, 1) == pytest.approx(product(3 + shift, 1 + shift), abs=1e-4)


def test_layers_with_a_window_have_a_base_of_their_own_and_are_not_stretched() -> None:
    rope = Rope(base=1e6, local_base=1e4, scaling="linear", factor=8.0)
    config = ModelConfig(hidden_size=32, num_heads=4, max_length=64, rope=rope, window=8, global_every=2)
    embedding = RotaryEmbedding(config)
    assert [embedding.kind_of(config.window_of(layer)) for layer in range(4)] == [1, 0, 1, 0]
    table = embedding.of_sequence(10, torch.float32, torch.device("cpu"))
    assert table.shape[0] == 2
    plain = RotaryEmbedding(ModelConfig(hidden_size=32, num_heads=4))(torch.arange(10), torch.float32)
    torch.testing.assert_close(table[1], plain[0])
    assert not torch.allclose(table[0], plain[0])


def test_positions_of_each_row_are_its_own() -> None:
    embedding = RotaryEmbedding(ModelConfig(hidden_size=32, num_heads=4))
    table = embedding(torch.tensor([[0, 1, 2], [5, 0, 1]]), torch.float32)
    assert table.shape == (1, 2, 3, 2, 1, 4)
    torch.testing.assert_close(table[:, :, 0, 0], table[:, :, 1, 1])
    torch.testing.assert_close(table[:, :, 1, 0], table[:, :, 2, 1])


def test_a_part_of_a_sequence_has_the_rows_of_the_whole() -> None:
    embedding = RotaryEmbedding(ModelConfig(hidden_size=32, num_heads=4))
    cpu = torch.device("cpu")
    whole = embedding.of_sequence(8, torch.float32, cpu)
    middle = embedding.of_sequence(8, torch.float32, cpu, (1, 2))
    torch.testing.assert_close(middle, whole[:, :, [2, 3, 4, 5]])
    assert embedding.of_sequence(8, torch.float32, cpu, (1, 2)) is middle


def test_latent_attention_rotates_its_own_dimensions() -> None:
    config = ModelConfig(hidden_size=32, num_heads=4, latent=LatentAttention(rope_dim=6))
    assert RotaryEmbedding(config)(torch.arange(3), torch.float32).shape[-1] == 3
    angles, _ = frequencies(Rope(), 6, length=3, max_length=3)
    assert len(angles) == 3


def test_positions_of_three_parts_turn_as_those_of_qwen2_vl() -> None:
    qwen = pytest.importorskip("transformers.models.qwen2_vl")
    peer = qwen.Qwen2VLTextConfig(
        hidden_size=32,
        num_attention_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
    )
    config = ModelConfig(hidden_size=32, num_heads=2, rope=Rope(sections=(2, 3, 3)))
    positions = torch.randint(0, 50, (2, 5, 3))
    rotary = qwen.modeling_qwen2_vl.Qwen2VLRotaryEmbedding(peer)
    cosine, sine = rotary(torch.zeros(1), positions.permute(2, 0, 1))  # (B, S, R), each angle twice
    table = RotaryEmbedding(config)(positions, torch.float32)[0, :, :, :, 0]  # (2, S, B, R / 2)
    torch.testing.assert_close(table[0].transpose(0, 1), cosine[..., :8])
    torch.testing.assert_close(table[1].transpose(0, 1), sine[..., :8])


def test_equal_parts_of_positions_are_positions() -> None:
    config = ModelConfig(hidden_size=32, num_heads=2, rope=Rope(sections=(2, 3, 3)))
    same = RotaryEmbedding(config)(torch.arange(5).expand(2, 5), torch.float32)
    parts = RotaryEmbedding(config)(torch.arange(5)[None, :, None].expand(2, 5, 3), torch.float32)
    assert torch.equal(same, parts)
    with pytest.raises(ConfigError, match="are not three parts of 8 pairs"):
        ModelConfig(hidden_size=32, num_heads=2, rope=Rope(sections=(2, 3)))
