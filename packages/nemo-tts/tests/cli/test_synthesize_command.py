"""``nemo synthesize`` and ``nemo tts prepare``, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from speech_support import MEL, SIZES, make_fastpitch

from nemo_core.audio import MelSpectrogram, write_manifest
from nemo_core.cli.main import run
from nemo_tts.data import load_digits
from nemo_tts.models import HiFiGan
from nemo_tts.modules import FFTransformerEncoder, HiFiGanGenerator
from nemo_tts.text import EnglishNormalizer
from nemo_tts.tokenizers import EnglishCharsTokenizer, EnglishPhonemesTokenizer


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)  # also for the encoder: what it says must not depend on which tests came before
    tokenizer = EnglishCharsTokenizer()
    encoder = FFTransformerEncoder(n_embed=len(tokenizer), padding_idx=tokenizer.pad, **SIZES)
    make_fastpitch(encoder=encoder, tokenizer=tokenizer).save(folder / "voice.nemo")
    small = {"upsample_rates": [8, 8], "upsample_kernel_sizes": [16, 16], "upsample_initial_channel": 16}
    HiFiGan(MelSpectrogram(**MEL), HiFiGanGenerator(**small, initial_input_size=12)).save(folder / "vocoder.nemo")
    other = {**MEL, "sample_rate": 16000}
    HiFiGan(MelSpectrogram(**other), HiFiGanGenerator(**small, initial_input_size=12)).save(folder / "other.nemo")
    return folder


def test_a_text_becomes_a_file(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.wav"
    command = ["synthesize", str(models / "voice.nemo"), "One. Two.", "-o", str(out)]
    assert run([*command, "--plot", str(tmp_path / "out.png")]) == 0
    assert "x real time" in capsys.readouterr().out
    audio, rate = sf.read(out)
    assert rate == 8000
    assert len(audio) > 0.2 * rate
    assert (tmp_path / "out.png").stat().st_size > 5000
    assert run(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run([*command, "--overwrite", "--vocoder", str(models / "vocoder.nemo"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["speech"][0]["path"] == str(out)
    assert said["real_time_factor"] > 0


def test_texts_become_files(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts.txt").write_text("one\n\ntwo\n")
    command = ["synthesize", str(models / "voice.nemo"), "zero", "--file", str(tmp_path / "texts.txt")]
    assert run([*command, "-o", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.wav", "2.wav", "3.wav"]
    assert run([*command, "-o", str(tmp_path / "out.wav")]) == 2
    assert "3 texts do not go into one file" in capsys.readouterr().err


def test_a_stream_grows(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["synthesize", str(models / "voice.nemo"), "One two. Three four.", "--stream"]
    assert run([*command, "-o", str(tmp_path / "a.wav"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sentences"] == 2
    assert 0 < said["first_audio"] <= said["took"]
    assert sf.info(tmp_path / "a.wav").duration == pytest.approx(said["seconds"], abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is no text"),
        ([""], "nothing that can be spoken"),
        (["one 😀"], "GRINNING FACE"),
        (["one", "--speaker", "eve"], "no speaker 'eve'"),
        (["one", "--pace", "0"], "pace is 0, not from 0.1 to 10"),
        (["one", "--pitch-shift", "1000"], "pitch_shift is 1000"),
        (["?!..."], "nothing that can be spoken"),
        (["שלום"], "HEBREW LETTER SHIN"),
        (["one", "--speaker", "-1"], "no speaker '-1'"),
        (["one", "--speaker", "7"], "one voice"),
        (["one", "--word", "2:pace=2"], "no word 2: the text has 1"),
        (["one", "--word", "pace=2"], "names no word"),
        (["one", "--word", "1:pase=2"], "did you mean pace"),
        (["one", "two", "--word", "1:pace=2", "-o", "{out}/both"], "one text"),
        (["one", "--vocoder", "{models}/other.nemo"], "16000"),
        (["one", "--vocoder", "{models}/voice.nemo"], "FastPitch"),
        (["one", "--vocoder", "{models}/none.nemo"], "none.nemo"),
        (["one", "-o", "{out}/a.docx"], "ends with .wav"),
        (["--file", "{out}/none.txt"], "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], said: str, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [each.format(models=models, out=tmp_path) for each in arguments]
    where = [] if "-o" in filled else ["-o", str(tmp_path / "out.wav")]
    assert run(["synthesize", str(models / "voice.nemo"), *filled, *where]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("seven 😀", 0, "GRINNING FACE"),
        ("שלום seven", 0, "HEBREW LETTER SHIN"),
        ("seven\u200b\x07 \ue000", 0, "U+E000"),
        ("😀", 2, "nothing that can be spoken"),
        ("שלום", 2, "nothing that can be spoken"),
        ("—…!?", 2, "nothing that can be spoken"),
    ],
)
def test_what_a_normaliser_leaves_out_is_named(
    text: str,
    status: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    tokenizer = EnglishPhonemesTokenizer(normalizer=EnglishNormalizer())
    torch.manual_seed(0)
    encoder = FFTransformerEncoder(n_embed=len(tokenizer), padding_idx=tokenizer.pad, **SIZES)
    make_fastpitch(encoder=encoder, tokenizer=tokenizer).save(tmp_path / "voice.nemo")
    assert run(["synthesize", str(tmp_path / "voice.nemo"), text, "-o", str(tmp_path / "out.wav")]) == status
    assert said in capsys.readouterr().err + caplog.text
    assert (tmp_path / "out.wav").exists() == (status == 0)


def test_a_corpus_is_prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    for digit in range(3):
        sf.write(tmp_path / f"{digit}.wav", load_digits("theo")[digit][0], 8000)
        rows.append({"audio_filepath": f"{digit}.wav", "text": "a digit"})
    write_manifest(tmp_path / "corpus.jsonl", rows)
    command = ["tts", "prepare", str(tmp_path / "corpus.jsonl"), "-o", str(tmp_path / "out"), "--jobs", "2"]
    recipe = ["--recipe", "tts/spoken_digits", "--set", "model.preprocessor.n_window_stride=80"]
    assert run([*command, *recipe, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["utterances"], said["made"]) == (3, 3)
    with np.load(next((tmp_path / "out").rglob("*.npz"))) as kept:
        assert kept["features"].shape[0] == 2
    assert run([*command, *recipe]) == 0
    assert "nemo train tts/spoken_digits" in capsys.readouterr().out
    assert run([*command, "--recipe", "tts/spoken_digits_vocoder", "--set", "~data.features"]) == 2
    assert "data.features" in capsys.readouterr().err
