from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.losses import MultiblankRNNTLoss, RNNTLoss, TDTLoss
from nemo_core.config import Trust, instantiate
from nemo_core.errors import ConfigError, DataError
from nemo_core.plugins import registry

LABELS = 3
DURATIONS = (0, 1, 3)
LOSSES = {
    "rnnt": lambda **kwargs: RNNTLoss(LABELS, **kwargs),
    "hat": lambda **kwargs: RNNTLoss(LABELS, factorized_blank=True, **kwargs),
    "multiblank": lambda **kwargs: MultiblankRNNTLoss(LABELS + 2, [2, 3], sigma=0.1, **kwargs),
    "tdt": lambda **kwargs: TDTLoss(LABELS, DURATIONS, sigma=0.2, **kwargs),
    "tdt-without-zero": lambda **kwargs: TDTLoss(LABELS, (2, 1), **kwargs),
}
OUTPUTS = {"rnnt": 4, "hat": 4, "multiblank": 6, "tdt": 7, "tdt-without-zero": 6}
every_loss = pytest.mark.parametrize("kind", LOSSES)


def moves(kind, logits, label):
    """What a transducer may do at one node: (duration, emits, log probability), written out from the papers."""
    if kind == "hat":
        labels, blank = logits[:-1].log_softmax(-1), logits[-1]
        yield 1, 0, -torch.log1p(torch.exp(-blank))
        if label is not None:
            yield 0, 1, labels[label] + torch.log(1 - torch.sigmoid(blank))
    elif kind == "rnnt":
        log_probs = logits.log_softmax(-1)
        yield 1, 0, log_probs[LABELS]
        if label is not None:
            yield 0, 1, log_probs[label]
    elif kind == "multiblank":
        log_probs = logits.log_softmax(-1) - 0.1
        for duration, blank in ((1, LABELS + 2), (2, LABELS + 1), (3, LABELS)):
            yield duration, 0, log_probs[blank]
        if label is not None:
            yield 0, 1, log_probs[label]
    else:
        durations, sigma = (DURATIONS, 0.2) if kind == "tdt" else ((2, 1), 0.0)
        tokens, lasting = logits[: LABELS + 1].log_softmax(-1) - sigma, logits[LABELS + 1 :].log_softmax(-1)
        for index, duration in enumerate(durations):
            if duration > 0:
                yield duration, 0, tokens[LABELS] + lasting[index]
            if label is not None:
                yield duration, 1, tokens[label] + lasting[index]


def by_enumeration(kind, logits, target):
    """Minus log of the summed probability of every alignment, one by one."""
    frames, paths = len(logits), []

    def follow(t, u, score):
        for duration, emits, weight in moves(kind, logits[t, u], target[u] if u < len(target) else None):
            there = (t + duration, u + emits)
            if there == (frames, len(target)) and not emits:
                paths.append(score + weight)
            elif there[0] < frames:
                follow(*there, score + weight)

    if frames:
        follow(0, 0, logits.new_zeros(()))
    return -torch.logsumexp(torch.stack(paths), 0) if paths else torch.tensor(math.inf)


def by_scalars(kind, logits, target):
    """Minus log probability, one node after the other, backwards."""
    frames = len(logits)

    @functools.cache
    def beta(t, u):
        ways = []
        for duration, emits, weight in moves(kind, logits[t, u], target[u] if u < len(target) else None):
            there = (t + duration, u + emits)
            if there == (frames, len(target)) and not emits:
                ways.append(weight)
            elif there[0] < frames:
                ways.append(weight + beta(*there))
        return torch.logsumexp(torch.stack(ways), 0) if ways else torch.tensor(-math.inf, dtype=logits.dtype)

    return -beta(0, 0)


def batch(kind, frames, labels, seed=0, dtype=torch.float64, extra=(0, 0)):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(frames), max(frames) + extra[0], max(labels) + 1 + extra[1], OUTPUTS[kind])
    logits = 2 * torch.randn(shape, generator=generator, dtype=dtype)
    targets = torch.randint(LABELS, (len(labels), max(labels) + extra[1]), generator=generator)
    return logits, targets, torch.tensor(frames), torch.tensor(labels)


@every_loss
@settings(max_examples=15, deadline=None)
@given(frames=st.integers(1, 4), labels=st.integers(0, 3), seed=st.integers(0, 99))
def test_the_loss_is_the_sum_over_all_alignments(kind, frames, labels, seed):
    logits, targets, *lengths = batch(kind, [frames], [labels], seed)
    loss = LOSSES[kind]()(logits, targets, *lengths)
    torch.testing.assert_close(loss, by_enumeration(kind, logits[0], targets[0].tolist()), check_dtype=False)


@every_loss
@settings(max_examples=6, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 6)), min_size=1, max_size=3), seed=st.integers(0, 9))
def test_values_and_gradients_of_ragged_batches_are_those_of_scalar_recursion(kind, sizes, seed):
    frames, labels = map(list, zip(*sizes, strict=True))
    logits, targets, *lengths = batch(kind, frames, labels, seed)
    logits.requires_grad_()
    losses = LOSSES[kind](reduction="none")(logits, targets, *lengths)
    expected = torch.stack(
        [
            by_scalars(kind, logits[b, :t, : u + 1], targets[b, :u].tolist())
            for b, (t, u) in enumerate(zip(frames, labels, strict=True))
        ]
    )
    torch.testing.assert_close(losses, expected)
    weight = torch.arange(1.0, len(sizes) + 1, dtype=torch.float64)
    found = expected.isfinite()
    if found.any():
        (ours,) = torch.autograd.grad((losses * weight)[found].sum(), logits)
        (theirs,) = torch.autograd.grad((expected * weight)[found].sum(), logits)
        torch.testing.assert_close(ours, theirs.nan_to_num())  # autograd through a way that is none gives nan


@every_loss
def test_gradients_are_those_of_finite_differences(kind):
    logits, targets, *lengths = batch(kind, [4, 3], [2, 1])
    loss = LOSSES[kind](reduction="none")
    assert torch.autograd.gradcheck(lambda x: loss(x, targets, *lengths), logits.requires_grad_())


@every_loss
@settings(max_examples=15, deadline=None)
@given(
    frames=st.integers(1, 5),
    labels=st.integers(0, 3),
    extra=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    filling=st.sampled_from([0.0, 1e4, math.inf, math.nan]),
)
def test_neither_padding_nor_neighbours_count(kind, frames, labels, extra, filling):
    logits, targets, *lengths = batch(kind, [frames, 5], [labels, 2], extra=extra)
    logits[0, frames:] = filling
    logits[0, :, labels + 1 :] = filling
    targets[0, labels:] = -100
    logits.requires_grad_()
    losses = LOSSES[kind](reduction="none")(logits, targets, *lengths)
    alone = logits.detach()[:1, :frames, : labels + 1].clone().requires_grad_()
    loss = LOSSES[kind](reduction="none")(alone, targets[:1, :labels], lengths[0][:1], lengths[1][:1])
    torch.testing.assert_close(losses[:1], loss)
    losses[0].backward()
    loss.sum().backward()
    torch.testing.assert_close(logits.grad[:1, :frames, : labels + 1], alone.grad)
    logits.grad[0, :frames, : labels + 1] = 0
    assert not logits.grad.any()


@every_loss
def test_where_no_alignment_exists_the_loss_is_infinite_and_has_no_gradient(kind):
    frames, labels = ([3, 0], [3, 1]) if kind == "tdt-without-zero" else ([4, 0], [3, 1])
    logits, targets, *lengths = batch(kind, frames, labels)
    logits.requires_grad_()
    losses = LOSSES[kind](reduction="none")(logits, targets, *lengths)
    assert losses[1] == math.inf
    assert losses[0].isinf() == (kind == "tdt-without-zero")
    losses.sum().backward()
    assert logits.grad.isfinite().all()
    assert not logits.grad[1].any()


@every_loss
def test_one_frame_without_labels_is_one_blank(kind):
    logits, targets, *lengths = batch(kind, [1], [0])
    (blank,) = (w for d, _, w in moves(kind, logits[0, 0, 0], None) if d == 1)
    torch.testing.assert_close(LOSSES[kind]()(logits, targets, *lengths), -blank)


def test_a_masked_label_and_a_vanishing_probability_leave_no_nan():
    logits = torch.zeros(1, 3, 2, 4)
    logits[..., 1] = -math.inf
    logits[:, :2, 0, 0] = -1e30
    logits.requires_grad_()
    loss = RNNTLoss(3)(logits, torch.tensor([[0]]), torch.tensor([3]), torch.tensor([1]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_arithmetic_is_that_of_float32(kind, dtype):
    logits, targets, *lengths = batch(kind, [40, 30], [12, 9], dtype=torch.float32)
    low = logits.to(dtype).requires_grad_()
    exact = low.detach().double().requires_grad_()
    loss, expected = (LOSSES[kind]()(x, targets, *lengths) for x in (low, exact))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected.float())
    (ours,), (theirs,) = torch.autograd.grad(loss, low), torch.autograd.grad(expected, exact)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=torch.finfo(dtype).eps + 1e-4)


def test_autocast_changes_nothing():
    logits, targets, *lengths = batch("tdt", [6, 5], [3, 2], dtype=torch.float32)
    expected = LOSSES["tdt"]()(logits, targets, *lengths)
    with torch.autocast("cpu", torch.bfloat16):
        assert LOSSES["tdt"]()(logits, targets, *lengths) == expected


def test_a_second_backward_pass_gives_the_same():
    logits, targets, *lengths = batch("rnnt", [6, 5], [3, 2])
    loss = LOSSES["rnnt"]()(logits.requires_grad_(), targets, *lengths)
    first, second = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def gradient(loss, logits, targets, *lengths):
    logits = logits.detach().requires_grad_()
    value = loss(logits, targets, *lengths)
    return value, torch.autograd.grad(value, logits)[0]


def test_fastemit_weighs_labels_more():
    given_ = batch("rnnt", [6], [3])
    plain, without = gradient(LOSSES["rnnt"](), *given_)
    value, with_ = gradient(LOSSES["rnnt"](fastemit_lambda=0.5), *given_)
    torch.testing.assert_close(value, 1.5 * plain)
    # The extra gradient is the one of half of each label's posterior; blanks only feel it through the softmax.
    extra = with_ - without
    blank = extra[..., LABELS]
    assert (blank >= 0).all()
    torch.testing.assert_close(extra.sum(-1), torch.zeros_like(blank))
    taken = torch.stack([extra[0, :, u, label] for u, label in enumerate(given_[1][0])], -1)
    probs = given_[0].softmax(-1)
    of_label = torch.stack([probs[0, :, u, label] for u, label in enumerate(given_[1][0])], -1)
    posterior = taken / (of_label - 1) / 0.5
    torch.testing.assert_close(posterior.sum(0), torch.ones(3, dtype=torch.float64))  # each label is emitted once


@every_loss
def test_clamping_bounds_the_gradient_of_each_utterance_before_it_is_weighted(kind):
    logits, targets, *lengths = batch(kind, [6, 5], [3, 2])
    logits.requires_grad_()
    weight = torch.tensor([3.0, -2.0], dtype=torch.float64)[:, None, None, None]
    grads = []
    for clamp in (-1.0, 0.01):
        losses = LOSSES[kind](reduction="none", clamp=clamp)(logits, targets, *lengths)
        grads.append(torch.autograd.grad(losses, logits, weight.flatten())[0])
    torch.testing.assert_close(grads[1], (grads[0] / weight).clamp(-0.01, 0.01) * weight)
    assert not torch.equal(*grads)


def test_reductions():
    logits, targets, *lengths = batch("rnnt", [6, 5], [3, 1])
    each = LOSSES["rnnt"](reduction="none")(logits, targets, *lengths)
    expected = {
        "mean_batch": each.mean(),
        "mean_volume": each.sum() / 4,
        "mean": (each / lengths[1]).mean(),
        "sum": each.sum(),
    }
    for reduction, value in expected.items():
        torch.testing.assert_close(LOSSES["rnnt"](reduction=reduction)(logits, targets, *lengths), value)


def test_omega_is_the_share_of_training_that_gets_the_loss_of_rnnt():
    logits, targets, *lengths = batch("tdt", [6, 5], [3, 2])
    loss, plain = TDTLoss(LABELS, DURATIONS, omega=1.0), TDTLoss(LABELS, DURATIONS)
    expected = RNNTLoss(LABELS)(logits[..., : LABELS + 1], targets, *lengths)
    value, grad = gradient(loss, logits, targets, *lengths)
    torch.testing.assert_close(value, expected)
    assert not grad[..., LABELS + 1 :].any()
    torch.testing.assert_close(loss.eval()(logits, targets, *lengths), plain(logits, targets, *lengths))
    torch.manual_seed(0)
    often = TDTLoss(LABELS, DURATIONS, omega=0.5)
    values = {round(float(often(logits, targets, *lengths)), 9) for _ in range(20)}
    assert values == {round(float(x), 9) for x in (expected, plain(logits, targets, *lengths))}


class Joint(torch.nn.Module):
    def __init__(self, outputs, dropout=0.0):
        super().__init__()
        torch.manual_seed(1)
        self.last = torch.nn.Linear(5, outputs, dtype=torch.float64)
        self.dropout = torch.nn.Dropout(dropout)
        self.frames = []

    def forward(self, encoded, predicted):
        self.frames.append(encoded.shape[1])
        return self.last(self.dropout(torch.tanh(encoded[:, :, None] + predicted[:, None])))


def both_ways(kind, joint, frames_at_once, **kwargs):
    """Value and gradients of the loss, of logits made at once and of logits made a few frames at a time."""
    _, targets, *lengths = batch(kind, [7, 5, 2], [3, 2, 0], extra=(2, 1))
    encoded = torch.randn(3, 9, 5, dtype=torch.float64, requires_grad=True)
    predicted = torch.randn(3, 5, 5, dtype=torch.float64, requires_grad=True)
    loss = LOSSES[kind](**kwargs)
    for value in (
        lambda: loss(joint(encoded, predicted), targets, *lengths),
        lambda: loss.fused(joint, encoded, predicted, targets, *lengths, frames_at_once=frames_at_once),
    ):
        torch.manual_seed(3)
        result = value()
        yield result, *torch.autograd.grad(result, [encoded, predicted, *joint.parameters()])


@every_loss
@pytest.mark.parametrize("frames_at_once", [1, 3, 100])
def test_fused_with_the_joint_network_the_loss_is_the_same(kind, frames_at_once):
    joint = Joint(OUTPUTS[kind])
    whole, parts = both_ways(kind, joint, frames_at_once, clamp=0.2, fastemit_lambda=0.1)
    torch.testing.assert_close(parts, whole)
    assert max(joint.frames[1:]) <= frames_at_once


def test_fused_with_a_joint_network_that_drops_out_both_passes_drop_the_same():
    whole, parts = both_ways("rnnt", Joint(4, dropout=0.5), 100)
    torch.testing.assert_close(parts, whole)


def test_fused_without_gradients():
    joint = Joint(4)
    encoded, predicted = torch.randn(1, 4, 5, dtype=torch.float64), torch.randn(1, 3, 5, dtype=torch.float64)
    targets, lengths = torch.tensor([[0, 2]]), (torch.tensor([4]), torch.tensor([2]))
    with torch.no_grad():
        fused = RNNTLoss(3).fused(joint, encoded, predicted, targets, *lengths, frames_at_once=2)
        torch.testing.assert_close(fused, RNNTLoss(3)(joint(encoded, predicted), targets, *lengths))


@every_loss
def test_fused_under_autocast_the_loss_is_the_same(kind):
    _, targets, *lengths = batch(kind, [7, 5], [3, 2])
    torch.manual_seed(0)
    last = torch.nn.Linear(5, OUTPUTS[kind])
    given_ = [torch.randn(2, 7, 5, requires_grad=True), torch.randn(2, 4, 5, requires_grad=True)]
    seen = set()

    def joint(encoded, predicted):
        logits = last(torch.tanh(encoded[:, :, None] + predicted[:, None]))
        seen.add(logits.dtype)
        return logits

    loss = LOSSES[kind]()
    with torch.autocast("cpu", torch.bfloat16):
        whole = loss(joint(*given_), targets, *lengths)
        parts = loss.fused(joint, *given_, targets, *lengths, frames_at_once=2)
    assert seen == {torch.bfloat16}
    assert whole.dtype == parts.dtype == torch.float32
    torch.testing.assert_close(parts, whole)
    wanted = [*given_, *last.parameters()]
    pairs = zip(torch.autograd.grad(parts, wanted), torch.autograd.grad(whole, wanted), strict=True)
    for ours, theirs in pairs:  # sums of gradients that were rounded to bfloat16, in another order
        torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02 * theirs.abs().max().item())


def test_fused_inside_of_a_checkpoint_the_loss_is_the_same():
    joint = Joint(OUTPUTS["tdt"])
    _, targets, *lengths = batch("tdt", [7, 5], [3, 2])
    encoded = torch.randn(2, 7, 5, dtype=torch.float64, requires_grad=True)
    predicted = torch.randn(2, 4, 5, dtype=torch.float64)

    def fused(encoded):
        return LOSSES["tdt"]().fused(joint, encoded.tanh(), predicted, targets, *lengths, frames_at_once=3)

    plain = fused(encoded)
    again = torch.utils.checkpoint.checkpoint(fused, encoded, use_reentrant=False)
    torch.testing.assert_close(again, plain)
    torch.testing.assert_close(torch.autograd.grad(again, encoded), torch.autograd.grad(plain, encoded))


def peak_memory(work):
    """Bytes that torch allocates at the most while it works, over what it held before."""
    with torch.profiler.profile(profile_memory=True) as profiled:
        work()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(itertools.accumulate(sizes))


def test_fused_never_holds_the_logits_of_a_whole_batch():
    B, T, U, V, hidden = 2, 96, 15, 511, 8
    last = torch.nn.Linear(hidden, V + 1)
    encoded, predicted = torch.randn(B, T, hidden, requires_grad=True), torch.randn(B, U + 1, hidden)
    rest = (torch.randint(V, (B, U)), torch.full((B,), T), torch.full((B,), U))

    def joint(encoded, predicted):
        return last(torch.relu(encoded[:, :, None] + predicted[:, None]))

    logits = B * T * (U + 1) * (V + 1) * 4
    loss = RNNTLoss(V)
    whole = peak_memory(lambda: loss(joint(encoded, predicted), *rest).backward())
    fused = peak_memory(lambda: loss.fused(joint, encoded, predicted, *rest, frames_at_once=8).backward())
    assert logits < whole  # what is measured is what is meant
    assert fused < logits / 2


def test_the_blank_may_be_the_first():
    logits, targets, *lengths = batch("rnnt", [6, 5], [3, 2])
    torch.testing.assert_close(
        RNNTLoss(0)(logits.roll(1, -1), targets + 1, *lengths), RNNTLoss(LABELS)(logits, targets, *lengths)
    )


def test_the_loss_that_nvidia_nemo_computed(nvidia):
    expected = np.load(nvidia / "fastconformer_rnnt_bpe" / "expected.npz")
    names = ("joint", "targets", "encoded_len", "target_len")
    loss = RNNTLoss(64, "mean_volume")(*(torch.from_numpy(expected[name]) for name in names))
    torch.testing.assert_close(loss, torch.from_numpy(expected["rnnt_loss"]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["asr.RNNTLoss", "asr.TDTLoss", "asr.MultiblankRNNTLoss"])
def test_a_registered_loss_is_built_and_takes_its_example(name):
    component = registry().find(name)
    loss = instantiate({"_target_": name, **component.metadata["example"]}, trust=Trust.user())
    assert loss.to_config()["_target_"] == name
    value = loss(**loss.input_example(component.metadata["example_sizes"]))
    assert value.isfinite()


def test_mistakes_are_told():
    logits, targets, frames, labels = batch("rnnt", [6, 5], [3, 2])
    loss = RNNTLoss(LABELS)
    targets.zero_()
    blank_in_one = targets + torch.tensor([[0], [LABELS]])
    cases = {
        "has 6 frames, the logits have 5": (logits[:, :5], targets, frames, labels),
        "3 labels, the logits have 3 steps": (logits[:, :, :3], targets, frames, labels),
        "a label of utterance 1 of the batch is a blank": (logits, blank_in_one, frames, labels),
        "a label of utterance 0 of the batch is -1": (logits, targets - 1, frames, labels),
        "is 4, the joint network": (logits, targets + 4, frames, labels),
    }
    for message, given_ in cases.items():
        with pytest.raises(DataError, match=message):
            loss(*given_)
    for message, make in {
        "too few for TDTLoss with blank 3": lambda: TDTLoss(LABELS)(logits, targets, frames, labels),
        "not the last of the 4": lambda: RNNTLoss(2, factorized_blank=True)(logits, targets, frames, labels),
        "mean_batches": lambda: RNNTLoss(2, "mean_batches"),
        "none is positive": lambda: TDTLoss(2, [0]),
        r"durations \[1, 1\]": lambda: TDTLoss(2, [1, 1]),
        r"big_blank_durations \[1\]": lambda: MultiblankRNNTLoss(9, [1]),
        "no place for 3": lambda: MultiblankRNNTLoss(2),
        "omega 2": lambda: TDTLoss(2, omega=2),
        "negative": lambda: RNNTLoss(-1),
        "frames_at_once 0": lambda: loss.fused(Joint(4), logits, logits, targets, frames, labels, frames_at_once=0),
    }.items():
        with pytest.raises(ConfigError, match=message):
            make()
