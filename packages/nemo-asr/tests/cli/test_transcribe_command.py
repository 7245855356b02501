from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf

from nemo_asr.transcription import write
from nemo_core.cli.main import run


@pytest.fixture
def archive(model, tmp_path):
    return str(model.save(tmp_path / "model.nemo"))


@pytest.fixture
def recordings(wav, tmp_path):
    for index, name in enumerate(("b.wav", "a.wav")):
        wav(f"in/{name}", seconds=1.0 + index, seed=index)
    return tmp_path / "in"


def test_a_table_in_the_order_given(archive, recordings, model, capsys):
    files = [str(recordings / name) for name in ("b.wav", "a.wav")]
    assert run(["transcribe", archive, *files]) == 0
    out = capsys.readouterr().out
    assert out.index("b.wav") < out.index("a.wav")
    for hypothesis in model.transcribe(files):
        assert hypothesis.text.strip() in out
    assert "3.0 s of audio" in out


def test_json(archive, recordings, model, capsys):
    assert run(["transcribe", archive, str(recordings), "--json", "--timestamps"]) == 0
    result = json.loads(capsys.readouterr().out)
    expected = model.transcribe(recordings, timestamps=True)
    assert [each["pred_text"] for each in result["transcripts"]] == [hypothesis.text for hypothesis in expected]
    assert result["transcripts"][0]["audio_filepath"] == str(recordings / "a.wav")
    assert result["transcripts"][0]["words"] == [
        {"text": word.text, "start": word.start, "end": word.end} for word in expected[0].words
    ]
    assert result["audio_seconds"] == 3.0


def test_a_manifest_with_texts_is_scored(archive, recordings, model, tmp_path, capsys):
    heard = [hypothesis.text for hypothesis in model.transcribe(recordings)]
    said = [heard[0], "abc " + heard[1]]  # one word too few is heard
    lines = [{"audio_filepath": f"in/{n}.wav", "text": text} for n, text in zip("ab", said, strict=True)]
    manifest = tmp_path / "list.txt"
    manifest.write_text("\n".join(map(json.dumps, lines)))
    assert run(["transcribe", archive, "--manifest", str(manifest), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["wer"] == pytest.approx(1 / sum(len(text.split()) for text in said), abs=1e-6)
    assert [each["text"] for each in result["transcripts"]] == said
    assert run(["transcribe", archive, "--manifest", str(manifest)]) == 0
    out = capsys.readouterr().out
    assert "said" in out
    assert "WER" in out


def test_outputs_are_written_and_never_replaced_unasked(archive, recordings, model, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["transcribe", archive, str(recordings), "-o", str(out)]) == 0
    expected = {h.source: h.text for h in model.transcribe(recordings)}
    assert (out / "a.txt").read_text() == expected[str(recordings / "a.wav")].strip() + "\n"
    lines = [json.loads(line) for line in (out / "transcripts.jsonl").read_text().splitlines()]
    assert {line["audio_filepath"]: line["pred_text"] for line in lines} == expected
    (out / "a.txt").write_text("mine")
    assert run(["transcribe", archive, str(recordings), "-o", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "a.txt").read_text() == "mine"
    assert run(["transcribe", archive, str(recordings), "-o", str(out), "--overwrite"]) == 0
    assert (out / "a.txt").read_text() != "mine"


def test_files_of_one_name_do_not_replace_each_other(archive, wav, tmp_path):
    for folder in ("x", "y"):
        wav(f"in/{folder}/a.wav")
    assert run(["transcribe", archive, str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").glob("*.txt")} == {"x-a.txt", "y-a.txt"}


def test_no_text_replaces_that_of_another_audio(archive, wav, tmp_path):
    path = str(wav("in/a.wav", seconds=2.0))
    (tmp_path / "in" / "a.flac").write_bytes((tmp_path / "in" / "a.wav").read_bytes())
    lines = [{"audio_filepath": path, "offset": offset, "duration": 1.0} for offset in (0.0, 1.0)]
    manifest = tmp_path / "parts.jsonl"
    manifest.write_text("\n".join(map(json.dumps, lines)))
    out = tmp_path / "out"
    assert run(["transcribe", archive, str(tmp_path / "in"), str(manifest), "-o", str(out)]) == 0
    assert {file.name for file in out.glob("*.txt")} == {"in-a.txt", "in-a-2.txt", "in-a-3.txt", "in-a-4.txt"}


def test_a_text_that_stands_in_the_folder_is_not_replaced(archive, recordings, capsys):
    (recordings / "a.txt").write_text("by hand")
    assert run(["transcribe", archive, str(recordings), "-o", str(recordings)]) == 2
    assert "a.txt exists" in capsys.readouterr().err
    assert (recordings / "a.txt").read_text() == "by hand"
    assert not (recordings / "b.txt").exists()


def test_the_summary_counts(archive, recordings, capsys):
    assert run(["transcribe", archive, str(recordings)]) == 0
    assert "2 transcribed: 3.0 s of audio" in capsys.readouterr().out
    (recordings / "c.wav").write_text("no audio")
    assert run(["transcribe", archive, str(recordings)]) == 1
    assert "2 transcribed, 1 failed: 3.0 s of audio" in capsys.readouterr().out
    assert run(["transcribe", archive, str(recordings / "c.wav")]) == 1
    assert capsys.readouterr().out == "0 transcribed, 1 failed\n"


def test_a_damaged_file_costs_that_file_only(archive, recordings, capsys):
    (recordings / "c.wav").write_text("no audio")
    sf.write(recordings / "d.wav", np.array([np.nan]), 8000, subtype="FLOAT")
    assert run(["transcribe", archive, str(recordings), "--json"]) == 1
    captured = capsys.readouterr()
    transcripts = json.loads(captured.out)["transcripts"]
    assert ["error" in each for each in transcripts] == [False, False, True, True]
    assert "c.wav" in captured.err
    assert "d.wav" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.nemo", "{in}"], "none.nemo"),
        (["{model}", "{in}/*.mp3"], "no file matches"),
        (["{model}", "{in}", "--channel", "left"], "left"),
        (["{model}", "{in}", "--batch-size", "0"], "batch-size"),
        (["{model}", "{in}", "-o", "{in}/a.wav"], "is a file"),
        (["{model}", "{in}", "--device", "abacus"], "abacus"),
    ],
)
def test_mistakes_are_told_in_a_line(archive, recordings, capsys, arguments, said):
    arguments = [each.replace("{model}", archive).replace("{in}", str(recordings)) for each in arguments]
    assert run(["transcribe", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert said in err


def test_channels(archive, wav, capsys):
    path = str(wav("stereo.wav", channels=2))
    assert run(["transcribe", archive, path]) == 1
    assert "has 2 channels" in capsys.readouterr().err
    assert run(["transcribe", archive, path, "--channel", "1"]) == 0
    assert run(["transcribe", archive, path, "--channel", "average"]) == 0


def test_the_command_stays_lean(archive, recordings):
    code = (
        "import sys; from nemo_core.cli.main import run; "
        f"code = run(['transcribe', {archive!r}, {str(recordings)!r}]); "
        "heavy = {'tensorboard', 'tensorboardX', 'hydra', 'scipy', 'soxr', 'pandas'} & set(sys.modules); "
        "sys.exit(code or (str(heavy) if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_formats_go_to_files(archive, recordings, model, tmp_path):
    out = tmp_path / "out"
    arguments = ["--format", "srt,vtt", "--format", "textgrid", "--format", "ctm", "-o", str(out)]
    assert run(["transcribe", archive, str(recordings), *arguments]) == 0
    names = {f"{name}{suffix}" for name in "ab" for suffix in (".srt", ".vtt", ".TextGrid")}
    assert {path.name for path in out.iterdir()} == names | {"transcripts.ctm"}
    write(model.transcribe(recordings, timestamps=True), tmp_path / "same", "srt")
    for name in ("a.srt", "b.srt"):
        assert (out / name).read_text() == (tmp_path / "same" / name).read_text()


def test_a_format_can_be_printed(archive, recordings, model, capsys):
    path = str(recordings / "a.wav")
    assert run(["transcribe", archive, path, "--format", "vtt"]) == 0
    assert capsys.readouterr().out.startswith("WEBVTT\n")
    (recordings / "c.wav").write_text("no audio")
    assert run(["transcribe", archive, str(recordings), "--format", "txt"]) == 1
    texts = [" ".join(each.text.split()) for each in model.transcribe(recordings) if each.error is None]
    assert capsys.readouterr().out.splitlines() == texts


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "docx"], "'docx' is not known"),
        (["--format", "srt,vtt"], "only one format can be printed"),
        (["--format", "srt", "--json"], "only one format can be printed"),
        (["--format", "srt"], "srt of 2 audios cannot be printed"),
        (["--decoder", "ctc"], "CTCModel has no choice of decoders"),
        (["--chunk-seconds", "0.1"], "chunk-seconds"),
    ],
)
def test_formats_and_decoders_that_cannot_be(archive, recordings, capsys, arguments, said):
    assert run(["transcribe", archive, str(recordings), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_decoder_of_a_hybrid_model(nvidia, capsys):
    folder = nvidia / "fastconformer_hybrid_tdt_ctc_bpe"
    arguments = ["transcribe", str(folder / f"{folder.name}.nemo"), str(nvidia / "sample.wav"), "--format", "txt"]
    expected = " ".join(json.loads((folder / "expected.json").read_text())["transcript"]).split()
    assert run([*arguments, "--decoder", "transducer"]) == 0
    assert capsys.readouterr().out.split() == expected
    assert run([*arguments, "--decoder", "ctc"]) == 0
    assert capsys.readouterr().out.split() != expected
    assert run([*arguments, "--decoder", "dice"]) == 2
    assert "'dice' is not known" in capsys.readouterr().err


def test_long_audio_in_pieces(archive, wav, model, capsys):
    path = wav("long.wav", seconds=4.0)
    assert run(["transcribe", archive, str(path), "--chunk-seconds", "1.5", "--json"]) == 0
    (heard,) = json.loads(capsys.readouterr().out)["transcripts"]
    assert heard["pred_text"] == model.transcribe(path, chunk_seconds=1.5)[0].text
