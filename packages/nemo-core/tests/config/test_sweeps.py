from __future__ import annotations

import os
import sys

import pytest
from hydra.core.global_hydra import GlobalHydra

from nemo_core.config import multirun
from nemo_core.errors import ConfigError, DataError


def test_each_combination_is_run_once_and_has_a_version_of_its_own(studio, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = []
    argv = list(sys.argv)
    multirun(
        "studio/tiny",
        ["optim.lr=0.1,0.2", "model.encoder.dropout=0.0,0.5", "seed=3"],
        lambda config, overrides: jobs.append(config),
        registry=studio.registry,
    )
    assert [(job.optim.lr, job.model.encoder.dropout, job.seed) for job in jobs] == [
        (0.1, 0.0, 3),
        (0.1, 0.5, 3),
        (0.2, 0.0, 3),
        (0.2, 0.5, 3),
    ]
    assert jobs[1].experiment.version == "optim.lr=0.1,model.encoder.dropout=0.5"
    assert sys.argv == argv
    assert not GlobalHydra().is_initialized()


def test_ranges_globs_and_groups(studio, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = []
    multirun(
        "studio/sized",
        ["seed=range(2)", "studio/size@size=small,big", "experiment.version=mine"],
        lambda config, overrides: jobs.append((config.seed, config.model.encoder.n_layers, config.experiment.version)),
        registry=studio.registry,
    )
    assert jobs == [
        (0, 1, "mine-seed=0,studio_size=small"),
        (0, 20, "mine-seed=0,studio_size=big"),
        (1, 1, "mine-seed=1,studio_size=small"),
        (1, 20, "mine-seed=1,studio_size=big"),
    ]


def test_every_value_is_checked_before_the_first_job(studio, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = []
    for overrides, words in (
        (["model.encoder.kind=conv,convolution"], "must be 'conv', 'attention', not 'convolution'"),
        (["optim.lrr=0.1,0.2"], "did you mean lr?"),
        (["seed=1,2", "modl.name=x"], "did you mean model?"),
    ):
        with pytest.raises(ConfigError) as raised:
            multirun("studio/tiny", overrides, lambda *job: jobs.append(job), registry=studio.registry)
        assert words in str(raised.value)
    assert jobs == []


def test_an_error_in_a_job_comes_through_and_nothing_is_left_behind(studio, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def fail(config, overrides):
        raise DataError(f"seed {config.seed}")

    with pytest.raises(DataError, match="seed 1"):
        multirun("studio/tiny", ["seed=1,2"], fail, registry=studio.registry)
    assert not GlobalHydra().is_initialized()
    assert "HYDRA_FULL_ERROR" not in os.environ
