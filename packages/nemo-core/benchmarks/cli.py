"""Starting the command line: nemo --help and nemo plugins list, as installed and with 50 more plugins."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

from nemo_core.testing.bench import in_turn, process_seconds
from nemo_core.testing.distributions import write_distribution

MORE = 50
#: Seconds for the whole process: with what is installed, and with 50 more plugins.
BUDGET, BUDGET_WITH_MORE = 0.40, 0.80
COMMANDS = {"nemo --help": ["--help"], "nemo plugins list": ["plugins", "list"]}

#: A lazy plugin of a usual size: ten components, a command, a pretrained model.
PLUGIN = """
    from nemo_core.plugins import hookimpl

    @hookimpl
    def nemo_components(registry):
        for index in range(10):
            registry.module(f"extra{number}.M{{index}}", f"nemo_extra{number}.modules:M{{index}}", summary="A module")
        registry.recipes("nemo_extra{number}.conf")
        registry.command("extra{number} run", "nemo_extra{number}.cli:run", summary="Run it")
        registry.pretrained("extra{number}-base", location="hf://x/y/z.nemo", summary="A model", license="MIT")
"""


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as site:
        for number in range(MORE):
            source = PLUGIN.format(number=number)
            write_distribution(site, f"nemo-extra{number}", {f"nemo_extra{number}_plugin": source})
        sides = {"bare Python": process_seconds([sys.executable, "-c", "pass"])}
        for what, arguments in COMMANDS.items():
            command = [sys.executable, "-m", "nemo_core.cli.main", *arguments]
            sides[what] = process_seconds(command)
            sides[f"{what} (+{MORE})"] = process_seconds(command, {"PYTHONPATH": site})
        for name in ("torch", "pytorch_lightning"):
            sides[f"import {name}"] = process_seconds([sys.executable, "-c", f"import {name}"])
        took = in_turn(sides)
    bare, torch, lightning = took["bare Python"], took["import torch"], took["import pytorch_lightning"]
    budgets = dict.fromkeys(COMMANDS, BUDGET) | {f"{what} (+{MORE})": BUDGET_WITH_MORE for what in COMMANDS}
    rows = [
        {
            "what": what,
            "seconds": value,
            "budget": budgets.get(what),
            "x bare Python": value / bare,
            "x torch": value / torch,
            "x Lightning": value / lightning,
        }
        for what, value in took.items()
    ]
    return {
        "ours": max(took[what] for what in COMMANDS),
        "peer": bare,
        "unit": "s",
        "target": f"<= {BUDGET:.2f} s; <= {BUDGET_WITH_MORE:.2f} s with {MORE} more plugins",
        "ok": all(took[what] <= budget for what, budget in budgets.items()),
        "with_more": max(took[f"{what} (+{MORE})"] for what in COMMANDS),
        "rows": rows,
    }
