"""Transducer losses, forwards and backwards, against ``log_softmax`` forwards and backwards of the same logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import profile

from nemo_asr.losses import RNNTLoss, TDTLoss
from nemo_core.testing.bench import in_turn, seconds

B, T, U, V, DURATIONS, HIDDEN = 8, 200, 50, 1024, (0, 1, 2, 3, 4), 64
#: Times the floor; times RNN-T; memory beside the logits and their gradient, times the logits.
TARGET, TARGET_TDT, TARGET_MEMORY = 2.5, 2.0, 1.0
FLOOR = "log_softmax"


def run() -> dict[str, Any]:
    torch.manual_seed(0)
    batch = (torch.randint(V, (B, U)), torch.full((B,), T), torch.full((B,), U))
    # All losses get the same logits: as many as the widest needs.
    logits = torch.randn(B, T, U + 1, V + 1 + len(DURATIONS), requires_grad=True)
    incoming = torch.ones_like(logits)
    encoded, predicted = torch.randn(B, T, HIDDEN), torch.randn(B, U + 1, HIDDEN)
    last = torch.nn.Linear(HIDDEN, V + 1)

    def joint(encoded: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
        return last(torch.relu(encoded[:, :, None] + predicted[:, None]))

    def made_at_once() -> None:
        RNNTLoss(V)(joint(encoded, predicted), *batch).backward()

    def of(loss: torch.nn.Module) -> Callable[[], None]:
        return lambda: loss(logits, *batch).backward()

    on_logits = {
        FLOOR: lambda: logits.log_softmax(-1).backward(incoming),
        "RNN-T": of(RNNTLoss(V)),
        "TDT": of(TDTLoss(V, DURATIONS)),
    }
    with_joint = {
        "joint, then RNN-T": made_at_once,
        "joint fused with RNN-T": lambda: RNNTLoss(V).fused(joint, encoded, predicted, *batch).backward(),
    }

    sides = on_logits | with_joint

    def clock(work: Callable[[], None]) -> Callable[[], float]:
        def measure() -> float:
            logits.grad = None  # else gradients are added up
            return seconds(work)()

        return measure

    took = in_turn({what: clock(work) for what, work in sides.items()}, rounds=3)
    memory = {}
    size = logits.numel() * logits.element_size()
    for what, work in sides.items():
        logits.grad = None
        memory[what] = peak_memory(work) / size
    extra = {what: memory[what] - 1 for what in on_logits}  # all but the gradient of the logits
    rows = [
        {
            "what": what,
            "seconds": value,
            "x log_softmax": value / took[FLOOR],
            "memory x logits": memory[what],
            "beside the gradient": extra.get(what),
        }
        for what, value in took.items()
    ]
    ours, peer = took["RNN-T"], took[FLOOR]
    return {
        "ours": ours,
        "peer": peer,
        "unit": "s",
        "target": f"<= {TARGET} x {FLOOR}; TDT <= {TARGET_TDT:g} x RNN-T; memory beside the gradient <= "
        f"{TARGET_MEMORY:g} x logits",
        "ok": ours <= TARGET * peer
        and took["TDT"] <= TARGET_TDT * ours
        and max(extra["RNN-T"], extra["TDT"]) <= TARGET_MEMORY,
        "tdt_over_rnnt": took["TDT"] / ours,
        "memory": memory,
        "rows": rows,
    }


def peak_memory(work: Callable[[], None]) -> int:
    """Return the bytes that torch allocates on the CPU at the most, over what is allocated before."""
    with profile(profile_memory=True) as profiled:
        work()
    peak = now = 0
    events = profiled.profiler.kineto_results.events()
    for event in sorted((each for each in events if each.name() == "[memory]"), key=lambda each: each.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak
