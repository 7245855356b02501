"""Saves that go on while training does: from a copy, one after the other, and with errors that are not lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import checkpoint_work as work

from nemo_core.errors import TrainingError
from nemo_core.training.checkpoint_folder import find_damage
from nemo_llm.megatron import Layout
from nemo_llm.megatron.checkpoint import MegatronCheckpointIO, ModelParts, read_manifest, save_model_folder
from nemo_llm.megatron.checkpoint.writing import Shards
from nemo_llm.tokenizers import CharacterTokenizer, load_tokenizer


@pytest.fixture
def it() -> Iterator[work.Training]:
    with work.training(Layout()) as found:
        found.step(0)
        yield found


@pytest.fixture
def io(it: work.Training) -> Iterator[MegatronCheckpointIO]:
    found = MegatronCheckpointIO(lambda: ModelParts(it.chunks, it.config, it.layout, it.optimizer.inner))
    yield found
    found.teardown()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Nothing is written before this is set."""
    opened, write = threading.Event(), Shards.write

    def wait(self: Shards) -> Any:
        assert opened.wait(60)
        return write(self)

    monkeypatch.setattr(Shards, "write", wait)
    yield opened
    opened.set()


def test_what_is_written_is_what_was_there_when_it_was_saved(
    it: work.Training, io: MegatronCheckpointIO, gate: threading.Event, tmp_path: Path
) -> None:
    save_now(it, tmp_path / "now", gate)
    gate.clear()
    io.save_checkpoint({"global_step": 1}, tmp_path / "last.ckpt")
    linked: list[bool] = []
    io.when_saved(lambda: linked.append((tmp_path / "last.ckpt").exists()))
    for step in range(1, 4):
        it.step(step)
    assert not (tmp_path / "last.ckpt").exists()
    assert linked == []
    gate.set()
    io.wait()
    assert linked == [True]
    assert read_manifest(tmp_path / "last.ckpt").step == 1
    now, then = work.whole(tmp_path / "now"), work.whole(tmp_path / "last.ckpt")
    assert now.keys() == then.keys()
    assert all(torch.equal(now[key], then[key]) for key in now)


def save_now(it: work.Training, path: Path, gate: threading.Event) -> None:
    gate.set()
    save_model_folder(path, it.chunks, it.config, optimizer=it.optimizer.inner)


def test_a_save_waits_for_the_one_before(
    it: work.Training, io: MegatronCheckpointIO, gate: threading.Event, tmp_path: Path
) -> None:
    io.save_checkpoint({"global_step": 1}, tmp_path / "last.ckpt")
    threading.Timer(0.2, gate.set).start()
    it.step(1)
    io.save_checkpoint({"global_step": 2}, tmp_path / "last.ckpt")
    assert gate.is_set()
    io.wait()
    assert read_manifest(tmp_path / "last.ckpt").step == 2
    assert read_manifest(tmp_path / "last-previous.ckpt").step == 1
    for name in ("last.ckpt", "last-previous.ckpt"):
        assert find_damage(tmp_path / name) is None


def test_an_action_after_the_save_is_done_is_done_at_once(io: MegatronCheckpointIO, tmp_path: Path) -> None:
    io.save_checkpoint({"global_step": 1}, tmp_path / "last.ckpt")
    io.wait()
    done: list[int] = []
    io.when_saved(lambda: done.append(1))
    assert done == [1]


def test_an_error_is_told_and_the_next_save_works(
    io: MegatronCheckpointIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    io.save_checkpoint({"global_step": 1}, tmp_path / "last.ckpt")
    io.wait()

    def fail(self: Shards) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Shards, "write", fail)
        io.save_checkpoint({"global_step": 2}, tmp_path / "last.ckpt")
        linked: list[int] = []
        io.when_saved(lambda: linked.append(2))
        with pytest.raises(TrainingError, match="No space left") as caught:
            io.wait()
    assert "full" in (caught.value.hint or "")
    assert linked == []
    assert read_manifest(tmp_path / "last.ckpt").step == 1, "what was there before is still there"
    io.save_checkpoint({"global_step": 3}, tmp_path / "last.ckpt")
    io.wait()
    assert not io.failed
    assert read_manifest(tmp_path / "last.ckpt").step == 3


def test_plain_values_come_back(it: work.Training, io: MegatronCheckpointIO, tmp_path: Path) -> None:
    checkpoint = {"global_step": 7, "loops": {"a": [1, 2.5, "x", None]}, "rng": torch.arange(3)}
    io.save_checkpoint(checkpoint, tmp_path / "last.ckpt")
    io.wait()
    found = io.load_checkpoint(tmp_path / "last.ckpt")
    assert found["loops"] == checkpoint["loops"]
    assert torch.equal(found["rng"], checkpoint["rng"])
    losses = [it.step(step) for step in (1, 2)]
    io.restore(optimizer=True)
    assert [it.step(step) for step in (1, 2)] == losses
    io.load_weights(tmp_path / "last.ckpt", it.model)


def test_restoring_without_a_checkpoint(io: MegatronCheckpointIO) -> None:
    with pytest.raises(TrainingError, match="no checkpoint"):
        io.restore(optimizer=True)


@pytest.mark.parametrize("as_folder", [False, True])
def test_the_tokenizer_is_kept(it: work.Training, tmp_path: Path, as_folder: bool) -> None:
    tokenizer: Any = CharacterTokenizer("abc")
    if as_folder:
        tokenizer.save(tmp_path / "tokenizer")
        tokenizer = tmp_path / "tokenizer"
    save_model_folder(tmp_path / "model", it.chunks, it.config, tokenizer=tokenizer, extra={"note": [1]})
    manifest = read_manifest(tmp_path / "model")
    assert manifest.extra == {"note": [1]}
    assert manifest.tokenizer is not None
    assert load_tokenizer(manifest.tokenizer).encode("cab") == [2, 0, 1]


def test_megatron_itself_reads_the_weights(it: work.Training, tmp_path: Path) -> None:
    from megatron.core import dist_checkpointing

    save_model_folder(tmp_path / "model", it.chunks, it.config)
    state = dist_checkpointing.load_plain_tensors(str(tmp_path / "model" / "weights"))
    weights = work.whole(tmp_path / "model")
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[key][: len(each)], each) for key, each in weights.items())


def background_in_two(folder: Path, fail: bool) -> list[str]:
    """Save while training goes on; return what each save has come to in this process."""
    from torch import distributed

    layout, found, write = Layout(tensor=2), [], Shards.write

    def full(self: Shards) -> Any:
        raise OSError(28, "No space left on device")

    with work.training(layout) as it:
        io = MegatronCheckpointIO(lambda: ModelParts(it.chunks, it.config, layout, it.optimizer.inner))
        for step in range(3):
            it.step(step)
            if fail and step == 1 and distributed.get_rank() == 1:
                Shards.write = full  # type: ignore[method-assign]
            io.save_checkpoint({"global_step": step + 1}, folder / "last.ckpt")
            it.step(step + 1)  # collectives of training and of the save at once
            try:
                io.wait()
                found.append("saved")
            except TrainingError as error:
                found.append(error.message)
            Shards.write = write  # type: ignore[method-assign]
        io.teardown()
    return found


@pytest.mark.parametrize("fail", [False, True])
def test_two_processes(two_ranks: Any, tmp_path: Path, fail: bool) -> None:
    first, second = two_ranks.run(background_in_two, tmp_path, fail)
    assert first == second
    assert [each == "saved" for each in first] == [True, not fail, True]
    assert read_manifest(tmp_path / "last.ckpt").step == 3
    assert read_manifest(tmp_path / "last-previous.ckpt").step == (1 if fail else 2)
