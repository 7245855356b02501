from __future__ import annotations

import pytest
import torch
from archive_support import Part, Small
from safetensors.torch import save_file

from nemo_core.errors import ArchiveError, ConfigError
from nemo_core.models import init_from


@pytest.fixture
def fresh():
    return Small(Part(3), out=5)


def test_takes_what_fits_and_reports_the_rest(fresh, small, archive):
    before = fresh.head.weight.clone()
    report = init_from(fresh, archive)
    assert torch.equal(fresh.part.layer.weight, small.part.layer.weight)
    assert torch.equal(fresh.head.weight, before)
    assert report is fresh.load_report
    assert report.mismatched == {"head.weight": ((5, 3), (2, 3)), "head.bias": ((5,), (2,))}
    assert report.missing == report.unexpected == []
    assert "head.weight: (5, 3) here, (2, 3) there" in str(report)


def test_include_and_exclude(fresh, small, archive):
    before = fresh.part.norm.weight.clone()
    report = init_from(fresh, {"path": str(archive), "include": ["part"], "exclude": ["part.norm", "*.bias"]})
    assert report.loaded == ["part.layer.weight"]
    assert "head.weight" in report.skipped
    assert not report.mismatched
    assert torch.equal(fresh.part.norm.weight, before)
    assert not torch.equal(before, small.part.norm.weight)


def test_several_sources_and_the_last_wins(fresh, small, archive, tmp_path):
    save_file({"part.layer.weight": torch.full((3, 3), 7.0), "head.bias": torch.ones(5)}, tmp_path / "b.safetensors")
    report = init_from(fresh, [{"path": archive, "include": "part"}, str(tmp_path / "b.safetensors")])
    assert torch.equal(fresh.part.layer.weight, torch.full((3, 3), 7.0))
    assert torch.equal(fresh.part.layer.bias, small.part.layer.bias)
    assert torch.equal(fresh.head.bias, torch.ones(5))
    assert report.missing == ["head.weight"]


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints(fresh, small, tmp_path, nested, zipped):
    state = small.state_dict()
    torch.save(
        {"state_dict": state, "epoch": 3} if nested else state,
        tmp_path / "c.ckpt",
        _use_new_zipfile_serialization=zipped,
    )
    init_from(fresh, tmp_path / "c.ckpt")
    assert torch.equal(fresh.part.layer.weight, small.part.layer.weight)


def test_omegaconf_specifications(fresh, archive):
    from omegaconf import OmegaConf

    spec = OmegaConf.create([{"path": str(archive), "include": ["part"]}])
    assert init_from(fresh, spec).loaded == [name for name in fresh.state_dict() if name.startswith("part")]


def test_the_models_type_of_values_stays(fresh, small, tmp_path):
    init_from(fresh, small.half().save(tmp_path / "half.nemo"))
    assert {weight.dtype for weight in fresh.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (None, "init_from is None"),
        ("", "init_from is ''"),
        ([], "init_from is"),
        (3, "init_from is 3"),
        ({}, "either path or name"),
        ({"path": "a", "name": "b"}, "either path or name"),
        ({"path": "a", "inclde": "x"}, "init_from.inclde is not a key"),
        ([{"path": "a", "include": [3]}], r"init_from\[0\].include"),
    ],
)
def test_malformed_specifications(fresh, spec, message):
    with pytest.raises(ConfigError, match=message):
        init_from(fresh, spec)


def test_patterns_that_match_nothing(fresh, archive):
    with pytest.raises(ConfigError, match="'prat' matches no weight") as caught:
        init_from(fresh, {"path": archive, "include": ["prat"]})
    assert "part" in caught.value.hint


def test_nothing_fits(archive):
    with pytest.raises(ConfigError, match="no weight"):
        init_from(torch.nn.Linear(7, 7), archive)


def test_entries_that_are_no_tensors(fresh, tmp_path):
    torch.save({"state_dict": {"head.bias": 3}}, tmp_path / "c.ckpt")
    with pytest.raises(ArchiveError, match=r"head\.bias is no tensor"):
        init_from(fresh, tmp_path / "c.ckpt")
    torch.save({"state_dict": 3}, tmp_path / "d.ckpt")
    with pytest.raises(ArchiveError, match="no state dict"):
        init_from(fresh, tmp_path / "d.ckpt")
