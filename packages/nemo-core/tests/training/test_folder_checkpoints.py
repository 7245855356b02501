"""Checkpoints that a strategy keeps as folders, written in the background, with the guarantees that files have."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from nemo_core.errors import ArchiveError, ConfigError, TrainingError
from nemo_core.training import train
from nemo_core.training.checkpoint_folder import (
    MANIFEST,
    TRAINER,
    find_damage,
    link,
    put_in_place,
    read_manifest,
    remove,
    seal,
    sweep,
)
from nemo_core.training.checkpoint_io import check_checkpoint, newest_valid


@pytest.fixture
def folders(recipe):
    """Return a function that makes a configuration whose strategy keeps folders."""

    def make(**changes):
        experiment = {"checkpoint": {"every_n_steps": 2, "keep_best": 2}, "archive": False}
        return recipe(
            **{
                "trainer": {"strategy": {"_target_": "tiny_training.FolderStrategy"}, **changes.pop("trainer", {})},
                "experiment": {**experiment, **changes.pop("experiment", {})},
                **changes,
            }
        )

    return make


def weights(folder: Path) -> dict:
    return torch.load(folder / "weights" / "0.pt", weights_only=True)


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_keeps_folders(folders):
    result = train(folders(experiment={"test": True}))
    checkpoints = result.run_dir / "checkpoints"
    names = sorted(path.name for path in checkpoints.iterdir())
    assert [name for name in names if not name.startswith("best-")] == ["last-previous.ckpt", "last.ckpt"]
    best = [name for name in names if name.startswith("best-")]
    assert 1 <= len(best) <= 2
    assert result.best.name in best
    assert all(find_damage(checkpoints / name) is None for name in names)
    assert "test_accuracy" in result.metrics


def test_best_ones_take_no_space_of_their_own(folders):
    result = train(folders(trainer={"max_epochs": 1}))
    last = result.run_dir / "checkpoints" / "last.ckpt"
    assert (last / "weights" / "0.pt").stat().st_ino == (result.best / "weights" / "0.pt").stat().st_ino


def test_weights_of_the_best_are_tested(folders, monkeypatch):
    import tiny_training

    seen = []

    def note(self):
        seen.append({name: weight.clone() for name, weight in self.state_dict().items()})

    monkeypatch.setattr(tiny_training.Tiny, "on_test_start", note)
    result = train(folders(trainer={"max_epochs": 4}, experiment={"test": True}))
    assert same(seen[0], weights(result.best))


def test_killed_and_gone_on_with(folders, processes):
    config, reference = folders(), folders()
    reference["experiment"] = {**reference["experiment"], "dir": config["experiment"]["dir"] + "-reference"}
    assert processes.run(reference) == 0
    assert processes.run(config, TINY_DIE="13:SIGKILL") == -signal.SIGKILL
    assert processes.run(config) == 0
    folder = Path(config["experiment"]["dir"], "tiny", "v1", "checkpoints")
    other = Path(reference["experiment"]["dir"], "tiny", "v1", "checkpoints")
    assert same(weights(folder / "last.ckpt"), weights(other / "last.ckpt"))
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in other.iterdir())


@pytest.fixture
def stopped(folders, processes):
    """A configuration, and the checkpoints of its run, which was preempted."""
    config = folders()
    assert processes.run(config, TINY_DIE="11:SIGTERM") == 10
    return config, Path(config["experiment"]["dir"], "tiny", "v1", "checkpoints")


@pytest.mark.parametrize(
    "damage", ["missing", "truncated", "flipped", "no manifest", "broken manifest", "no trainer.ckpt"]
)
def test_a_damaged_folder_is_passed_over(stopped, caplog, damage):
    config, folder = stopped
    last = folder / "last.ckpt"
    for path in folder.glob("best-*"):
        shutil.rmtree(path)
    shard = last / "weights" / "0.pt"
    content = bytearray(shard.read_bytes())
    if damage in ("missing", "no manifest", "no trainer.ckpt"):
        {"missing": shard, "no manifest": last / MANIFEST, "no trainer.ckpt": last / TRAINER}[damage].unlink()
    elif damage == "broken manifest":
        (last / MANIFEST).write_text('{"files": [')
    else:
        content[len(content) // 2] ^= 0xFF
        shard.write_bytes(content if damage == "flipped" else content[:100])
    with caplog.at_level(logging.WARNING, "nemo_core"):
        result = train(config)
    assert result.resumed_from == folder / "last-previous.ckpt"
    assert "damaged" in caplog.text
    assert "last.ckpt" in caplog.text
    with pytest.raises(TrainingError):
        train({**config, "experiment": {**config["experiment"], "resume": str(_damaged_copy(folder))}})


def _damaged_copy(folder: Path) -> Path:
    copy = folder.parent / "copy.ckpt"
    shutil.copytree(folder / "last.ckpt", copy)
    (copy / "weights" / "0.pt").write_bytes(b"")
    return copy


def test_resume_from_a_path(stopped, recipe):
    config, folder = stopped
    other = train({**config, "seed": 5, "experiment": {**config["experiment"], "resume": str(folder / "last.ckpt")}})
    assert other.run_dir.name == "v2"
    assert other.resumed_from == folder / "last.ckpt"
    assert other.steps == 20


def test_a_save_that_fails_in_the_background_ends_training_at_the_next_step(folders, monkeypatch):
    monkeypatch.setenv("TINY_FULL_DISK", "1")
    with pytest.raises(TrainingError, match="no space left"):
        train(folders())


def test_an_io_that_may_leave_half_a_checkpoint_is_refused(recipe):
    with pytest.raises(ConfigError, match="LightningsOwnIO"):
        train(recipe(trainer={"strategy": {"_target_": "tiny_training.CarelessStrategy"}}))


def test_a_model_with_a_way_of_its_own_to_be_kept_and_started_from(recipe):
    config = recipe(model={"_target_": "tiny_training.TinyArchived"}, trainer={"max_epochs": 1})
    result = train(config)
    assert result.archive == result.run_dir / "model.dist"
    assert not (result.run_dir / "model.nemo").exists()
    again = train({**config, "init_from": str(result.archive), "seed": 1})
    assert f"weights of {result.archive}" in (again.run_dir / "train.log").read_text()


def test_a_sealed_folder(tmp_path):
    folder = tmp_path / "a.ckpt"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_bytes(b"abc")
    seal(folder, {"format": "demo"})
    assert read_manifest(folder)["format"] == "demo"
    assert find_damage(folder) is None
    (folder / "deep" / "file").write_bytes(b"abd")
    assert find_damage(folder, checksums=False) is None
    assert find_damage(folder) == "the checksum of deep/file is wrong"


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "weights/../../outside"])
def test_a_manifest_names_nothing_outside_its_folder(tmp_path, name):
    (tmp_path / MANIFEST).write_text(json.dumps({"files": {name: {"size": 1}}}))
    with pytest.raises(ArchiveError, match="outside"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", '{"files": 3}', '{"files": {"a": 1}}', "[" * 100_000, "\xff"])
def test_what_is_no_manifest(tmp_path, content):
    (tmp_path / MANIFEST).write_bytes(content.encode("latin-1"))
    with pytest.raises(ArchiveError):
        read_manifest(tmp_path)


def test_a_file_takes_the_place_of_a_folder_and_the_other_way_round(tmp_path):
    last = tmp_path / "last.ckpt"
    last.write_bytes(b"a file")
    for number in range(3):
        new = tmp_path / ".new"
        new.mkdir()
        (new / "number").write_text(str(number))
        put_in_place(new, last)
    assert (last / "number").read_text() == "2"
    assert (tmp_path / "last-previous.ckpt" / "number").read_text() == "1"
    link(last, tmp_path / "best.ckpt")
    link(last, tmp_path / "best.ckpt")
    remove(last)
    assert (tmp_path / "best.ckpt" / "number").read_text() == "2"
    assert sorted(os.listdir(tmp_path)) == ["best.ckpt", "last-previous.ckpt"]


def test_leftovers_are_swept(tmp_path):
    (tmp_path / ".last.ckpt.saving").mkdir()
    (tmp_path / ".last.ckpt.123").write_text("")
    (tmp_path / "last.ckpt").mkdir()
    sweep(tmp_path)
    assert os.listdir(tmp_path) == ["last.ckpt"]


@pytest.mark.parametrize("moment", range(4))
def test_whenever_it_ends_a_whole_one_is_found(tmp_path, monkeypatch, moment):
    """Each rename is the last thing that a killed process does."""
    replace, done = os.replace, []

    def rename(*paths):
        if len(done) == moment:
            raise KeyboardInterrupt  # no code of ours catches it, as none runs after SIGKILL
        done.append(paths)
        replace(*paths)

    def save(step: int) -> None:
        new = tmp_path / ".last.ckpt.saving"
        remove(new)
        new.mkdir()
        torch.save({"global_step": step}, new / TRAINER)
        seal(new, {})
        put_in_place(new, tmp_path / "last.ckpt")

    for step in range(3):
        save(step)
    monkeypatch.setattr(os, "replace", rename)
    with contextlib.suppress(KeyboardInterrupt):
        save(3)
    monkeypatch.undo()
    found = newest_valid(tmp_path)
    in_place = any(Path(target) == tmp_path / "last.ckpt" for _, target in done)
    assert check_checkpoint(found) == (3 if in_place else 2)
    sweep(tmp_path)
    save(4)
    assert check_checkpoint(newest_valid(tmp_path)) == 4
