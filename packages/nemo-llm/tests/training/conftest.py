"""A small training of a language model, as a configuration."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUPPORT = Path(__file__).parent / "support"
if str(SUPPORT) not in sys.path:
    sys.path.insert(0, str(SUPPORT))


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in changes.items():
        found[key] = merged(base.get(key) or {}, value) if isinstance(value, dict) else value
    return found


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that makes a configuration, with changes."""

    def make(**changes: Any) -> dict[str, Any]:
        base = {
            "name": "small",
            "seed": 3,
            "trust": ["faulty_parts", "nemo_core.testing"],
            "model": {
                "_target_": "llm.LanguageModel",
                "architecture": {
                    "vocab_size": 31,
                    "hidden_size": 16,
                    "num_layers": 2,
                    "num_heads": 2,
                    "ffn_size": 32,
                    "dropout": 0.1,
                },
            },
            "data": {
                "_target_": "llm.MockData",
                "vocab_size": 31,
                "sequence_length": 16,
                "global_batch_size": 4,
                "size": 16,
                "eval_size": 4,
            },
            "optim": {
                "name": "adamw",
                "lr": 0.01,
                "weight_decay": 0.1,
                "scheduler": {"name": "CosineAnnealing", "warmup_steps": 2, "max_steps": 8},
            },
            "trainer": {
                "strategy": {"_target_": "llm.MegatronStrategy"},
                "max_epochs": 2,
                "gradient_clip_val": 1.0,
                "accelerator": "cpu",
                "enable_progress_bar": False,
                "log_every_n_steps": 1,
            },
            "experiment": {
                "dir": str(tmp_path / "runs"),
                "tensorboard": False,
                "curve": False,
                "test": False,
                "archive": False,
                "checkpoint": {"every_n_epochs": None, "every_n_steps": 3},
            },
        }
        return merged(base, changes)

    return make
