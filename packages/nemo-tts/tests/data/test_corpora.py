"""Layouts of corpora, as small trees of real recordings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile as sf

from nemo_core.audio import Manifest, read_audio
from nemo_core.cli.main import run
from nemo_core.errors import DataError
from nemo_tts.data.corpora import corpus_manifest

DATA = Path(__file__).parents[5] / "shared" / "data"


@pytest.fixture
def english(tmp_path: Path) -> Path:
    """Three clips of LJSpeech in its layout."""
    rows = recordings("ljspeech-24")[:3]
    for row in rows:
        as_wav(row, tmp_path / "wavs" / f"{row['id']}.wav")
    lines = [f"{row['id']}|{row['text']}|{row['normalized_text']}" for row in rows]
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def mandarin(tmp_path: Path) -> Path:
    """Two readers of AISHELL-1 in the layout of AISHELL-3."""
    pypinyin = pytest.importorskip("pypinyin", reason="nemo-tts[zh] is not installed")
    lines = []
    rows = [row for row in recordings("aishell1-sample-zh") if all("一" <= letter <= "鿿" for letter in row["text"])]
    for number, row in enumerate([*rows[:2], rows[-1]]):
        speaker = "SSB0005" if number < 2 else "SSB0009"
        name = f"{speaker}{number:04}.wav"
        as_wav(row, tmp_path / "train" / "wav" / speaker / name)
        syllables = pypinyin.lazy_pinyin(row["text"], style=pypinyin.Style.TONE3, neutral_tone_with_five=True)
        pairs = " ".join(f"{character} {said}" for character, said in zip(row["text"], syllables, strict=True))
        lines.append(f"{name}\t{pairs}")
    (tmp_path / "train" / "content.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def recordings(name: str) -> list[dict[str, str]]:
    path = DATA / name / "manifest.jsonl"
    if not path.is_file():
        pytest.skip(f"the recordings {name} are not here")
    return [json.loads(line) | {"folder": str(path.parent)} for line in path.read_text("utf-8").splitlines()]


def as_wav(row: dict[str, str], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, *read_audio(Path(row["folder"]) / row["audio_filepath"]))


def test_ljspeech(english: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = english / "lists" / "train.jsonl"
    assert run(["tts", "manifest", "ljspeech", str(english), "-o", str(out)]) == 0
    assert "3 utterances" in capsys.readouterr().out
    entries = list(Manifest(out))
    assert [entry.audio.is_file() for entry in entries] == [True] * 3
    assert entries[0].text == "in being comparatively modern."
    assert entries[0].duration == pytest.approx(1.8995, abs=1e-3)
    assert entries[0].extra["normalized_text"] == entries[0].text
    assert run(["tts", "manifest", "ljspeech", str(english), "-o", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_sfspeech(english: Path) -> None:
    (name, *_) = [path.stem for path in sorted((english / "wavs").iterdir())]
    (english / "wavs" / f"{name}.wav").rename(english / "wavs" / "com_SF_ce1.wav")
    (english / "text_SF.txt").write_text("\ufeffcom_DL_ce1 打开 Bluetooth\n", encoding="utf-8")
    found = corpus_manifest("sfspeech", english, english / "sf.jsonl")
    assert (found.utterances, found.speakers) == (1, ["SF"])
    assert next(iter(Manifest(english / "sf.jsonl"))).text == "打开 Bluetooth"


def test_aishell3_is_prepared_too(mandarin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = mandarin / "train.jsonl"
    assert run(["tts", "manifest", "aishell3", str(mandarin / "train"), "-o", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["utterances"], said["speakers"]) == (3, ["SSB0005", "SSB0009"])
    first = next(iter(Manifest(out)))
    assert (first.text, first.speaker) == ("设定二十九度", "SSB0005")
    assert first.extra["pinyin"] == "she4 ding4 er4 shi2 jiu3 du4"
    prepare = ["tts", "prepare", str(out), "-o", str(mandarin / "features"), "--recipe", "tts/mandarin_fastpitch"]
    assert run([*prepare, "--jobs", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["speakers"] == ["SSB0005", "SSB0009"]


def test_what_is_wrong_is_said_with_its_line(mandarin: Path) -> None:
    content = mandarin / "train" / "content.txt"
    lines = content.read_text(encoding="utf-8").splitlines()
    bad = ["SSB00050009.wav\t好 hao3", "no tab", "SSB00050000.wav\t好 hao3 的", "SSB00050000.wav\t好 hao", ""]
    content.write_text("\n".join([lines[0], *bad, *lines[1:]]), encoding="utf-8")
    with pytest.raises(DataError, match="4 of 7 lines") as caught:
        corpus_manifest("aishell3", mandarin / "train", mandarin / "a.jsonl")
    for said in ("line 2: there is no", "line 3: 'no tab'", "line 4: SSB00050000.wav: characters", "line 5: .*'hao'"):
        assert caught.match(said)
    assert not (mandarin / "a.jsonl").exists()
    found = corpus_manifest("aishell3", mandarin / "train", mandarin / "a.jsonl", skip_bad=True)
    assert (found.utterances, len(found.skipped)) == (3, 4)
    with pytest.raises(DataError, match=r"no content\.txt") as caught:
        corpus_manifest("aishell3", mandarin, mandarin / "b.jsonl")
    assert str(mandarin / "train") in caught.value.hint
    (mandarin / "metadata.csv").write_text("\n", encoding="utf-8")
    with pytest.raises(DataError, match="it is empty"):
        corpus_manifest("ljspeech", mandarin, mandarin / "b.jsonl")
    (mandarin / "metadata.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        corpus_manifest("ljspeech", mandarin, mandarin / "b.jsonl")
