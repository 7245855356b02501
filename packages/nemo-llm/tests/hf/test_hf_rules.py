"""The language of rules: what each process has of a weight, and that all shares make up the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError
from nemo_llm.hf.config import architecture_of, config_from_hf, read_config_json
from nemo_llm.hf.families import FAMILIES, weights
from nemo_llm.hf.files import WeightFiles
from nemo_llm.hf.rules import Piece, Rule, Weight, expand
from nemo_llm.hf.shares import Share, fill, pour
from nemo_llm.models.config import ModelConfig


def _qkv(groups: int, per_group: int, size: int, *, fused: bool, transposed: bool, columns: int = 5) -> Weight:
    rows = [groups * per_group * size, groups * size, groups * size]
    whole = sum(rows)
    pieces, start = [], 0
    for name, count in zip("qkv", rows, strict=True):
        shape = (whole if fused else count, columns)
        shape = shape[::-1] if transposed else shape
        pieces.append(Piece("all" if fused else name, shape, start if fused else 0, count, transposed))
        start += count
    return Weight("qkv", tuple(pieces), columns, "rows", "heads", groups=groups)


def _tensors(weight: Weight) -> dict[str, torch.Tensor]:
    return {piece.tensor: torch.randn(piece.shape) for piece in weight.pieces}


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 4), per_group=st.integers(1, 3), size=st.sampled_from([2, 4]),
    parts=st.sampled_from([1, 2, 4]), fused=st.booleans(), transposed=st.booleans(),
)  # fmt: skip
def test_queries_keys_and_values_go_and_come_back(
    groups: int, per_group: int, size: int, parts: int, fused: bool, transposed: bool
) -> None:
    weight = _qkv(groups, per_group, size, fused=fused, transposed=transposed)
    if weight.rows % parts:
        return
    theirs = _tensors(weight)
    shares = [torch.empty(weight.local_shape(parts)) for _ in range(parts)]
    for part, share in enumerate(shares):
        fill(Share(weight, share, part, parts), theirs.__getitem__)
    # The engine's layout, written down another way: for each group its queries, its keys, its values.
    flat = [value.t() if transposed else value for value in theirs.values()]
    if fused:
        counts = [groups * per_group * size, groups * size, groups * size]
        flat = list(flat[0].split(counts))
    grouped = torch.cat([value.reshape(groups, -1, 5) for value in flat], 1).reshape(-1, 5)
    assert torch.equal(torch.cat(shares), grouped)
    back = {name: torch.full_like(value, torch.nan) for name, value in theirs.items()}
    for part, share in enumerate(shares):
        pour(weight, share, part, parts, back)
    assert all(torch.equal(back[name], value) for name, value in theirs.items())


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_gate_and_up_are_each_divided(parts: int) -> None:
    pieces = (Piece("gate", (6, 4), 0, 6), Piece("up", (6, 4), 0, 6))
    weight = Weight("fc1", pieces, 4, "rows")
    theirs = _tensors(weight)
    for part in range(parts):
        share = torch.empty(weight.local_shape(parts))
        fill(Share(weight, share, part, parts), theirs.__getitem__)
        assert torch.equal(share, torch.cat([theirs[name].chunk(parts)[part] for name in ("gate", "up")]))


def test_columns_are_divided_and_the_bias_is_not() -> None:
    weight = Weight("fc2", (Piece("down", (4, 6), 0, 4),), 6, "columns")
    theirs = _tensors(weight)
    share = torch.empty(weight.local_shape(2))
    fill(Share(weight, share, 1, 2), theirs.__getitem__)
    assert torch.equal(share, theirs["down"][:, 3:])
    assert Weight("bias", (Piece("b", (4,), 0, 4),)).local_shape(2) == (4,)


def test_rows_that_fill_up_the_vocabulary_are_zero_and_left_out_on_the_way_back() -> None:
    weight = Weight("embedding", (Piece("wte", (7, 3), 0, 7),), 3, "rows", padded=True)
    theirs = _tensors(weight)
    shares = [torch.full((2, 3), 9.0) for _ in range(4)]
    for part, share in enumerate(shares):
        fill(Share(weight, share, part, 4), theirs.__getitem__)
    assert torch.equal(torch.cat(shares), torch.cat([theirs["wte"], torch.zeros(1, 3)]))
    back = {"wte": torch.empty(7, 3)}
    shares[-1][-1] = 5.0  # training moves them, and nobody shall see it
    for part, share in enumerate(shares):
        pour(weight, share, part, 4, back)
    assert torch.equal(back["wte"], theirs["wte"])


def test_rules_serve_encoders_and_cross_attention_too() -> None:
    rules = [
        Rule("encoder.layers.{layer}.fc.weight", ("enc.{layer}.w",), ("hidden",), "hidden", count="encoder_layers"),
        Rule("decoder.layers.{layer}.cross.linear_kv.weight", ("dec.{layer}.k", "dec.{layer}.v"), ("keys", "keys"),
             "hidden", "rows", "heads"),
    ]  # fmt: skip

    class Config:
        encoder_layers, num_layers = 2, 1

    found = expand(rules, Config(), {"hidden": 4, "keys": 4, "groups": 2, "experts": 0})
    assert list(found) == [f"encoder.layers.{n}.fc.weight" for n in (0, 1)] + [
        "decoder.layers.0.cross.linear_kv.weight"
    ]
    runs = found["decoder.layers.0.cross.linear_kv.weight"].runs(1, 2, 4)
    assert [(run.piece, run.start, run.stop) for run in runs] == [(0, 2, 4), (1, 2, 4)]


def test_a_family_without_rules() -> None:
    with pytest.raises(ConfigError, match=r"'lama' has no names.*\n.*did you mean llama"):
        weights(ModelConfig(family="lama"))


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"bert", "t5"}))  # they are in test_hf_encoders
def test_the_names_and_shapes_are_those_of_transformers(family: str, hf_folder: Callable[..., Any]) -> None:
    folder = hf_folder(family)
    values = read_config_json(folder)
    found = weights(config_from_hf(values))
    with WeightFiles(folder, architecture_of(values).prefix) as files:
        theirs = {name: files.shape(name) for name in files.names()}
    assert theirs == {piece.tensor: piece.shape for weight in found.values() for piece in weight.pieces}
