"""Tests find what a fresh shell would find: switches that the caller has set are not theirs."""

from __future__ import annotations

import os

# Of the framework, of the Hugging Face hub, and of launchers, which would make a run look like a part of a larger one.
SWITCHES = ("NEMO_", "HF_", "SLURM_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
MEANT_FOR_TESTS = {"NEMO_TEST_PACKAGES", "NEMO_TEST_PYTHON", "NEMO_UPDATE_SNAPSHOTS"}

# At import, before any test module is: some read the registry while they are collected.
for name in [name for name in os.environ if name.startswith(SWITCHES) and name not in MEANT_FOR_TESTS]:
    del os.environ[name]
