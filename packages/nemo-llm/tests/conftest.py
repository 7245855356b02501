"""Pools of processes that tests of what is parallel share."""

from __future__ import annotations

from collections.abc import Iterator

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
