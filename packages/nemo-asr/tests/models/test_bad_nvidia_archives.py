"""Archives in NVIDIA's format with one thing wrong: the error names the file and the reason."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tarfile

import pytest
import torch
import yaml

import nemo_asr
from nemo_asr.models import CTCModel
from nemo_asr.modules import ConvASREncoder, CTCDecoder, MelSpectrogram
from nemo_asr.tokenizers import SentencePieceTokenizer, train_sentence_piece
from nemo_core.errors import ArchiveError, UnsafeArchiveError, UntrustedTargetError
from nemo_core.models import export

MODULES = "nemo.collections.asr.modules"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """An archive that is as it should be: its members by name."""
    folder = tmp_path_factory.mktemp("nvidia")
    (folder / "tokenizer.model").write_bytes(train_sentence_piece(["one two", "two three"], vocab_size=14))
    encoder = ConvASREncoder([{"filters": 8, "kernel": 5, "stride": 2}], feat_in=16)
    tokenizer = SentencePieceTokenizer(folder / "tokenizer.model")
    model = CTCModel(MelSpectrogram(8000, features=16), encoder, CTCDecoder(8, vocabulary=14), tokenizer).eval()
    path = export(model, folder / "sound.nemo", "nvidia-nemo")
    assert nemo_asr.restore(path).load_report.complete
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


class Members(dict):
    """The members of an archive, to be changed."""

    def configure(self, *path, value):
        config = yaml.safe_load(self["./model_config.yaml"])
        node = config
        for key in path[:-1]:
            node = node[key]
        if value is None:
            del node[path[-1]]
        else:
            node[path[-1]] = value
        self["./model_config.yaml"] = yaml.safe_dump(config).encode()

    def weights(self, change):
        state = torch.load(io.BytesIO(self["./model_weights.ckpt"]), weights_only=True)
        change(state)
        file = io.BytesIO()
        torch.save(state, file)
        self["./model_weights.ckpt"] = file.getvalue()

    def drop(self, ending):
        del self[next(name for name in self if name.endswith(ending))]

    def write(self, path):
        with tarfile.open(path, "w") as tar:
            for name, content in self.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        return path


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def pickled(members):
    file = io.BytesIO()
    torch.save({"weight": torch.ones(1), "evil": Evil()}, file)
    members["./model_weights.ckpt"] = file.getvalue()


def old_pickle(members):
    members["./model_weights.ckpt"] = pickle.dumps(Evil())


UNHEARD_OF = "nemo.collections.asr.models.EncDecUnheardOf"
RUN = {"_target_": "subprocess.run", "args": ["touch", "evil"]}
ANOTHER_SHAPE = "decoder.decoder_layers.0.bias"
BROKEN = {
    "class": (
        lambda m: m.configure("target", value=UNHEARD_OF),
        ["EncDecUnheardOf"],
    ),
    "class of another": (lambda m: m.configure("target", value="acme.models.Model"), ["acme.models.Model"]),
    "no class": (lambda m: m.configure("target", value=None), ["target"]),
    "no tokenizer": (lambda m: m.drop("tokenizer.model"), ["tokenizer.model", "does not hold"]),
    "no path of a tokenizer": (lambda m: m.configure("tokenizer", "model_path", value=None), ["tokenizer.model_path"]),
    "kind of tokenizer": (lambda m: m.configure("tokenizer", "type", value="runes"), ["'runes'"]),
    "damaged tokenizer": (
        lambda m: m.update({name: b"no model" for name in m if name.endswith("tokenizer.model")}),
        ["SentencePiece"],
    ),
    "no section": (lambda m: m.configure("encoder", value=None), ["encoder"]),
    "unknown setting": (lambda m: m.configure("encoder", "colour", value="red"), ["encoder: ", "colour"]),
    "value": (lambda m: m.configure("encoder", "feat_in", value="many"), ["encoder: "]),
    "block": (lambda m: m.configure("encoder", "jasper", value=[{"filters": 8}]), ["kernel"]),
    "section of another kind": (lambda m: m.configure("decoder", value=["a"]), ["decoder"]),
    "other vocabulary": (lambda m: m.configure("decoder", "vocabulary", value=["a", "b"]), ["tokens"]),
    "no configuration": (lambda m: m.drop("model_config.yaml"), ["no model archive"]),
    "no weights": (lambda m: m.drop("model_weights.ckpt"), ["lacks model_weights.ckpt"]),
    "another shape": (
        lambda m: m.weights(lambda state: state.update({ANOTHER_SHAPE: torch.ones(7)})),
        [ANOTHER_SHAPE, "7", "15"],
    ),
    "missing weights": (lambda m: m.weights(lambda state: state.pop(ANOTHER_SHAPE)), [ANOTHER_SHAPE, "missing"]),
    "unexpected weights": (
        lambda m: m.weights(lambda state: state.update({"encoder.more": torch.ones(2)})),
        ["encoder.more", "unexpected"],
    ),
    "weights that are none": (
        lambda m: m.weights(lambda state: state.update({ANOTHER_SHAPE: "ones"})),
        [ANOTHER_SHAPE],
    ),
    "damaged weights": (
        lambda m: m.update({"./model_weights.ckpt": m["./model_weights.ckpt"][:-400]}),
        ["model_weights.ckpt"],
    ),
}
UNSAFE = {
    "module": (lambda m: m.configure("encoder", "_target_", value="os.system"), UntrustedTargetError, "os.system"),
    "unknown module": (
        lambda m: m.configure("encoder", "_target_", value=f"{MODULES}.UnheardOf"),
        UntrustedTargetError,
        "UnheardOf",
    ),
    "nested": (
        lambda m: m.configure(
            "preprocessor", "window", value={"_target_": "subprocess.run", "args": ["touch", "evil"]}
        ),
        UntrustedTargetError,
        "subprocess.run",
    ),
    "pickle": (pickled, UnsafeArchiveError, "system"),
    "old pickle": (old_pickle, UnsafeArchiveError, "system"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_named(sound, tmp_path, what):
    spoil, words = BROKEN[what]
    spoil(members := Members(sound))
    path = members.write(tmp_path / "spoilt.nemo")
    with pytest.raises(ArchiveError) as refusal:
        nemo_asr.restore(path)
    for word in (str(path), *words):
        assert word in str(refusal.value)


@pytest.mark.parametrize("what", UNSAFE)
def test_what_could_run_code_is_refused_and_does_not_run(sound, tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    spoil, kind, word = UNSAFE[what]
    spoil(members := Members(sound))
    path = members.write(tmp_path / "unsafe.nemo")
    with pytest.raises(kind) as refusal:
        nemo_asr.restore(path)
    assert str(path) in str(refusal.value)
    assert word in str(refusal.value)
    assert [file.name for file in tmp_path.iterdir()] == ["unsafe.nemo"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_file_that_ends_too_early(sound, tmp_path, share):
    path = Members(sound).write(tmp_path / "short.nemo")
    content = path.read_bytes().rstrip(b"\0")
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ArchiveError, match=r"short\.nemo"):
        nemo_asr.restore(path)


@pytest.mark.parametrize("content", [b"RIFF....WAVE", b"PK\x03\x04", b"\x1f\x8b\x08", b"<html>not found</html>"])
def test_a_file_that_is_something_else(tmp_path, content):
    path = tmp_path / "page.nemo"
    path.write_bytes(content * 300)
    with pytest.raises(ArchiveError, match=r"page\.nemo"):
        nemo_asr.restore(path)


def test_the_form_of_the_first_betas(sound, tmp_path):
    members = Members(sound)
    config = yaml.safe_load(members["./model_config.yaml"])
    for section in ("preprocessor", "encoder", "decoder"):
        target = config[section].pop("_target_")
        config[section] = {"cls": target, "params": config[section]}
    members["./model_config.yaml"] = yaml.safe_dump(config).encode()
    model = nemo_asr.restore(members.write(tmp_path / "old.nemo"))
    assert model.load_report.complete
    assert model.encoder.feat_in == 16


def test_what_fits_can_be_had_all_the_same(sound, tmp_path):
    members = Members(sound)
    members.weights(lambda state: state.update({ANOTHER_SHAPE: torch.ones(7)}))
    model = nemo_asr.restore(members.write(tmp_path / "spoilt.nemo"), strict=False)
    assert list(model.load_report.mismatched) == [ANOTHER_SHAPE]


def test_the_command_line_says_it_in_two_lines(sound, tmp_path):
    members = Members(sound)
    members.configure("target", value=UNHEARD_OF)
    path = members.write(tmp_path / "spoilt.nemo")
    code = "from nemo_core.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "export", str(path), "--format", "nvidia-nemo", "-o", str(tmp_path / "out.nemo")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert [line.partition(":")[0] for line in done.stderr.strip().splitlines()] == ["error", "hint"]
    assert str(path) in done.stderr
