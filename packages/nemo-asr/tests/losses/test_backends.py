from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr import torchaudio_support
from nemo_asr.losses import MultiblankRNNTLoss, RNNTLoss, TDTLoss
from nemo_asr.losses.backend import triton, with_triton
from nemo_core.errors import ConfigError, DataError

LABELS = 5
LOSSES = {
    "rnnt": lambda **kwargs: RNNTLoss(LABELS, **kwargs),
    "hat": lambda **kwargs: RNNTLoss(LABELS + 4, factorized_blank=True, **kwargs),
    "multiblank": lambda **kwargs: MultiblankRNNTLoss(LABELS + 2, [2, 3], sigma=0.1, **kwargs),
    "tdt": lambda **kwargs: TDTLoss(LABELS, (0, 1, 2, 4), sigma=0.2, **kwargs),
    "tdt-without-zero": lambda **kwargs: TDTLoss(LABELS, (2, 1), **kwargs),
}
OUTPUTS = {"rnnt": 6, "hat": 10, "multiblank": 8, "tdt": 10, "tdt-without-zero": 8}
every_loss = pytest.mark.parametrize("kind", LOSSES)

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu")
with_kernels = [
    pytest.mark.skipif(triton is None, reason="Triton is not installed"),
    pytest.mark.skipif(
        DEVICE.type == "cpu" and not INTERPRETED, reason="no GPU, and no interpreter: TRITON_INTERPRET=1"
    ),
]


def kernels(function):
    """Mark a test that starts Triton's kernels, on a GPU or in the interpreter."""
    for mark in (*with_kernels, *([pytest.mark.gpu] if DEVICE.type == "cuda" else [])):
        function = mark(function)
    return function


def batch(kind, frames, labels, seed=0, extra=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(frames), max(frames) + extra, max(labels) + 1 + extra, OUTPUTS[kind])
    logits = 2 * torch.randn(shape, generator=generator, dtype=dtype)
    targets = torch.randint(LABELS, (len(labels), max(labels) + extra), generator=generator)
    given = (logits, targets, torch.tensor(frames), torch.tensor(labels))
    return [each.to(DEVICE) for each in given]


def losses_and_gradients(loss, logits, *rest):
    """Losses of the utterances, and the gradient of their weighted sum."""
    logits = logits.detach().requires_grad_()
    losses = loss(logits, *rest)
    weight = torch.linspace(-1, 2, len(losses), device=losses.device)
    return losses, torch.autograd.grad((losses * weight)[losses.isfinite()].sum(), logits)[0]


@kernels
@every_loss
@settings(max_examples=5, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), min_size=1, max_size=3),
    extra=st.integers(0, 2),
    clamp=st.sampled_from([-1.0, 0.1]),
    fastemit=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 9),
)
def test_triton_and_torch_agree(kind, sizes, extra, clamp, fastemit, seed):
    frames, labels = map(list, zip(*sizes, strict=True))
    logits, *rest = batch(kind, frames, labels, seed, extra)
    for b, (t, u) in enumerate(sizes):  # whatever the padding is
        logits[b, t:] = torch.nan
        logits[b, :, u + 1 :] = torch.inf
    options = {"reduction": "none", "clamp": clamp, "fastemit_lambda": fastemit}
    expected = losses_and_gradients(LOSSES[kind](backend="torch", **options), logits, *rest)
    found = losses_and_gradients(LOSSES[kind](backend="triton", **options), logits, *rest)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@kernels
@every_loss
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_triton_and_torch_agree_in_any_precision(kind, dtype):
    given_ = batch(kind, [5, 4], [3, 2])
    given_[0] = given_[0].to(dtype)
    expected = losses_and_gradients(LOSSES[kind](backend="torch", reduction="none"), *given_)
    found = losses_and_gradients(LOSSES[kind](backend="triton", reduction="none"), *given_)
    assert found[0].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


@kernels
def test_triton_goes_on_where_a_vocabulary_is_wider_than_a_block():
    logits = torch.randn(1, 3, 2, 5000, device=DEVICE)
    rest = [torch.tensor(each, device=DEVICE) for each in ([[4998]], [3], [1])]
    expected = losses_and_gradients(RNNTLoss(4999, "none", backend="torch"), logits, *rest)
    found = losses_and_gradients(RNNTLoss(4999, "none", backend="triton"), logits, *rest)
    torch.testing.assert_close(found, expected)


@kernels
def test_triton_finds_no_alignment_where_there_is_none():
    logits, *rest = batch("tdt-without-zero", [3, 6], [3, 2])
    losses, grad = losses_and_gradients(TDTLoss(LABELS, (2, 1), reduction="none", backend="triton"), logits, *rest)
    assert losses.isinf().tolist() == [True, False]
    assert grad.isfinite().all()
    assert not grad[0].any()


@kernels
@every_loss
def test_triton_is_fused_with_the_joint_network(kind):
    _, *rest = batch(kind, [5, 4], [3, 2])
    torch.manual_seed(0)
    last = torch.nn.Linear(6, OUTPUTS[kind], device=DEVICE)
    encoded = torch.randn(2, 5, 6, device=DEVICE, requires_grad=True)
    predicted = torch.randn(2, 4, 6, device=DEVICE, requires_grad=True)

    def joint(encoded, predicted):
        return last(torch.tanh(encoded[:, :, None] + predicted[:, None]))

    whole = LOSSES[kind](backend="torch")(joint(encoded, predicted), *rest)
    parts = LOSSES[kind](backend="triton").fused(joint, encoded, predicted, *rest, frames_at_once=3)
    torch.testing.assert_close(parts, whole)
    wanted = [encoded, predicted, *last.parameters()]
    torch.testing.assert_close(torch.autograd.grad(parts, wanted), torch.autograd.grad(whole, wanted))


@pytest.mark.skipif(triton is None, reason="Triton is not installed")
def test_kernels_compile_for_a_gpu_that_is_not_here():
    # In a process of its own: the interpreter of this one takes the place of the compiler.
    code = """
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
        from nemo_asr.losses import triton_lattice, triton_scores

        INTEGERS = {"T", "U1", "C", "SIZE"}
        LONG = {"input_length", "target_length", "tokens", "lengths"}
        LOW = {"logits", "grad"}
        CONSTANTS = {"DURATIONS": (0, 1, 1), "EMITS": (1, 0, 1), "K": 2, "LIMITED": True}
        lattice, scores = triton_lattice, triton_scores
        for kernel in (lattice._alphas, lattice._posteriors, scores._gather, scores._scatter):
            for block in (1, 64):
                signature, constants = {}, {}
                for place, name in enumerate(kernel.arg_names):
                    if name in CONSTANTS or name == "BLOCK":
                        signature[name] = "constexpr"
                        constants[place,] = CONSTANTS.get(name, block)
                    else:
                        kind = "i64" if name in LONG else "bf16" if name in LOW else "fp32"
                        signature[name] = "i32" if name in INTEGERS else "*" + kind
                source = ASTSource(kernel, signature, constants)
                compiled = triton.compile(source, target=GPUTarget("cuda", 80, 32), options={"num_stages": 1})
                waits = "bar.sync" in compiled.asm["ptx"]
                print(kernel.__name__, block, waits)
    """
    environ = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    lines = [line[8:] for line in code.splitlines()]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [line.split() for line in done.stdout.splitlines()]
    assert len(said) == 8
    assert all(waits == "True" for name, block, waits in said if name in ("_alphas", "_posteriors") and block == "64")


@pytest.mark.skipif(triton is not None, reason="Triton is installed")
def test_without_triton_it_cannot_be_asked_for():
    logits, *rest = batch("rnnt", [3], [1])
    with pytest.raises(ConfigError, match=r"Triton 3\.4 or later is not installed"):
        RNNTLoss(LABELS, backend="triton")(logits, *rest)


@pytest.mark.skipif(triton is None, reason="Triton is not installed")
def test_triton_computes_on_cuda_unless_interpreted(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ConfigError, match="computes on CUDA, the logits are on cpu"):
        with_triton("triton", torch.device("cpu"))
    assert not with_triton("auto", torch.device("cpu"))


@pytest.mark.skipif(
    torchaudio_support.parts() is not torchaudio_support.Parts.ALL, reason="torchaudio's compiled parts do not load"
)
@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 7), st.integers(0, 5)), min_size=1, max_size=3),
    extra=st.integers(0, 2),
    clamp=st.sampled_from([-1.0, 0.1]),
)
def test_torchaudio_and_torch_agree(sizes, extra, clamp):
    frames, labels = map(list, zip(*sizes, strict=True))
    given_ = batch("rnnt", frames, labels, extra=extra)
    expected = losses_and_gradients(RNNTLoss(LABELS, "none", clamp=clamp, backend="torch"), *given_)
    found = losses_and_gradients(RNNTLoss(LABELS, "none", clamp=clamp, backend="torchaudio"), *given_)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(
    torchaudio_support.parts() is not torchaudio_support.Parts.ALL, reason="torchaudio's compiled parts do not load"
)
def test_torchaudio_takes_no_utterance_without_frames():
    logits, targets, _, labels = batch("rnnt", [3, 3], [1, 0])
    with pytest.raises(DataError, match="has no frames"):
        RNNTLoss(LABELS, backend="torchaudio")(logits, targets, torch.tensor([3, 0]), labels)


@pytest.mark.skipif(
    torchaudio_support.parts() is torchaudio_support.Parts.ALL, reason="torchaudio's compiled parts load"
)
def test_torchaudio_that_does_not_load_is_told():
    logits, *rest = batch("rnnt", [3], [1])
    with pytest.raises(ConfigError, match=r"torchaudio (is not installed|\S+ has no compiled parts)"):
        RNNTLoss(LABELS, backend="torchaudio")(logits, *rest)


def test_backends_that_cannot_be_are_refused():
    for message, make in {
        "'cuda' is not known": lambda: RNNTLoss(2, backend="cuda"),
        "'torchaudio' is not known": lambda: TDTLoss(2, backend="torchaudio"),
        "knows no fastemit_lambda": lambda: RNNTLoss(2, fastemit_lambda=0.1, backend="torchaudio"),
        "knows no factorized_blank": lambda: RNNTLoss(2, factorized_blank=True, backend="torchaudio"),
        "takes the logits of a whole batch": lambda: RNNTLoss(2, backend="torchaudio").fused(None, *[None] * 5),
    }.items():
        with pytest.raises(ConfigError, match=message):
            make()
