"""`nemo export`, the seam through which plugins add formats, and NVIDIA's archives as one of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile

import pytest
import torch
from archive_support import FromNvidia, Small, Vocabulary

from nemo_core.errors import ArchiveError, ComponentNotFoundError, ExportError
from nemo_core.models import Archive, export, restore


@pytest.fixture
def model(demo_plugin, tmp_path):
    file = tmp_path / "words.txt"
    file.write_bytes(b"one\ntwo\n")
    model = FromNvidia(3, 16000, Vocabulary(str(file))).eval()
    model.w0.data = torch.randn(6)[::2]  # a view
    return model


def nemo(*args, site=None):
    code = "from nemo_core.cli.main import main; main()"
    paths = os.pathsep.join(filter(None, [str(site), os.path.dirname(__file__) + "/support"]))
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


def test_what_is_written_is_read_back(model, tmp_path):
    path = export(model, tmp_path / "theirs.nemo", "nvidia-nemo")
    with Archive(path) as archive:
        assert archive.kind == "nvidia"
        assert archive.config["nemo_version"] == "2.7.3"
    again = restore(path)
    assert torch.equal(again.w0, model.w0)
    assert (again.rate, again.vocabulary.content) == (16000, b"one\ntwo\n")
    with tarfile.open(path) as tar:
        assert all(name.startswith("./") for name in tar.getnames())


def test_the_same_model_gives_the_same_file(model, tmp_path):
    first, second = (export(model, tmp_path / name, "nvidia-nemo").read_bytes() for name in ("a.nemo", "b.nemo"))
    assert first == second


def test_a_view_is_written_without_what_it_is_a_view_of(model, tmp_path):
    model.w0.data = torch.zeros(1_000_000)[:3]
    assert export(model, tmp_path / "a.nemo", "nvidia-nemo").stat().st_size < 100_000


def test_what_cannot_be_written_is_named(model, small, tmp_path):
    path = tmp_path / "out.nemo"
    with pytest.raises(ExportError, match="Small has no counterpart in NVIDIA NeMo"):
        export(small, path, "nvidia-nemo")
    model.rate = 48000
    with pytest.raises(ExportError, match="rate=48000"):
        export(model, path, "nvidia-nemo")
    with pytest.raises(ComponentNotFoundError, match="no exporter is called nvidia-nem"):
        export(model, path, "nvidia-nem")
    assert not path.exists()
    path.write_text("mine")
    model.rate = 8000
    with pytest.raises(ArchiveError, match="there already"):
        export(model, path, "nvidia-nemo")
    assert path.read_text() == "mine"
    export(model, path, "nvidia-nemo", overwrite=True)
    assert restore(path).rate == 8000


def test_a_plugin_adds_a_format(small, demo_plugin, tmp_path):
    assert isinstance(small, Small)
    path = export(small, tmp_path / "names.txt", "demo-names")
    assert path.read_text().splitlines() == list(small.state_dict())


def test_on_the_command_line(model, tmp_path):
    site = tmp_path / "site"
    ours, theirs = model.save(tmp_path / "ours.nemo"), tmp_path / "theirs.nemo"
    done = nemo("export", ours, "--format", "nvidia-nemo", "-o", theirs, site=site)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{theirs}: nvidia-nemo, ")
    assert torch.equal(restore(theirs).w0, model.w0)

    again = nemo("export", ours, "--format", "nvidia-nemo", "-o", theirs, site=site)
    assert (again.returncode, "--overwrite" in again.stderr) == (2, True)
    changed = nemo(
        "export", ours, "--format", "nvidia-nemo", "-o", theirs, "--set", "rate=8000", "--overwrite", site=site
    )
    assert changed.returncode == 0, changed.stderr
    assert restore(theirs).rate == 8000

    refused = nemo("export", ours, "--format", "nvidia-nemo", "-o", tmp_path / "no", "--set", "rate=48000", site=site)
    assert refused.returncode == 2
    assert refused.stderr == "error: rate=48000 is more than NVIDIA NeMo can do\nhint: --set rate=16000\n"
    unknown = nemo("export", ours, "--format", "nvidia", "-o", tmp_path / "no", site=site)
    assert unknown.returncode == 2
    assert "no exporter is called nvidia" in unknown.stderr
    assert "nvidia-nemo" in unknown.stderr
    assert not (tmp_path / "no").exists()

    shown = nemo("export", "--help", site=site)
    assert "nvidia-nemo" in shown.stdout
    assert "demo-names" in shown.stdout
