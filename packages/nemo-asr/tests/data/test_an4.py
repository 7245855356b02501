"""AN4: from its official layout, and from a manifest with splits."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf

from nemo_asr.data import Manifest, write_manifest
from nemo_asr.data.an4 import read_an4
from nemo_core.cli.main import run
from nemo_core.errors import DataError

SPEAKERS = [f"s{number:02d}" for number in range(16)]


@pytest.fixture
def official(tmp_path):
    folder = tmp_path / "an4"
    (folder / "etc").mkdir(parents=True)
    for split, speakers in (("train", SPEAKERS), ("test", ["t1"])):
        names, lines = [], []
        for speaker in speakers:
            name = f"an4_clstk/{speaker}/cen1-{speaker}-b"
            path = folder / "wav" / f"{name}.wav"
            path.parent.mkdir(parents=True)
            sf.write(path, np.zeros(8000), 16000)
            names.append(name)
            text = f"YES {speaker.upper()}"
            lines.append(f"<s> {text} </s> (cen1-{speaker}-b)" if split == "train" else f"{text} (cen1-{speaker}-b)")
        (folder / f"etc/an4_{split}.fileids").write_text("\n".join(names) + "\n")
        (folder / f"etc/an4_{split}.transcription").write_text("\n".join(lines) + "\n")
    return folder


def test_speakers_of_the_three_splits_are_apart(official):
    splits = read_an4(official)
    assert {name: len(lines) for name, lines in splits.items()} == {"train": 15, "validation": 1, "test": 1}
    assert splits["validation"][0]["speaker"] == "s14"
    assert splits["test"][0]["text"] == "yes t1"
    assert splits["train"][0]["duration"] == 0.5


def test_a_manifest_with_splits_gives_the_same(official, tmp_path):
    expected = read_an4(official)
    lines = [
        {**line, "split": "test" if name == "test" else "train"} for name, each in expected.items() for line in each
    ]
    (tmp_path / "other").mkdir()
    write_manifest(tmp_path / "other/manifest.jsonl", lines)
    assert read_an4(tmp_path / "other") == expected


def test_the_command_writes_manifests_once(official, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["asr", "an4", str(official), "-o", str(out)]) == 0
    assert "15 utterances" in capsys.readouterr().out
    assert len(Manifest(out / "train.jsonl")) == 15
    assert run(["asr", "an4", str(official), "-o", str(out)]) == 2
    assert run(["asr", "an4", str(official), "-o", str(out), "--overwrite"]) == 0


def test_what_is_missing_is_named(official, tmp_path, capsys):
    assert run(["asr", "an4", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "AN4 is not here" in capsys.readouterr().err
    (official / "wav/an4_clstk/t1/cen1-t1-b.wav").unlink()
    with pytest.raises(DataError, match=r"an4_test\.transcription, line 1: there is no recording .*cen1-t1-b"):
        read_an4(official)
    (official / "etc/an4_test.transcription").write_text("no name\n")
    with pytest.raises(DataError, match="line 1: is no text"):
        read_an4(official)
