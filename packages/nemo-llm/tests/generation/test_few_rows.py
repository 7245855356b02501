"""What generation computes otherwise than training does, for few rows: the same numbers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from nemo_llm.generation.attention import attend
from nemo_llm.generation.linear import Weight, can_pack
from nemo_llm.generation.norm import RootMeanSquare, norm
from nemo_llm.models.layers.norms import Norm


@pytest.mark.parametrize("shape", [(24, 16), (16, 24), (1040, 1024)])
@pytest.mark.parametrize("rows", [1, 2, 3, 32, 33])
@pytest.mark.parametrize("biased", [False, True])
def test_a_weight_that_is_laid_out_gives_the_same(shape: tuple[int, int], rows: int, biased: bool) -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(shape), torch.randn(rows, 1, shape[1])
    bias = torch.randn(shape[0]) if biased else None
    packed = Weight(weight, bias, pack=True)
    if can_pack(weight):
        assert (packed.packed is not None) == (shape == (1040, 1024))
        assert (packed.turned is not None) == (shape != (1040, 1024))
    assert (packed(x) - F.linear(x, weight, bias)).abs().max() <= 1e-4


@pytest.mark.parametrize("plus_one", [False, True])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_the_norm_of_few_operations(plus_one: bool, dtype: torch.dtype, close: float) -> None:
    torch.manual_seed(0)
    config = SimpleNamespace(
        normalization="RMSNorm",
        layernorm_zero_centered_gamma=plus_one,
        params_dtype=dtype,
        use_cpu_initialization=True,
        sequence_parallel=False,
    )
    module = Norm(config, 48, eps=1e-2).requires_grad_(False)
    module.weight.normal_()
    short = norm(module)
    assert isinstance(short, RootMeanSquare)
    for scale in (0.0, 1e-3, 1.0, 1e3):
        x = (scale * torch.randn(3, 2, 48)).to(dtype)
        assert short(x).dtype == dtype
        assert ((short(x) - module(x)).abs() <= close * (1 + module(x).abs())).all()


@pytest.mark.parametrize("per_group", [1, 3])
@pytest.mark.parametrize("padding", [None, [0, 4]])
def test_attention_of_one_token(per_group: int, padding: list[int] | None) -> None:
    torch.manual_seed(0)
    queries, keys, values = torch.randn(2, 1, 5, per_group, 8), torch.randn(2, 5, 9, 8), torch.randn(2, 5, 9, 6)
    mask = None
    if padding is not None:
        mask = (torch.arange(9) >= torch.tensor(padding)[:, None])[:, None, None]
    found = attend(queries, keys[:, :, :7], values[:, :, :7], None if mask is None else mask[..., :7], scale=0.3)
    # As one of two tokens that see the same: by the fused kernel.
    seen = torch.arange(9) < 7 if mask is None else (torch.arange(9) < 7) & mask
    expected = attend(torch.cat((queries, queries), 1), keys, values, seen.expand(2, 1, 2, 9), scale=0.3)
    assert found.shape == (2, 1, 5 * per_group * 6)
    assert (found - expected[:, :1]).abs().max() <= 1e-5


def test_without_a_mask_no_token_looks_ahead() -> None:
    torch.manual_seed(0)
    queries, keys, values = torch.randn(2, 4, 3, 2, 8), torch.randn(2, 3, 4, 8), torch.randn(2, 3, 4, 8)
    seen = torch.ones(4, 4).tril().bool()[None, None]
    for softcap in (None, 5.0):
        found = attend(queries, keys, values, None, scale=0.3, softcap=softcap)
        expected = attend(queries, keys, values, seen, scale=0.3, softcap=softcap)
        assert (found - expected).abs().max() <= 1e-5
