"""Pools of processes that tests of what is parallel share."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemo_llm.testing import Ranks


@pytest.fixture(scope="session")
def two_ranks() -> Iterator[Ranks]:
    with Ranks(2) as ranks:
        yield ranks


@pytest.fixture(scope="session")
def four_ranks() -> Iterator[Ranks]:
    with Ranks(4) as ranks:
        yield ranks


@pytest.fixture(autouse=True)
def _no_threads_of_engines_that_ended() -> Iterator[None]:
    """Free what a test has built: process groups are in reference cycles, and each has three threads that poll."""
    yield
    tasks = Path("/proc/self/task")
    if tasks.is_dir() and len(list(tasks.iterdir())) > 60:
        gc.collect()
