"""The functions that layers compute with on a processor: the same numbers as the plain formulas, gradients included."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_llm.models.layers.cross_entropy import linear_cross_entropy
from nemo_llm.models.layers.linear import WeightGradient, linear, product
from nemo_llm.models.layers.rms_norm import rms_norm
from nemo_llm.models.layers.swiglu import swiglu


def random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def same(ours: Callable[..., Tensor], plain: Callable[..., Tensor], inputs: Sequence[Tensor], close: float) -> None:
    """Compare outputs and gradients of all inputs, the plain formula in float64."""
    out = ours(*inputs)
    exact = [each.detach().double().requires_grad_() for each in inputs]
    expected = plain(*exact)
    assert out.shape == expected.shape
    towards = torch.randn(out.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    found = torch.autograd.grad(out, list(inputs), towards.to(out.dtype))
    wanted = torch.autograd.grad(expected, exact, towards)
    for a, b in zip([out, *found], [expected, *wanted], strict=True):
        assert a.isfinite().all()
        assert (a.double() - b).abs().max() <= close * max(1.0, float(b.abs().max()))


TYPES = [(torch.float64, 1e-12), (torch.float32, 3e-6), (torch.bfloat16, 2e-2)]
each_type = pytest.mark.parametrize(("dtype", "close"), TYPES, ids=["float64", "float32", "bfloat16"])


@each_type
@pytest.mark.parametrize("biased", [False, True])
def test_linear(dtype: torch.dtype, close: float, biased: bool) -> None:
    inputs = [random(5, 2, 12, dtype=dtype), random(7, 12, dtype=dtype)]
    inputs += [random(7, dtype=dtype)] if biased else []
    same(linear, F.linear, inputs, close)


def test_half_precision_is_added_up_in_float32() -> None:
    ones = torch.ones(1, 4096, dtype=torch.bfloat16)
    tiny = torch.full((4096, 1), 2**-9, dtype=torch.bfloat16)
    tiny[0] = 1.0
    assert product(ones, tiny).item() == pytest.approx(1 + 4095 * 2**-9, rel=2**-8)


@each_type
def test_swiglu(dtype: torch.dtype, close: float) -> None:
    def plain(both: Tensor) -> Tensor:
        gate, up = both.chunk(2, -1)
        return F.silu(gate) * up

    same(swiglu, plain, [random(3, 2, 10, dtype=dtype)], close)


@each_type
@pytest.mark.parametrize("plus_one", [False, True])
def test_rms_norm(dtype: torch.dtype, close: float, plus_one: bool) -> None:
    def plain(x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], weight + 1.0 if plus_one else weight, 1e-3)

    def ours(x: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(x, weight, 1e-3, plus_one=plus_one)

    same(ours, plain, [random(4, 3, 16, dtype=dtype), random(16, dtype=dtype)], close)


@each_type
@pytest.mark.parametrize("kept", [0, 1 << 20])
def test_cross_entropy(dtype: torch.dtype, close: float, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nemo_llm.models.layers.cross_entropy.ROWS", 4)
    monkeypatch.setattr("nemo_llm.models.layers.cross_entropy.BYTES", 0)
    labels = torch.arange(11) % 9

    def plain(hidden: Tensor, weight: Tensor) -> Tensor:
        return F.cross_entropy(hidden @ weight.t(), labels, reduction="none")

    def ours(hidden: Tensor, weight: Tensor) -> Tensor:
        return linear_cross_entropy(hidden, weight, labels, kept=kept)

    same(ours, plain, [random(11, 6, dtype=dtype), random(9, 6, dtype=dtype)], close)


def test_the_loss_of_an_impossible_word_is_finite_and_exact() -> None:
    hidden = torch.tensor([[1.0]])
    weight = torch.tensor([[0.0], [500.0], [-500.0]])
    losses = torch.cat([linear_cross_entropy(hidden, weight, torch.tensor([word])) for word in range(3)])
    assert losses.tolist() == [500.0, 0.0, 1000.0]


@pytest.mark.parametrize("counted", [[1, 4, 5], []])
@each_type
def test_words_that_do_not_count_have_no_part_in_the_loss(
    dtype: torch.dtype, close: float, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nemo_llm.models.layers.cross_entropy.ROWS", 2)
    monkeypatch.setattr("nemo_llm.models.layers.cross_entropy.BYTES", 0)
    labels = torch.full((7,), -100)
    labels[counted] = torch.tensor([3, 0, 2])[: len(counted)]

    def plain(hidden: Tensor, weight: Tensor) -> Tensor:
        return F.cross_entropy(hidden @ weight.t(), labels, reduction="none")  # ignores -100 likewise

    def ours(hidden: Tensor, weight: Tensor) -> Tensor:
        return torch.where(labels >= 0, linear_cross_entropy(hidden, weight, labels), 0.0)

    same(ours, plain, [random(7, 6, dtype=dtype), random(5, 6, dtype=dtype)], close)


def test_what_does_not_count_is_not_computed() -> None:
    hidden, weight = torch.full((3, 4), math.nan), random(5, 4, dtype=torch.float32)
    hidden[1] = 1.0
    losses = linear_cross_entropy(hidden, weight, torch.tensor([-1, 2, -100]))
    (gradient,) = torch.autograd.grad(losses.sum(), [weight])
    assert losses[0] == losses[2] == 0
    assert gradient.isfinite().all()


def test_a_graph_of_the_loss_that_is_kept_gives_the_same_gradients_again() -> None:
    hidden, weight = random(4, 3), random(5, 3)
    loss = linear_cross_entropy(hidden, weight, torch.tensor([0, 1, -100, 4])).sum()
    first = torch.autograd.grad(loss, [hidden, weight], retain_graph=True)
    second = torch.autograd.grad(loss, [hidden, weight])
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_gradients_are_the_derivatives() -> None:
    small: list[tuple[Callable[..., Any], list[Tensor]]] = [
        (linear, [random(2, 3), random(4, 3), random(4)]),
        (swiglu, [random(2, 6)]),
        (rms_norm, [random(2, 5), random(5)]),
        (lambda x, w: linear_cross_entropy(x, w, torch.tensor([0, 3])), [random(2, 3), random(4, 3)]),
    ]
    for function, inputs in small:
        assert torch.autograd.gradcheck(function, inputs)


def buffered(shape: tuple[int, int], dtype: torch.dtype, buffer: torch.dtype = torch.float32) -> Any:
    weight: Any = random(*shape, dtype=dtype)
    weight.main_grad = torch.ones(shape, dtype=buffer)
    weight.grad_added_to_main_grad = False
    return weight


@pytest.mark.parametrize(
    ("dtype", "buffer"),
    [(torch.float32, torch.float32), (torch.bfloat16, torch.float32), (torch.bfloat16, torch.bfloat16)],
)
def test_gradients_go_to_the_engines_buffer(dtype: torch.dtype, buffer: torch.dtype) -> None:
    weight, x = buffered((3, 4), dtype, buffer), random(5, 4, dtype=dtype)
    called = []
    accumulator = weight.expand_as(weight).grad_fn.next_functions[0][0]
    accumulator.register_hook(lambda *_: called.append(weight.grad is not None))
    linear(x, weight).sum().backward()
    expected = 1.0 + x.detach().float().sum(0).expand(3, 4)
    torch.testing.assert_close(weight.main_grad.float(), expected, rtol=1e-2, atol=2e-2)
    assert weight.grad_added_to_main_grad
    assert called == [True]  # the engine's hook for this weight ran, and found a gradient


def test_a_weight_used_twice_loses_neither_gradient() -> None:
    weight = buffered((4, 4), torch.float64, torch.float64)
    weight.zero_out_wgrad = True  # the engine marks shared embeddings so
    x = random(3, 4)
    (linear(x, weight).sum() + 2 * weight.sum()).backward()
    torch.testing.assert_close(weight.grad, torch.full((4, 4), 2.0, dtype=torch.float64))
    torch.testing.assert_close(weight.main_grad, 1.0 + x.detach().sum(0).expand(4, 4))


def test_buffers_that_appear_only_in_hooks_are_left_alone() -> None:
    weight = buffered((2, 3), torch.float32)
    weight.__fsdp_param__ = True
    gradient = WeightGradient(weight)
    gradient.add(torch.ones(1, 2), torch.ones(1, 3))
    assert torch.equal(gradient.result(), torch.ones(2, 3))  # type: ignore[arg-type]
    assert torch.equal(weight.main_grad, torch.ones(2, 3))
    assert WeightGradient(SimpleNamespace()).result() is None  # type: ignore[arg-type]


def test_frozen_weights_keep_no_input() -> None:
    weight = torch.ones(3, 4)
    out = linear(random(2, 4, dtype=torch.float32), weight)
    ((product_node, _),) = out.grad_fn.next_functions  # type: ignore[union-attr]
    assert product_node.saved_tensors[0] is None
    assert math.isfinite(out.sum().item())
