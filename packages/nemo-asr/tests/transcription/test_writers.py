from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.decoding import Alignment, Hypothesis, Span
from nemo_asr.transcription import FORMATS, CueLimits, split_into_cues, write
from nemo_asr.transcription.formats import find_format
from nemo_asr.transcription.writers import OutputFolder, render
from nemo_core.errors import ConfigError, DataError

TIMED = ["ctm", "srt", "vtt", "textgrid"]


def heard(words, source="calls/a.wav", gap=0.1, seconds=0.4, duration=None):
    """A hypothesis of words that are said one after the other."""
    tokens, now = [], 0.0
    for place, word in enumerate(words):
        tokens.append(Span(word if place == 0 else f" {word}", round(now, 4), round(now + seconds, 4)))
        now += seconds + gap
    text = "".join(token.text for token in tokens)
    return Hypothesis(text, duration=duration or max(now, 0.5), alignment=Alignment(tuple(tokens)), source=source)


def text_of(hypothesis, name):
    return render([hypothesis], find_format(name))


def seconds(clock):
    hours, minutes, rest = clock.replace(",", ".").split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


def parse_subtitles(content):
    """Cues as players find them: times, then lines to the next empty one."""
    cues = []
    for block in re.split(r"\n{2,}", content.strip("\n")) if content.strip() else []:
        lines = block.split("\n")
        place = next(i for i, line in enumerate(lines) if "-->" in line)
        start, end = lines[place].split(" --> ")
        assert re.fullmatch(r"\d\d:\d\d:\d\d[,.]\d\d\d", start)
        assert not any("-->" in line for line in lines[place + 1 :])
        cues.append((lines[:place], seconds(start), seconds(end), "\n".join(lines[place + 1 :])))
    return cues


def parse_textgrid(content):
    """Tiers of (start, end, text); what is wrong for Praat fails."""
    tokens = iter(re.findall(r'"(?:[^"]|"")*"|<exists>|(?<== )[\d.]+', content))
    assert [next(tokens), next(tokens)] == ['"ooTextFile"', '"TextGrid"']
    begin, end, exists, count = float(next(tokens)), float(next(tokens)), next(tokens), int(next(tokens))
    assert (begin, exists) == (0, "<exists>")
    tiers = {}
    for _ in range(count):
        assert next(tokens) == '"IntervalTier"'
        name = next(tokens).strip('"')
        assert (float(next(tokens)), float(next(tokens))) == (0, end)
        tier = [(float(next(tokens)), float(next(tokens)), next(tokens)[1:-1]) for _ in range(int(next(tokens)))]
        assert tier[0][0] == 0
        assert tier[-1][1] == end
        assert all(a[1] == b[0] for a, b in pairwise(tier))
        assert all(start < stop for start, stop, _ in tier)
        tiers[name] = [(start, stop, text.replace('""', '"')) for start, stop, text in tier]
    assert next(tokens, None) is None
    return tiers, end


words_of_any_script = st.lists(
    st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=30),
    max_size=12,
)
tokens_of_any_time = st.lists(
    st.tuples(st.sampled_from(["no", " oh", " ", "n", " a.", "語"]), st.integers(0, 3), st.integers(0, 20)), max_size=60
)


def align_steps(steps):
    """Tokens as transducers give them: some start together, some take no time, some overlap."""
    spans, now = [], 0
    for text, step, length in steps:
        now += step
        spans.append(Span(text, round(now * 0.08, 4), round((now + length) * 0.08, 4)))
    return Alignment(tuple(spans))


@settings(max_examples=60, deadline=None)
@given(steps=tokens_of_any_time, line=st.integers(5, 20), lines=st.integers(1, 3))
def test_cues_are_short_apart_and_say_everything(steps, line, lines):
    alignment = align_steps(steps)
    limits = CueLimits(line=line, lines=lines, seconds=3.0)
    cues = split_into_cues(alignment, limits)
    said = "".join("".join(cue.text.split()) for cue in cues)
    assert said == "".join("".join(token.text.split()) for token in alignment.tokens)
    for cue in cues:
        assert cue.text.strip()
        assert cue.start < cue.end
        assert len(cue.text.split("\n")) <= lines
        assert all(len(each) <= line for each in cue.text.split("\n"))
    assert all(a.end <= b.start for a, b in pairwise(cues))


@settings(max_examples=60, deadline=None)
@given(steps=tokens_of_any_time, words=words_of_any_script)
def test_what_is_written_can_be_read(steps, words):
    for hypothesis in (heard(words), Hypothesis("x", duration=2.0, alignment=align_steps(steps))):
        said = [word.text for word in hypothesis.words]
        joined = "".join("".join(said).split())
        srt = parse_subtitles(text_of(hypothesis, "srt"))
        assert [lines for lines, *_ in srt] == [[str(number)] for number in range(1, len(srt) + 1)]
        assert "".join("".join(cue[3].split()) for cue in srt).replace("-->", "") == joined.replace("-->", "")
        header, _, rest = text_of(hypothesis, "vtt").partition("\n\n")
        assert header.strip() == "WEBVTT"
        vtt = parse_subtitles(rest)
        assert [cue[1:3] for cue in vtt] == [cue[1:3] for cue in srt]
        plain = "".join("".join(cue[3].split()) for cue in vtt)
        for escaped, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
            plain = plain.replace(escaped, character)
        assert plain == joined
        tiers, end = parse_textgrid(text_of(hypothesis, "textgrid"))
        assert list(tiers) == ["segments", "words", "tokens"]
        assert " ".join(text for *_, text in tiers["words"] if text).split() == " ".join(said).split()
        assert end >= hypothesis.duration
        fields = [line.split(" ") for line in text_of(hypothesis, "ctm").splitlines()]
        assert [word for *_, word in fields] == said
        assert all(float(start) >= 0 and float(length) >= 0 for _, _, start, length, _ in fields)
        (line,) = text_of(hypothesis, "json").splitlines()
        assert [word["text"] for word in json.loads(line)["words"]] == said


def test_the_formats_of_an_example():
    hypothesis = Hypothesis(
        'he said "no".\nAm I <b> --> c?',
        score=-1.5,
        duration=4.0,
        source="calls/my talk.wav",
        alignment=Alignment(
            tuple(
                Span(text, start, start + 0.25)
                for text, start in (
                    ("he", 0.0),
                    (" said", 0.5),
                    (' "no".', 1.0),
                    ("\nAm", 2.0),
                    (" I", 2.25),
                    (" <b>", 2.5),
                    (" -->", 3.0),
                    (" c?", 3.5),
                )
            )
        ),
    )
    assert text_of(hypothesis, "txt") == 'he said "no". Am I <b> --> c?\n'
    assert text_of(hypothesis, "srt") == (
        '1\n00:00:00,000 --> 00:00:01,250\nhe said "no".\n\n2\n00:00:02,000 --> 00:00:03,750\nAm I <b> -- > c?\n'
    )
    assert text_of(hypothesis, "vtt") == (
        'WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nhe said "no".\n\n'
        "00:00:02.000 --> 00:00:03.750\nAm I &lt;b&gt; --&gt; c?\n"
    )
    assert text_of(hypothesis, "ctm").splitlines()[2] == 'my_talk 1 1.000 0.250 "no".'
    tiers, end = parse_textgrid(text_of(hypothesis, "textgrid"))
    assert end == 4.0
    assert tiers["segments"] == [
        (0.0, 1.25, 'he said "no".'),
        (1.25, 2.0, ""),
        (2.0, 3.75, "Am I <b> --> c?"),
        (3.75, 4.0, ""),
    ]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_silence(name):
    silent = Hypothesis("", duration=1.0, alignment=Alignment(()), source="a.wav")
    content = text_of(silent, name)
    assert content == {"txt": "\n", "ctm": "", "srt": "", "vtt": "WEBVTT\n"}.get(name, content)
    if name == "textgrid":
        assert parse_textgrid(content)[0]["words"] == [(0.0, 1.0, "")]


def test_folders_and_files(tmp_path):
    both = [heard(["one"]), heard(["two"], source="x/b.wav")]
    broken = Hypothesis("", source="c.wav", error=DataError("c.wav: is damaged"))
    assert [path.name for path in write([*both, broken], tmp_path / "out", "srt")] == ["a.srt", "b.srt"]
    assert [path.name for path in write([*both, broken], tmp_path / "out", "ctm")] == ["transcripts.ctm"]
    assert (tmp_path / "out" / "transcripts.ctm").read_text() == (
        "a 1 0.000 0.400 one\nb 1 0.000 0.400 two\n;; c: c.wav: is damaged\n"
    )
    (lines,) = write([*both, broken], tmp_path / "all.jsonl")
    assert [json.loads(line).get("error") for line in lines.read_text().splitlines()] == [
        None,
        None,
        "c.wav: is damaged",
    ]
    (one,) = write(both[0], tmp_path / "one.TextGrid")
    assert parse_textgrid(one.read_text())
    assert write(both, tmp_path / "two.txt")[0].read_text() == "one\ntwo\n"


def test_mistakes_are_refused_and_nothing_is_replaced(tmp_path):
    both = [heard(["one"]), heard(["two"])]
    with pytest.raises(ConfigError, match="2 audios cannot go into one file"):
        write(both, tmp_path / "both.srt")
    with pytest.raises(ConfigError, match="which format"):
        write(both, tmp_path / "both.docx")
    with pytest.raises(ConfigError, match="'docx' is not known"):
        write(both, tmp_path, "docx")
    for name in TIMED:
        with pytest.raises(ConfigError, match="needs to know when"):
            write(Hypothesis("no times", source="a.wav"), tmp_path / f"a.{name}")
    (tmp_path / "a.srt").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        write(both[0], tmp_path / "a.srt")
    with pytest.raises(DataError, match="exists already"):
        OutputFolder(tmp_path, ["a.wav"], [FORMATS["srt"]])
    assert (tmp_path / "a.srt").read_text() == "mine"
    write(both[0], tmp_path / "a.srt", overwrite=True)
    assert "one" in (tmp_path / "a.srt").read_text()
    with pytest.raises(DataError, match="is a file"):
        OutputFolder(tmp_path / "a.srt", ["a.wav"], [FORMATS["srt"]])
    with pytest.raises(DataError, match="cannot be written"):
        write(both[0], tmp_path / "none" / "a.srt")
