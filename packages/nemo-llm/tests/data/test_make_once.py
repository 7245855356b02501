"""One process makes a folder, the others wait for it: not for ever, and they hear why it is not made."""

from __future__ import annotations

import time

import pytest

from nemo_core.errors import DataError, NemoError, TrainingError
from nemo_llm.data.once import make_once


def _made(path, alive):
    time.sleep(0.2)
    alive()
    (path / "content").write_text("whole")


def test_alone_it_is_made_once_and_whole(tmp_path):
    calls = []

    def make(path, alive):
        calls.append(path)
        _made(path, alive)

    for _ in range(2):
        assert (make_once(tmp_path / "deep" / "x", make) / "content").read_text() == "whole"
    assert len(calls) == 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x"]

    def fails(path, alive):
        (path / "half").touch()
        raise DataError("no")

    with pytest.raises(DataError, match="no"):
        make_once(tmp_path / "deep" / "y", fails)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x"]


def together(folder, case):
    """What one process of two sees."""
    from pathlib import Path

    from nemo_llm.megatron import Layout, engine

    with engine(Layout(), seed=1):
        from torch import distributed

        rank = distributed.get_rank()
        calls = []

        def make(path, alive):
            calls.append(rank)
            if case == "fails":
                raise DataError("line 3 is bad", hint="mend it")
            if case == "breaks":
                raise RuntimeError("a bug")
            if case == "sleeps":
                time.sleep(1.5)
            _made(path, alive)

        heard = []
        for attempt in range(2 if case in ("fails", "good") else 1):
            try:
                made = make_once(Path(folder, f"{case}{attempt}"), make, timeout=0.5 if case == "sleeps" else 30)
                heard.append((made / "content").read_text())
            except (NemoError, RuntimeError) as error:
                heard.append((type(error).__name__, str(error)))
        distributed.barrier()
        return calls, heard


def test_of_two_processes_one_makes_it(two_ranks, tmp_path):
    first, second = two_ranks.run(together, str(tmp_path), "good")
    assert first == ([0, 0], ["whole", "whole"])
    assert second == ([], ["whole", "whole"])


def test_the_others_hear_what_is_wrong(two_ranks, tmp_path):
    (_, first), (calls, second) = two_ranks.run(together, str(tmp_path), "fails")
    assert first == [("DataError", "line 3 is bad\n  mend it")] * 2
    assert calls == []
    assert second == [("DataError", "rank 0: line 3 is bad\n  mend it")] * 2
    (_, first), (_, second) = two_ranks.run(together, str(tmp_path), "breaks")
    assert first == [("RuntimeError", "a bug")]
    assert second[0][0] == "DataError"
    assert "RuntimeError('a bug')" in second[0][1]


def test_they_do_not_wait_for_ever(two_ranks, tmp_path):
    (_, first), (_, second) = two_ranks.run(together, str(tmp_path), "sleeps")
    assert first == ["whole"]
    assert second[0][0] == "TrainingError"
    assert "no sign of life for 0.5 s" in second[0][1]
    assert issubclass(TrainingError, NemoError)
