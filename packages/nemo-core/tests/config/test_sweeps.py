from __future__ import annotations

import sys

from hydra.core.global_hydra import GlobalHydra

from nemo_core.config import sweep


def test_each_combination_is_run_once_and_has_a_version_of_its_own(studio, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = []
    argv = list(sys.argv)
    sweep(
        "studio/tiny",
        ["optim.lr=0.1,0.2", "model.encoder.dropout=0.0,0.5", "seed=3"],
        lambda config: jobs.append(config),
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
