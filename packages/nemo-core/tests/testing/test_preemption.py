"""A run is asked to stop once, before the step that is to be its last."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from nemo_core.testing import Preempted


@pytest.fixture
def asked() -> Iterator[list[int]]:
    found: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: found.append(number))
    yield found
    signal.signal(signal.SIGTERM, before)


def test_once_and_before_the_last_step(asked: list[int], tmp_path: Path) -> None:
    callback = Preempted(step=3, note=str(tmp_path / "note"))
    counts = []
    for done in (*range(5), *range(5)):  # the second time as the run that goes on, which does the steps again
        callback.on_train_batch_start(SimpleNamespace(global_step=done), None, None, done)
        counts.append(len(asked))
    assert counts == [0, 0, *[1] * 8]
    assert asked == [signal.SIGTERM]
    assert (tmp_path / "note").exists()
