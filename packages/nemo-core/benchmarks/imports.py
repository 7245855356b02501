"""Importing nemo_core and nemo_asr: time over bare Python; torch and Lightning must stay out."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

from nemo_core.testing.bench import in_turn, process_seconds

BUDGET = 0.10
HEAVY = ("torch", "pytorch_lightning", "lightning")


def run() -> dict[str, Any]:
    ours = [name for name in ("nemo_core", "nemo_asr") if importlib.util.find_spec(name)]
    statements = {"bare Python": "pass", **{f"import {name}": f"import {name}" for name in ours}}
    statements |= {f"import {name}": f"import {name}" for name in HEAVY[:2]}
    took = in_turn({what: process_seconds([sys.executable, "-c", code]) for what, code in statements.items()})
    bare, torch, lightning = took["bare Python"], took["import torch"], took["import pytorch_lightning"]
    rows = [
        {
            "what": what,
            "seconds": value,
            "over bare Python": value - bare,
            "x bare Python": value / bare,
            "x torch": value / torch,
            "x Lightning": value / lightning,
        }
        for what, value in took.items()
    ]
    worst = max(took[f"import {name}"] for name in ours)
    loaded = {name: heavy for name in ours if (heavy := loaded_by(name))}
    return {
        "ours": worst,
        "peer": bare,
        "unit": "s",
        "target": f"no torch, no Lightning, <= {BUDGET:.2f} s over bare Python",
        "ok": not loaded and worst - bare <= BUDGET,
        "over_bare": worst - bare,
        "loaded": loaded,
        "rows": rows,
    }


def loaded_by(name: str) -> list[str]:
    """Return which heavy packages importing ``name`` brings in."""
    code = f"import sys, {name}; print(*(each for each in {HEAVY!r} if each in sys.modules))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
