"""Killed at any moment and started again, a run ends bit by bit as one that was never killed."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
import torch

BATCHES = 3 * 10  # three epochs of 40 items in batches of 4


@pytest.fixture
def make(recipe):
    """A run with all that has a state: dropout, batch norm, averaging, a schedule, accumulation, validation."""

    def config(**changes):
        return recipe(
            data={"num_workers": changes.get("num_workers", 0), "buckets": 2},
            optim={"scheduler": {"name": "CosineAnnealing", "warmup_steps": 4, "min_lr": 1e-4}},
            trainer={"max_epochs": 3, "accumulate_grad_batches": 2, "val_check_interval": 4, "log_every_n_steps": 1},
            experiment={
                "ema": {"enable": True, "decay": 0.9},
                "checkpoint": {"every_n_steps": 2, "keep_best": 2},
                "archive": False,
            },
        )

    return config


def the_run(config: dict) -> Path:
    folders = list(Path(config["experiment"]["dir"], "tiny").glob("v*"))
    assert [path.name for path in folders] == ["v1"], "the run was not gone on with in its own folder"
    return folders[0]


def load(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def assert_same(one, other, where: str = "") -> None:
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}/{index}")
    else:
        assert one == other, where


def state(folder: Path) -> dict:
    checkpoint = load(folder / "checkpoints" / "last.ckpt")
    return {key: value for key, value in checkpoint.items() if key not in ("loops",)}


def metrics(folder: Path) -> list[str]:
    lines = (folder / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("step_seconds")
    return sorted(",".join(cell for index, cell in enumerate(line.split(",")) if index != column) for line in lines)


CAMPAIGN = [pytest.param(seed % 3, seed, marks=pytest.mark.campaign) for seed in range(10, 60)]


@pytest.mark.parametrize(("num_workers", "seed"), [(0, 1), (0, 2), (2, 3), *CAMPAIGN])
def test_killed_at_random_steps(make, processes, tmp_path, num_workers, seed):
    reference, config = make(num_workers=0), make(num_workers=num_workers)
    reference["experiment"]["dir"] = str(tmp_path / "reference")
    assert processes.run(reference, TINY_RECORD=str(tmp_path / "reference.txt")) == 0

    kills = sorted(random.Random(seed).sample(range(BATCHES), 2))
    for batch in kills:
        code = processes.run(config, TINY_DIE=f"{batch}:SIGKILL", TINY_RECORD=str(tmp_path / f"killed{batch}.txt"))
        assert code == -signal.SIGKILL
    assert processes.run(config, TINY_RECORD=str(tmp_path / "resumed.txt")) == 0

    assert_same(state(the_run(reference)), state(the_run(config)))
    assert metrics(the_run(reference)) == metrics(the_run(config))
    best = {path.name for path in (the_run(reference) / "checkpoints").glob("best-*")}
    assert best == {path.name for path in (the_run(config) / "checkpoints").glob("best-*")}
    assert len(best) == 2
    seen = (tmp_path / "reference.txt.0").read_text().splitlines()
    resumed = (tmp_path / "resumed.txt.0").read_text().splitlines()
    assert len(seen) == BATCHES
    assert seen[BATCHES - len(resumed) :] == resumed  # the same batches, and none that was done before the checkpoint
    assert BATCHES - len(resumed) >= kills[-1] - 4


@pytest.mark.parametrize("kill", [7, 13])
def test_two_processes_killed(make, processes, tmp_path, kill):
    reference, config = make(), make()
    for each in (reference, config):
        each["data"] |= {"batch_size": 2}
    reference["experiment"]["dir"] = str(tmp_path / "reference")
    assert processes.run_two(reference, TINY_RECORD=str(tmp_path / "reference.txt")) == [0, 0]
    assert -signal.SIGKILL in processes.run_two(config, TINY_DIE=f"{kill}:SIGKILL")
    assert processes.run_two(config, TINY_RECORD=str(tmp_path / "resumed.txt")) == [0, 0]

    assert_same(state(the_run(reference)), state(the_run(config)))
    seen = [(tmp_path / f"reference.txt.{rank}").read_text().splitlines() for rank in (0, 1)]
    assert seen[0] != seen[1], "the ranks share the data"
    for rank in (0, 1):
        resumed = (tmp_path / f"resumed.txt.{rank}").read_text().splitlines()
        assert 0 < len(resumed) < len(seen[rank])
        assert seen[rank][-len(resumed) :] == resumed


def test_killed_before_the_first_checkpoint(make, processes, tmp_path):
    reference, config = make(), make()
    reference["experiment"]["dir"] = str(tmp_path / "reference")
    assert processes.run(reference) == 0
    assert processes.run(config, TINY_DIE="1:SIGKILL") == -signal.SIGKILL
    assert processes.run(config) == 0
    assert_same(state(the_run(reference)), state(the_run(config)))
    assert metrics(the_run(reference)) == metrics(the_run(config))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_preempted_saves_right_away_and_goes_on_exactly(make, processes, tmp_path, name):
    reference, config = make(), make()
    for each in (reference, config):
        each["experiment"]["checkpoint"]["every_n_steps"] = None  # nothing is saved in between
    reference["experiment"]["dir"] = str(tmp_path / "reference")
    assert processes.run(reference) == 0
    assert processes.run(config, TINY_DIE=f"16:{name}") == 10
    folder = the_run(config)
    assert load(folder / "checkpoints" / "last.ckpt")["global_step"] == 5 + 4  # of batches 0..17; a step is two
    assert '"preempted"' in (folder / "run.json").read_text()
    assert not (folder / "model.nemo").exists()
    assert processes.run(config, TINY_RECORD=str(tmp_path / "resumed.txt")) == 0
    assert len((tmp_path / "resumed.txt.0").read_text().splitlines()) == BATCHES - 18
    assert_same(state(the_run(reference)), state(folder))


def test_two_processes_preempted_by_a_signal_to_one(make, processes):
    config = make()
    assert processes.run_two(config, TINY_DIE="6:SIGTERM") == [10, 10]
    assert processes.run_two(config) == [0, 0]


def test_two_tasks_of_a_slurm_job_are_preempted_and_go_on(make, processes, tmp_path):
    reference, config = make(), make()
    reference["experiment"]["dir"] = str(tmp_path / "reference")
    assert processes.run_two(reference, "torchrun") == [0, 0]
    assert processes.run_two(config, "srun", TINY_DIE="6:SIGUSR1") == [10, 10]
    assert processes.run_two(config, "srun") == [0, 0]
    assert_same(state(the_run(reference)), state(the_run(config)))


def test_a_changed_number_of_workers_and_free_settings_keep_the_run(make, processes):
    config = make(num_workers=2)
    assert processes.run(config, TINY_DIE="15:SIGKILL") == -signal.SIGKILL
    config["data"]["num_workers"] = 1
    config["trainer"]["log_every_n_steps"] = 3
    assert processes.run(config) == 0
    the_run(config)


def test_another_number_of_processes_goes_on_and_says_that_it_is_not_exact(make, processes):
    config = make()
    assert processes.run(config, TINY_DIE="15:SIGKILL") == -signal.SIGKILL
    assert processes.run_two(config) == [0, 0]
    assert "not exactly" in (the_run(config) / "train.log").read_text()


def test_fully_sharded_killed(make, processes, tmp_path):
    reference, config = make(), make()
    for each in (reference, config):
        each["model"] = {"_target_": "tiny_training.TinySharded"}
        each["trainer"]["strategy"] = "fsdp2"
        each["experiment"] |= {"ema": {"enable": False}, "archive": True}
    reference["experiment"]["dir"] = str(tmp_path / "reference")
    assert processes.run_two(reference) == [0, 0]
    assert -signal.SIGKILL in processes.run_two(config, TINY_DIE="9:SIGKILL")
    assert processes.run_two(config) == [0, 0]
    one, other = state(the_run(reference)), state(the_run(config))
    assert_same(one["state_dict"], other["state_dict"])
    assert_same(one["optimizer_states"][0]["state"], other["optimizer_states"][0]["state"])
    assert one["state_dict"]["encoder.0.weight"].shape == (16, 32), "the checkpoint has the whole weights"
    assert (the_run(config) / "model.nemo").exists()
