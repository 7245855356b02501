"""Transducer losses, forwards and backwards, against ``log_softmax`` of the same logits and NVIDIA NeMo's RNN-T."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import torch
from torch.profiler import profile

from nemo_asr.losses import RNNTLoss, TDTLoss
from nemo_core.testing.bench import in_turn, seconds, versions
from nemo_core.testing.peers import NVIDIA_NEMO, peer_environment

B, T, U, V, DURATIONS, HIDDEN = 8, 200, 50, 1024, (0, 1, 2, 3, 4), 64
SMALL = (2, 20, 10, 64)
#: Times the floor; times RNN-T; memory beside the logits and their gradient, times the logits; speed, times NeMo's.
TARGET, TARGET_TDT, TARGET_MEMORY, TARGET_PEER = 2.5, 2.0, 1.0, 30
FLOOR, PEER = "log_softmax", "NVIDIA NeMo's RNN-T"

#: Runs in NeMo's environment: reads sizes, line by line, and answers each with seconds, the loss, and what TDT said.
THEIR_SIDE = """
import json, sys, time
import torch
from nemo.collections.asr.losses.rnnt import RNNTLoss

def losses(B, T, U, V):
    torch.manual_seed(0)
    logits, targets = torch.randn(B, T, U + 1, V + 1, requires_grad=True), torch.randint(V, (B, U))
    rest = dict(targets=targets, input_lengths=torch.full((B,), T), target_lengths=torch.full((B,), U))
    start = time.perf_counter()
    loss = RNNTLoss(num_classes=V)(log_probs=logits, **rest)
    loss.backward()
    taken = time.perf_counter() - start
    try:
        durations = [0, 1, 2, 3, 4]
        tdt = RNNTLoss(num_classes=V, loss_name="tdt", loss_kwargs={"durations": durations})
        tdt(log_probs=torch.randn(B, T, U + 1, V + 1 + len(durations)), **rest)
        said = "computes"
    except Exception as error:
        said = str(error)
    return taken, loss.item(), said

for line in sys.stdin:
    print("answer", json.dumps(losses(*json.loads(line))), flush=True)
"""


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

    python = peer_environment("nemo", NVIDIA_NEMO)
    command = [str(python), "-W", "ignore", "-c", THEIR_SIDE]
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True) as peer:
        _, theirs, said_of_tdt = ask(peer, SMALL)  # compiles, too
        clocks = {what: clock(work) for what, work in sides.items()}
        took = in_turn(clocks | {PEER: lambda: ask(peer, (B, T, U, V))[0]}, rounds=3, warmup=1)
    same = math.isclose(small_loss(*SMALL), theirs, rel_tol=1e-5)
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
            "memory x logits": memory.get(what),
            "beside the gradient": extra.get(what),
        }
        for what, value in took.items()
    ]
    ours, floor, faster = took["RNN-T"], took[FLOOR], took[PEER] / took["RNN-T"]
    return {
        "ours": ours,
        "peer": took[PEER],
        "unit": "s",
        "target": f">= {TARGET_PEER} x as fast, the same loss; <= {TARGET} x {FLOOR}; TDT <= {TARGET_TDT:g} x RNN-T; "
        f"memory beside the gradient <= {TARGET_MEMORY:g} x logits",
        "ok": same
        and faster >= TARGET_PEER
        and ours <= TARGET * floor
        and took["TDT"] <= TARGET_TDT * ours
        and max(extra["RNN-T"], extra["TDT"]) <= TARGET_MEMORY,
        "times_as_fast": faster,
        "over_log_softmax": ours / floor,
        "tdt_over_rnnt": took["TDT"] / ours,
        "same_loss": same,
        "tdt_of_peer": said_of_tdt,
        "memory": memory,
        "threads": torch.get_num_threads(),
        "versions": versions("nemo-asr", "torch") | {"peer": NVIDIA_NEMO[0]},
        "rows": rows,
    }


def ask(peer: Popen[str], sizes: tuple[int, ...]) -> tuple[float, float, str]:
    """Return the seconds that NeMo takes, its loss, and what it says of TDT."""
    assert peer.stdin is not None
    assert peer.stdout is not None
    print(json.dumps(sizes), file=peer.stdin, flush=True)
    for line in peer.stdout:
        if line.startswith("answer "):
            return tuple(json.loads(line.removeprefix("answer ")))
    raise RuntimeError("NVIDIA NeMo's side ended without an answer")


def small_loss(B: int, T: int, U: int, V: int) -> float:
    """Return our loss of what the other side makes from the same seed."""
    torch.manual_seed(0)
    logits, targets = torch.randn(B, T, U + 1, V + 1), torch.randint(V, (B, U))
    return float(RNNTLoss(V)(logits, targets, torch.full((B,), T), torch.full((B,), U)))


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
