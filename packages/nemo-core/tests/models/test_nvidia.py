"""NVIDIA's archives: those that NeMo wrote, and the mechanism by which a model class reads them."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile

import pytest
import torch

from nemo_core.errors import ArchiveError
from nemo_core.models import Archive, init_from, inspect_archive, nvidia, restore
from nemo_core.models.weights import read_checkpoint

NAMES = [
    "canary_aed",
    "citrinet_ctc_bpe",
    "conformer_ctc_bpe",
    "fastconformer_ctc_bpe",
    "fastconformer_ctc_bpe_streaming",
    "fastconformer_hybrid_tdt_ctc_bpe",
    "fastconformer_rnnt_bpe",
    "fastpitch",
    "hifigan",
    "matchboxnet_3x1x64",
    "quartznet_ctc",
    "titanet_small",
]


@pytest.fixture(params=NAMES)
def written_by_nvidia(request, nvidia_fixtures):
    return nvidia_fixtures / request.param / f"{request.param}.nemo"


def test_weights_have_the_names_and_shapes_that_nemo_says(written_by_nvidia):
    expected = json.loads((written_by_nvidia.parent / "state_dict_shapes.json").read_text())
    with Archive(written_by_nvidia) as archive:
        state = read_checkpoint(archive.view(archive.weights), "here")
        shapes = {name: list(value.shape) for name, value in state.items()}
    assert shapes.items() <= expected.items()  # HiFi-GAN's archive holds the generator only
    assert shapes


def test_references_lead_to_artifacts(written_by_nvidia):
    with Archive(written_by_nvidia) as archive, archive.unpacked_artifacts() as paths:
        text = json.dumps(archive.config)
        config = json.dumps(archive.with_paths(paths))
        assert text.count('"nemo:') == sum(text.count(f'"nemo:{name}"') for name in paths)
        assert '"nemo:' not in config
        assert all(path.stat().st_size == archive.members[name].size for name, path in paths.items())
        folder = [path.parent for path in paths.values()]
    assert not any(path.exists() for path in folder)


def test_inspection_finds_nothing_amiss(written_by_nvidia):
    info = inspect_archive(written_by_nvidia)
    assert info.kind == "nvidia"
    assert info.problems == ()
    assert info.created_by == {"nemo_toolkit": "2.7.3"}
    assert info.weights["tensors"] > 10


@pytest.mark.parametrize("args", [("show",), ("show", "--json"), ("verify",), ("verify", "--json")])
def test_the_command_line_shows_and_verifies_without_torch(written_by_nvidia, args):
    code = (
        "import sys\nfrom nemo_core.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'torch', 'pytorch_lightning', 'lightning'} & set(sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "archive", args[0], str(written_by_nvidia), *args[1:]],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    if "--json" in args:
        assert json.loads(result.stdout)
    elif args[0] == "show":
        assert "nemo.collections." in result.stdout
        assert "model_weights.ckpt" in result.stdout
    else:
        assert ": ok (" in result.stdout


def test_a_gzipped_archive_reads_the_same(written_by_nvidia, tmp_path):
    packed = tmp_path / "packed.nemo"
    packed.write_bytes(gzip.compress(written_by_nvidia.read_bytes(), 1))
    plain, zipped = inspect_archive(written_by_nvidia), inspect_archive(packed)
    assert (plain.members, plain.config, plain.weights) == (zipped.members, zipped.config, zipped.weights)


CONFIG = b"""
target: nemo.collections.asr.models.DemoModel
sample_rate: 16000
copied: ${sample_rate}
size: 3
tokenizer: {path: 'nemo:0123_vocab.txt'}
"""


def tar_of(path, members):
    with tarfile.open(path, "w") as tar:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def shaped_like_nvidias(tmp_path):
    buffer = io.BytesIO()
    torch.save({"theirs.w0": torch.arange(3.0)}, buffer)
    members = {"model_config.yaml": CONFIG, "model_weights.ckpt": buffer.getvalue(), "0123_vocab.txt": b"one\ntwo\n"}
    return tar_of(tmp_path / "theirs.nemo", members)


def test_a_model_class_translates_configuration_and_weights(shaped_like_nvidias, demo_plugin):
    model = restore(shaped_like_nvidias)
    assert type(model).__name__ == "FromNvidia"
    assert torch.equal(model.w0, torch.arange(3.0))
    assert model.load_report.complete
    assert model.vocabulary.content == b"one\ntwo\n"
    assert restore(shaped_like_nvidias, return_config=True)["rate"] == 16000
    again = restore(model.save(shaped_like_nvidias.with_name("ours.nemo")))
    assert torch.equal(again.w0, model.w0)
    assert again.vocabulary.content == b"one\ntwo\n"


def test_fine_tuning_from_nvidias_weights(shaped_like_nvidias, demo_plugin):
    from archive_support import FromNvidia

    model = FromNvidia(size=3, rate=16000)
    assert init_from(model, shaped_like_nvidias).loaded == ["w0"]
    assert torch.equal(model.w0, torch.arange(3.0))


def test_inspection_names_the_reader(shaped_like_nvidias, demo_plugin):
    info = inspect_archive(shaped_like_nvidias)
    assert info.component == "demo.FromNvidia"
    assert [c["installed"] for c in info.components] == ["1.0"]


def test_a_configuration_that_the_reader_does_not_understand(tmp_path, demo_plugin):
    config = CONFIG.replace(b"size: 3", b"")
    path = tar_of(tmp_path / "m.nemo", {"model_config.yaml": config, "model_weights.ckpt": b"", "0123_vocab.txt": b""})
    with pytest.raises(ArchiveError, match=r"demo\.FromNvidia does not understand .* KeyError: 'size'"):
        restore(path)


def test_a_reference_to_a_file_that_is_not_there(tmp_path, demo_plugin):
    path = tar_of(tmp_path / "m.nemo", {"model_config.yaml": CONFIG, "model_weights.ckpt": b""})
    with pytest.raises(ArchiveError, match=r"refers to 0123_vocab\.txt"):
        restore(path)


def test_without_a_reader_the_error_names_target_and_package(shaped_like_nvidias):
    with pytest.raises(ArchiveError, match=r"nemo\.collections\.asr\.models\.DemoModel") as caught:
        restore(shaped_like_nvidias)
    assert "nemo-asr" in caught.value.hint
    assert nvidia.hint_for("nemo.collections.asr_of_someone_else.Model").startswith("`nemo archive show`")


def test_archives_without_a_target_or_weights(tmp_path):
    for members, words in (
        ({"model_config.yaml": b"a: 1"}, "no target"),
        ({"model_config.yaml": b"target: x"}, "lacks model_weights.ckpt"),
    ):
        with pytest.raises(ArchiveError, match=words):
            restore(tar_of(tmp_path / "m.nemo", members))
