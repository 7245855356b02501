"""A voice is trained on: recordings of another speaker, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile as sf
import torch
from speech_support import make_speaker

from nemo_core.audio import write_manifest
from nemo_core.cli.main import run
from nemo_core.errors import ConfigError
from nemo_tts.data import load_digits
from nemo_tts.models import restore
from nemo_tts.models.continuing import continued_voice

WORDS = ("zero", "one", "two", "three")


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives of one voice and of two, and recordings of somebody else."""
    folder = tmp_path_factory.mktemp("voices")
    make_speaker().acoustic.save(folder / "one.nemo")
    make_speaker(n_speakers=2, speakers=["ann", "bob"]).acoustic.save(folder / "two.nemo")
    rows = []
    for digit, word in enumerate(WORDS):
        audio = load_digits("theo")[digit][0]
        sf.write(folder / f"{digit}.wav", audio, 8000)
        rows.append({"audio_filepath": f"{digit}.wav", "duration": len(audio) / 8000, "text": word})
    write_manifest(folder / "theo.jsonl", rows)
    return folder


def prepared(voices: Path, archive: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    recipe = ["--recipe", "tts/finetune_speaker", "--set", f"init_from={voices / archive}"]
    command = ["tts", "prepare", str(voices / "theo.jsonl"), "-o", str(folder / "features"), "--jobs", "1", "--json"]
    capsys.readouterr()
    assert run([*command, *recipe]) == 0
    found = json.loads(capsys.readouterr().out)
    return [f"pitch_mean={found['pitch_mean']}", f"pitch_std={found['pitch_std']}"]


def train(voices: Path, archive: str, folder: Path, *overrides: str) -> int:
    manifest = folder / "features" / "manifest.jsonl"
    quick = ["trainer.max_steps=3", "data.batch_size=4", f"experiment.dir={folder}/runs"]
    data = [f"data.train={manifest}", f"data.validation={manifest}"]
    return run(["train", "tts/finetune_speaker", f"init_from={voices / archive}", *data, *quick, *overrides])


def test_a_voice_becomes_another(voices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statistics = prepared(voices, "one.nemo", tmp_path, capsys)
    assert train(voices, "one.nemo", tmp_path, *statistics) == 0
    old, new = restore(voices / "one.nemo"), restore(tmp_path / "runs" / "finetuned_voice" / "latest")
    assert new.pitch_mean == pytest.approx(float(statistics[0].partition("=")[2]))
    assert old.pitch_mean == 200.0
    difference = [(a - b).abs().max() for a, b in zip(old.parameters(), new.parameters(), strict=True)]
    assert 0 < max(difference) < 0.05
    assert run(["synthesize", str(tmp_path / "runs/finetuned_voice/latest"), "two", "-o", str(tmp_path / "a.wav")]) == 0


def test_a_voice_is_added(voices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared(voices, "two.nemo", tmp_path, capsys)
    fast = ["optim.lr=0.01", "optim.scheduler.warmup_steps=0"]
    assert train(voices, "two.nemo", tmp_path, "speaker=theo", "like=bob", *fast) == 0
    old, new = restore(voices / "two.nemo"), restore(tmp_path / "runs" / "finetuned_voice" / "latest")
    assert new.speakers == ["ann", "bob", "theo"]
    assert (new.pitch_mean, new.pitch_std) == (old.pitch_mean, old.pitch_std)
    ann, bob, theo = new.speaker_emb.weight
    torch.testing.assert_close(ann, old.speaker_emb.weight[0], atol=1e-4, rtol=0)  # only theo was heard
    assert (theo - bob).abs().max() > 1e-3
    command = ["synthesize", str(tmp_path / "runs/finetuned_voice/latest"), "two", "--speaker", "theo"]
    assert run([*command, "-o", str(tmp_path / "a.wav")]) == 0


def test_nothing_is_lost_where_it_starts(voices: Path) -> None:
    old = restore(voices / "two.nemo")
    new = continued_voice(voices / "two.nemo", "theo").eval()
    tokens = torch.tensor([[1, 2, 3]])
    for speaker in (0, 1):
        assert torch.equal(old.generate(tokens, speaker=speaker).spectrogram, new.generate(tokens, speaker=speaker)[0])
    torch.testing.assert_close(new.speaker_emb.weight[2], old.speaker_emb.weight.mean(0))
    assert [name for name, weight in new.named_parameters() if not weight.requires_grad] == []


@pytest.mark.parametrize(
    ("archive", "options", "said"),
    [
        (None, {}, "no voice to start from"),
        ("one.nemo", {"speaker": "theo"}, "no table"),
        ("two.nemo", {"speaker": "bob"}, "already"),
        ("two.nemo", {"speaker": "theo", "like": "eve"}, "'eve'"),
        ("two.nemo", {"like": "bob"}, "no voice is added"),
        ("two.nemo", {"speaker": "theo", "pitch_mean": 100.0, "pitch_std": 20.0}, "other statistics"),
        ("two.nemo", {"pitch_mean": 100.0}, "give both"),
    ],
)
def test_nonsense_is_refused(voices: Path, archive: str | None, options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        continued_voice(None if archive is None else voices / archive, **options)
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_without_an_archive_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "tts/finetune_speaker", f"experiment.dir={tmp_path}/runs"]) == 2
    assert "init_from=ARCHIVE" in capsys.readouterr().err
