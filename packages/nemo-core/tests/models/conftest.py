from __future__ import annotations

import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent / "support"
sys.path.insert(0, str(SUPPORT))


@pytest.fixture(scope="session")
def nvidia_fixtures():
    """The folder of archives that NVIDIA NeMo wrote; too large for the repository, it lies beside it."""
    for folder in Path(__file__).resolve().parents:
        if (found := folder / "shared" / "fixtures" / "nvidia").is_dir():
            return found
    pytest.skip("NVIDIA's archives are not here: no folder shared/fixtures/nvidia beside the repository")


@pytest.fixture
def trust():
    from nemo_core.config import Trust

    return Trust.user(["archive_support"])


@pytest.fixture
def small(tmp_path):
    """A model with an artifact, whose weights are not what construction gives."""
    import torch
    from archive_support import Part, Small, Vocabulary

    file = tmp_path / "vocab.txt"
    file.write_bytes(b"one\ntwo\n")
    model = Small(Part(3), Vocabulary(str(file)), out=2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
        model(torch.randn(8, 3))  # moves the running statistics
    return model.eval()


@pytest.fixture
def archive(small, tmp_path):
    return small.save(tmp_path / "model.nemo")


PLUGIN = """
from nemo_core.plugins import hookimpl

@hookimpl
def nemo_components(registry):
    nvidias = ("nemo.collections.asr.models.DemoModel",)
    registry.model("demo.FromNvidia", "archive_support:FromNvidia", aliases=nvidias)
    registry.model("demo.Small", "archive_support:Small")
    registry.module("demo.Part", "archive_support:Part")
    registry.tokenizer("demo.Vocabulary", "archive_support:Vocabulary")
    registry.exporter("demo-names", "archive_support:write_names", summary="Names of weights")
    registry.pretrained("demo.tiny", location={location!r}, summary="A demo", license="MIT", languages=("en", "de-CH"))
"""


@pytest.fixture
def demo_plugin(tmp_path, monkeypatch):
    """A real plugin, found by its entry point, that registers the classes of archive_support."""
    from nemo_core.plugins import plugins

    site = tmp_path / "site"
    info = site / "nemo_demo-1.0.dist-info"
    info.mkdir(parents=True)
    published = tmp_path / "published.nemo"
    (site / "nemo_demo_plugin.py").write_text(PLUGIN.format(location=str(published)))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nemo-demo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nemo.plugins]\ndemo = nemo_demo_plugin\n")
    monkeypatch.syspath_prepend(site)
    plugins.cache_clear()
    yield published
    plugins.cache_clear()
    sys.modules.pop("nemo_demo_plugin", None)
