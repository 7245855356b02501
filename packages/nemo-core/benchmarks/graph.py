"""Connecting and checking 1,000 modules by name and type, against making the modules and against bare dicts."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from nemo_core.graph import NeuralGraph
from nemo_core.modules import NeuralModule
from nemo_core.testing.bench import in_turn, seconds
from nemo_core.types import AcousticEncoded, Lengths, NeuralType

NODES = 1000
BUDGET = 50.0  # ms


class Layer(NeuralModule):
    """Two inputs, two outputs, no work."""

    input_types = {"encoded": NeuralType(("B", "D", "T"), AcousticEncoded()), "length": NeuralType(("B",), Lengths())}
    output_types = input_types

    def forward(self, encoded, length):
        """Return what comes in."""
        return encoded, length


def run() -> dict[str, Any]:
    """Measure, and say whether a check stays within its budget."""
    layers = [Layer() for _ in range(NODES)]
    names = [f"layer_{number}" for number in range(NODES)]

    def connected() -> NeuralGraph:
        graph = NeuralGraph("chain")
        nodes = [graph.add(name, layer) for name, layer in zip(names, layers, strict=True)]
        for before, after in itertools.pairwise(nodes):
            graph.connect(before.outputs.encoded, after.inputs.encoded)
            graph.connect(before.outputs.length, after.inputs.length)
        return graph

    def floor() -> dict[tuple[str, str], tuple[str, str]]:
        edges, types = {}, dict(zip(names, layers, strict=True))
        for before, after in itertools.pairwise(names):
            for port in ("encoded", "length"):
                if types[before].output_types[port] == types[after].input_types[port]:
                    edges[after, port] = before, port
        return edges

    graph = connected()
    inputs = {"encoded": torch.zeros(1, 1, 1), "length": torch.ones(1)}

    def by_hand() -> Any:
        values = (inputs["encoded"], inputs["length"])
        for layer in layers:
            values = layer(*values)
        return values

    took = in_turn(
        {
            "check": seconds(graph.check),
            "connect and check": seconds(lambda: connected().check()),
            "make the modules": seconds(lambda: [Layer() for _ in range(NODES)]),
            "compare types in bare dicts": seconds(floor),
            "run": seconds(lambda: graph(**inputs)),
            "run by hand": seconds(by_hand),
        }
    )
    rows = [
        {"what": what, "ms": value * 1e3, "x bare dicts": value / took["compare types in bare dicts"]}
        for what, value in took.items()
    ]
    return {
        "ours": took["check"] * 1e3,
        "peer": took["compare types in bare dicts"] * 1e3,
        "unit": "ms",
        "target": f"check of {NODES} connected modules <= {BUDGET:g} ms",
        "ok": took["check"] * 1e3 <= BUDGET,
        "connect_and_check": took["connect and check"] * 1e3,
        "run_over_by_hand": took["run"] / took["run by hand"],
        "rows": rows,
    }
