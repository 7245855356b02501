"""What only a GPU shows: the same model there, with Transformer Engine where it is installed."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import pytest
import torch

from nemo_llm.megatron import engine
from nemo_llm.models import build_gpt
from nemo_llm.models.families import get
from nemo_llm.models.layers.spec import local_parts, transformer_engine_parts

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]
WITHOUT = importlib.util.find_spec("transformer_engine") is None


def _losses(family: str, device: str, dtype: torch.dtype, parts: Any = None) -> tuple[torch.Tensor, dict[str, Any]]:
    config = dataclasses.replace(get(family).config(), head_dim=None if get(family).config().latent else 32)
    model = build_gpt(config, dtype=dtype, parts=parts, seed=None)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.05 + float("norm" in name))
    tokens = torch.randint(0, 256, (2, 64), generator=generator).to(device)
    segments = (torch.arange(64, device=device) // 20 + 1).expand(2, -1).int()
    losses = torch.cat([model(tokens, None, mask, labels=tokens) for mask in (None, segments)])
    losses.mean().backward()
    return losses.detach().float().cpu(), dict(model.named_parameters())


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral", "mixtral", "gemma2", "gemma3", "deepseek_v3"])
def test_half_precision_is_near_to_the_whole(family: str) -> None:
    with engine():
        exact, _ = _losses(family, "cuda", torch.float32, local_parts())
        found, weights = _losses(family, "cuda", torch.bfloat16, local_parts())
    assert all(weight.is_cuda for weight in weights.values())
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in weights.values())
    torch.testing.assert_close(found.mean(), exact.mean(), atol=0.0, rtol=1e-2)


@pytest.mark.skipif(WITHOUT, reason="needs Transformer Engine (nemo-llm[gpu])")
@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral", "mixtral", "gemma2", "gemma3"])
def test_transformer_engine_computes_the_same_under_the_same_names(family: str) -> None:
    with engine():
        ours, names = _losses(family, "cuda", torch.bfloat16, local_parts())
        theirs, found = _losses(family, "cuda", torch.bfloat16, transformer_engine_parts(get(family).config()))
    assert {name: weight.shape for name, weight in found.items()} == {
        name: weight.shape for name, weight in names.items()
    }
    torch.testing.assert_close(theirs.mean(), ours.mean(), atol=0.0, rtol=1e-2)
