"""What tests share: a folder of helpers, and pools of processes for what is parallel."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemo_llm.testing import Ranks

SUPPORT = Path(__file__).parent / "support"
if str(SUPPORT) not in sys.path:
    sys.path.insert(0, str(SUPPORT))


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
