from __future__ import annotations

import numpy as np
import soundfile as sf

from nemo_asr.data import ConnectedDigits, Manifest
from nemo_core.cli.main import run


def test_strings_and_a_manifest_are_written(tmp_path, capsys):
    assert run(["asr", "digits", "--split", "test", "--n", "9", "--seed", "3", "-o", str(tmp_path / "d")]) == 0
    entries = list(Manifest(tmp_path / "d" / "manifest.jsonl"))
    strings = ConnectedDigits("test", size=9, seed=3)
    assert [entry.text for entry in entries] == [strings[index].text for index in range(9)]
    for index, entry in enumerate(entries):
        audio, rate = sf.read(entry.audio, dtype="float32")
        assert rate == 8000
        np.testing.assert_allclose(audio, strings[index].audio, atol=1e-4)
        assert abs(entry.duration - len(audio) / rate) < 1e-3


def test_nothing_is_replaced_unasked(tmp_path, capsys):
    (tmp_path / "manifest.jsonl").write_text("mine")
    assert run(["asr", "digits", "-o", str(tmp_path)]) == 2
    assert (tmp_path / "manifest.jsonl").read_text() == "mine"
    assert run(["asr", "digits", "-o", str(tmp_path), "--overwrite", "--n", "1"]) == 0


def test_unknown_splits_are_refused(tmp_path, capsys):
    assert run(["asr", "digits", "--split", "dev", "-o", str(tmp_path)]) == 2
    assert "dev" in capsys.readouterr().err
