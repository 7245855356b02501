"""One call of a 2-in 2-out module: what @typed adds to it, switched on and switched off."""

from __future__ import annotations

from typing import Any

import torch

from nemo_core.modules import NeuralModule
from nemo_core.testing.bench import in_turn, seconds
from nemo_core.types import AcousticEncoded, Lengths, NeuralType, Spectrogram, typed

#: Microseconds per call over the plain module.
BUDGET, BUDGET_DISABLED = 10.0, 0.5
ROUNDS, CALLS = 501, 50  # rounds short enough that what else the machine does rarely falls into one


class Plain(NeuralModule):
    """The same work unchecked."""

    def forward(self, features, length):
        """Return new tensors at next to no cost."""
        return features.detach(), length.detach()


class Typed(Plain):
    """Checked: two inputs, two outputs."""

    input_types = {"features": NeuralType(("B", "D", "T"), Spectrogram()), "length": NeuralType(("B",), Lengths())}
    output_types = {"encoded": NeuralType(("B", "D", "T"), AcousticEncoded()), "length": NeuralType(("B",), Lengths())}

    @typed
    def forward(self, features, length):
        """Return new tensors at next to no cost."""
        return features.detach(), length.detach()


class Sized(Typed):
    """Checked with a fixed and a named size."""

    input_types = {
        "features": NeuralType(("B:items", "D:4", "T"), Spectrogram()),
        "length": NeuralType(("B:items",), Lengths()),
    }


class Property(Typed):
    """Types made anew at every call, as people often write them."""

    @property
    def input_types(self):
        """Make the types."""
        return {"features": NeuralType(("B", "D", "T"), Spectrogram()), "length": NeuralType(("B",), Lengths())}

    @property
    def output_types(self):
        """Make the types."""
        return {"encoded": NeuralType(("B", "D", "T"), AcousticEncoded()), "length": NeuralType(("B",), Lengths())}


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    features, length = torch.zeros(2, 4, 8), torch.tensor([8, 5])
    plain, checked, sized, made = Plain(), Typed(), Sized(), Property()
    switched_off = seconds(lambda: checked(features, length), CALLS)

    def disabled() -> float:
        with typed.disabled():
            return switched_off()

    took = in_turn(
        {
            "plain": seconds(lambda: plain(features, length), CALLS),
            "typed": seconds(lambda: checked(features, length), CALLS),
            "typed, disabled": disabled,
            "typed, by name": seconds(lambda: checked(features=features, length=length), CALLS),
            "plain, by name": seconds(lambda: plain(features=features, length=length), CALLS),
            "typed, with sizes": seconds(lambda: sized(features, length), CALLS),
            "typed, types made at every call": seconds(lambda: made(features, length), CALLS),
        },
        rounds=ROUNDS,
    )
    base = {what: took["plain, by name"] if what.endswith("by name") else took["plain"] for what in took}
    added = {what: (value - base[what]) * 1e6 for what, value in took.items()}
    budgets = {"typed": BUDGET, "typed, by name": BUDGET, "typed, disabled": BUDGET_DISABLED}
    rows = [
        {
            "what": what,
            "us a call": value * 1e6,
            "us added": added[what],
            "budget": budgets.get(what),
            "x plain": value / base[what],
        }
        for what, value in took.items()
    ]
    return {
        "ours": added["typed"],
        "peer": took["plain"] * 1e6,
        "unit": "us",
        "target": f"<= {BUDGET:g} us added, <= {BUDGET_DISABLED:g} us when disabled (NeMo 2.7 adds about 72)",
        "ok": all(added[what] <= budget for what, budget in budgets.items()),
        "disabled": added["typed, disabled"],
        "rows": rows,
    }
