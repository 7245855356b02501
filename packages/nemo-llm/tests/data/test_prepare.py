"""Preparing data: the same file whoever does it and however it is cut; every line is used, counted or complained of."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer import Typer
from typer.testing import CliRunner

from nemo_core.errors import ConfigError, DataError
from nemo_llm.cli.prepare_data import prepare_data
from nemo_llm.data import documents
from nemo_llm.data import prepare as prepare_module
from nemo_llm.data.documents import find_files, parts, read
from nemo_llm.data.indexed import TokenFile
from nemo_llm.data.prepare import prepare, read_summary
from nemo_llm.tokenizers import ByteTokenizer, CharacterTokenizer

texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)


@pytest.fixture
def tokenizer() -> ByteTokenizer:
    return ByteTokenizer()


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(prepare_module, "_SMALLEST", 40)
    monkeypatch.setattr(prepare_module, "_LARGEST", 40)


def write_lines(path: Path, found, key: str = "text", ascii_only: bool = False) -> Path:
    lines = [json.dumps({"id": 1, key: text}, ensure_ascii=ascii_only) for text in found]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    return path


def content(prefix: Path) -> list[str]:
    tokens = TokenFile(prefix)
    return [ByteTokenizer().decode(tokens.document(index)) for index in range(tokens.documents)]


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, max_size=30), st.integers(1, 60), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_parts_hold_every_line_once(tmp_path_factory, found, size, last, newline):
    path = tmp_path_factory.mktemp("parts") / "lines.jsonl"
    whole = newline.join(json.dumps({"text": text}, ensure_ascii=False) for text in found)
    path.write_bytes((whole + newline * last).encode())
    cut = list(parts(path, size, "line"))
    assert b"".join(path.read_bytes()[part.start : part.end] for part in cut) == path.read_bytes()
    pieces = [read(part, "text", "line") for part in cut]
    assert [text for piece in pieces for text in piece.texts] == [text for text in found if text]
    assert sum(piece.empty for piece in pieces) == found.count("")
    before, numbers = 0, []
    for piece in pieces:
        numbers += [before + line for line in piece.lines]
        before += piece.count
    step = 2 if newline == "\n\n" else 1
    assert numbers == [step * line for line, text in enumerate(found) if text]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab \n\r", max_size=80), st.integers(1, 30), st.booleans())
def test_paragraphs_do_not_depend_on_the_cut(tmp_path_factory, text, size, compressed):
    folder = tmp_path_factory.mktemp("parts")
    path = folder / ("book.txt.gz" if compressed else "book.txt")
    path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    paragraphs, lines = [], [line.rstrip("\r") for line in text.split("\n")]
    for line in [*lines, ""]:
        if line.strip():
            paragraphs[-1].append(line) if paragraphs else paragraphs.append([line])
        elif not paragraphs or paragraphs[-1]:
            paragraphs.append([])
    expected = ["\n".join(paragraph) for paragraph in paragraphs if paragraph]
    cut = list(parts(path, size, "paragraph"))
    assert [one for part in cut for one in read(part, "text", "paragraph").texts] == expected
    assert sum(part.size for part in cut) == (path.stat().st_size if text else 0)


def test_result_does_not_depend_on_workers_or_cut(tmp_path, tokenizer, monkeypatch):
    found = ["".join(map(chr, np.random.default_rng(n).integers(97, 500, n % 90))) for n in range(400)]
    path = write_lines(tmp_path / "lines.jsonl", found)
    done = prepare([path], tmp_path / "one", tokenizer, workers=1)
    monkeypatch.setattr(prepare_module, "_SMALLEST", 500)
    monkeypatch.setattr(prepare_module, "_LARGEST", 700)
    advanced = []
    again = prepare([path], tmp_path / "three", tokenizer, workers=3, advance=advanced.append)
    assert again == done
    assert sum(advanced) == path.stat().st_size
    for suffix in (".bin", ".idx", ".json"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"three{suffix}").read_bytes()
    assert content(tmp_path / "one") == [text for text in found if text]
    assert (done.documents, done.empty, done.skipped, done.dtype) == (400 - 5, 5, 0, "uint16")
    assert done.tokens == sum(len(text.encode()) for text in found)
    assert read_summary(tmp_path / "three") == done


def test_tokens_at_the_ends_of_documents(tmp_path):
    tokenizer = ByteTokenizer(special_tokens=["<s>", "</s>"], bos_token="<s>", eos_token="</s>")
    path = write_lines(tmp_path / "lines.jsonl", ["ab", "", "c", "d</s>e"])
    prepare([path], tmp_path / "out", tokenizer, append_eod=True, prepend_bos=True)
    bos, eos = tokenizer.bos_id, tokenizer.eos_id
    tokens = TokenFile(tmp_path / "out")
    assert [tokens[index].tolist() for index in range(3)] == [
        [bos, 97, 98, eos],
        [bos, 99, eos],
        [bos, 100, eos, 101, eos],
    ]
    prepare([path], tmp_path / "plain", tokenizer, append_eod=True, parse_special=False)
    assert TokenFile(tmp_path / "plain")[2].tolist() == [*b"d</s>e", eos]
    assert read_summary(tmp_path / "plain").eod_id == eos


def test_a_tokenizer_without_an_end_cannot_end_documents(tmp_path):
    path = write_lines(tmp_path / "lines.jsonl", ["ab"])
    with pytest.raises(ConfigError, match="no eos token, which --append-eod"):
        prepare([path], tmp_path / "out", CharacterTokenizer("ab"), append_eod=True)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (b'{"text": "a"', "no JSON: Expecting ',' delimiter at column 13"),
        (b"[", "no JSON: .* a list over several lines is no JSON Lines"),
        (b'{"text": "a"} {"text": "b"}', "no JSON: Extra data at column 15"),
        (b'["a"]', "a list, not an object with a key 'text'"),
        (b"null", "a null, not an object"),
        (b'{"content": "a", "id": 3}', "there is no key 'text'; there is 'content', 'id'"),
        (b'{"text": null}', "'text' is a null, not a text"),
        (b'{"text": 5}', "'text' is a number, not a text"),
        (b'{"text": "a\xff"}', "byte 0xff is no UTF-8"),
        (b'{"text": "a\\ud800"}', ".* half of a character"),
        (b"[" * 5000, "no JSON: too deep"),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_bad_lines_are_named_or_counted(tmp_path, small_parts, tokenizer, workers, line, wrong):
    path = tmp_path / "lines.jsonl"
    good = b'{"text": "good"}\n'
    path.write_bytes(good * 20 + line + b"\n" + good * 3)
    with pytest.raises(DataError, match=rf"lines\.jsonl, line 21: {wrong}"):
        prepare([path], tmp_path / "out", tokenizer, workers=workers)
    assert [each.name for each in tmp_path.iterdir()] == ["lines.jsonl"]
    done = prepare([path], tmp_path / "out", tokenizer, workers=workers, skip_bad=True)
    assert (done.documents, done.skipped) == (23, 1)
    assert content(tmp_path / "out") == ["good"] * 23


def test_line_numbers_start_anew_in_each_file(tmp_path, tokenizer, small_parts):
    write_lines(tmp_path / "a.jsonl", ["ok"] * 7)
    (tmp_path / "b.jsonl").write_text('{"text": "ok"}\nwrong\n')
    with pytest.raises(DataError, match=r"b\.jsonl, line 2"):
        prepare([str(tmp_path / "*.jsonl")], tmp_path / "out", tokenizer)


def test_character_that_the_tokenizer_does_not_have(tmp_path):
    path = write_lines(tmp_path / "lines.jsonl", ["ab", "abc", "b"])
    with pytest.raises(DataError, match="line 2: 'c'"):
        prepare([path], tmp_path / "out", CharacterTokenizer("ab"))
    assert prepare([path], tmp_path / "out", CharacterTokenizer("ab"), skip_bad=True).documents == 2


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_files(tmp_path, tokenizer, small_parts, suffix):
    found = [f"text {n} " * (n % 5) for n in range(50)]
    path = write_lines(tmp_path / "lines.jsonl", found)
    prepare([path], tmp_path / "plain", tokenizer)
    packed = tmp_path / f"lines.jsonl{suffix}"
    if suffix == ".gz":
        packed.write_bytes(gzip.compress(path.read_bytes()))
    else:
        pyarrow = pytest.importorskip("pyarrow")
        with pyarrow.CompressedOutputStream(str(packed), "zstd") as file:
            file.write(path.read_bytes())
    prepare([packed], tmp_path / "packed", tokenizer, workers=2)
    assert (tmp_path / "packed.bin").read_bytes() == (tmp_path / "plain.bin").read_bytes()
    assert (tmp_path / "packed.idx").read_bytes() == (tmp_path / "plain.idx").read_bytes()
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(DataError, match=rf"lines\.jsonl{suffix} cannot be decompressed"):
        prepare([packed], tmp_path / "cut", tokenizer)


def test_parquet(tmp_path, tokenizer, small_parts):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    found = [f"text {n}" for n in range(25)]
    path = tmp_path / "table.parquet"
    parquet.write_table(pyarrow.table({"n": range(27), "body": [*found, None, ""]}), path, row_group_size=4)
    done = prepare([path], tmp_path / "out", tokenizer, key="body", workers=2)
    assert content(tmp_path / "out") == found
    assert done.empty == 2
    with pytest.raises(DataError, match="no column 'text'"):
        prepare([path], tmp_path / "other", tokenizer)
    with pytest.raises(DataError, match="row 1: 'n' is a number"):
        prepare([path], tmp_path / "other", tokenizer, key="n")
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="no Parquet file"):
        prepare([path], tmp_path / "other", tokenizer)


def test_text_files(tmp_path, tokenizer):
    path = tmp_path / "book.txt"
    path.write_bytes(b"\xef\xbb\xbfone\ntwo\n\n\nthree\r\n")
    for unit, expected in (
        ("file", ["one\ntwo\n\n\nthree\r\n"]),
        ("paragraph", ["one\ntwo", "three"]),
        ("line", ["one", "two", "three"]),
    ):
        prepare([path], tmp_path / unit, tokenizer, unit=unit)
        assert content(tmp_path / unit) == expected


def test_inputs_and_outputs_that_cannot_be(tmp_path, tokenizer):
    path = write_lines(tmp_path / "lines.jsonl", ["ab"])
    (tmp_path / "image.png").write_bytes(b"")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match=r"image\.png is of a kind"):
        find_files([tmp_path / "image.png"])
    with pytest.raises(DataError, match="names no file"):
        find_files([tmp_path / "*.csv"])
    assert find_files([tmp_path]) == [tmp_path / "empty.jsonl", path]
    with pytest.raises(DataError, match="no document with text"):
        prepare([tmp_path / "empty.jsonl"], tmp_path / "out", tokenizer)
    prepare([path], tmp_path / "out", tokenizer)
    with pytest.raises(ConfigError, match=r"out\.bin exists already"):
        prepare([path], tmp_path / "out", tokenizer)
    prepare([path], tmp_path / "out", tokenizer, overwrite=True)
    with pytest.raises(ConfigError, match="workers is 0"):
        prepare([path], tmp_path / "out", tokenizer, overwrite=True, workers=0)


def test_damaged_notes_are_no_notes(tmp_path):
    for text in ("", "[]", '{"documents": 1}', '{"files": 3}'):
        (tmp_path / "some.json").write_text(text)
        assert read_summary(tmp_path / "some") is None


def test_json_of_strangers_in_other_notations(tmp_path, tokenizer):
    write_lines(tmp_path / "a.jsonl", ["é\u2028\U0001f600"], ascii_only=True)
    write_lines(tmp_path / "b.jsonl", ["é\u2028\U0001f600"], ascii_only=False)
    prepare([tmp_path], tmp_path / "out", tokenizer)
    assert content(tmp_path / "out") == ["é\u2028\U0001f600"] * 2


def test_command(tmp_path):
    app = Typer()
    app.command()(prepare_data)
    write_lines(tmp_path / "lines.jsonl", ["ab", "", "c"], key="body")
    ByteTokenizer().save(tmp_path / "tokenizer")
    arguments = [
        *(str(tmp_path / "*.jsonl"), "-o", str(tmp_path / "data" / "out")),
        *("--tokenizer", str(tmp_path / "tokenizer"), "--key", "body"),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "2 documents, 3 tokens (uint16); left out: 1 empty" in result.output
    result = CliRunner().invoke(app, [*arguments, "--overwrite", "--json"])
    assert json.loads(result.stdout)["documents"] == 2


CHILD = """
    import sys, time
    from nemo_core.errors import NemoError
    from nemo_llm.data import prepare as module
    from nemo_llm.tokenizers import ByteTokenizer

    class Slow(ByteTokenizer):
        def _encode_batch(self, texts, parse_special):
            print("encoding", flush=True)
            time.sleep(0.05)
            return super()._encode_batch(texts, parse_special)

    module._SMALLEST = module._LARGEST = 1000
    try:
        module.prepare([sys.argv[1]], sys.argv[2], Slow(), workers=2, overwrite=True)
    except NemoError as error:
        print(error)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.fixture
def running(tmp_path):
    """A process that prepares data, and works on it in two workers."""
    write_lines(tmp_path / "lines.jsonl", ["text " * 20] * 3000)
    (tmp_path / "out.bin").write_bytes(b"old")
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path / "lines.jsonl"), str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A caller in the background may ignore it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert child.stdout is not None
    assert "encoding" in child.stdout.readline()
    yield child
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_interrupted(tmp_path, running):
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    output, _ = running.communicate(timeout=30)
    assert "interrupted" in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lines.jsonl", "out.bin"]
    assert (tmp_path / "out.bin").read_bytes() == b"old"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_that_is_killed_ends_it(tmp_path, running):
    os.kill(children(running.pid)[0], signal.SIGKILL)
    output, _ = running.communicate(timeout=30)
    assert "a process that tokenizes was killed" in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lines.jsonl", "out.bin"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_their_parent(running):
    workers = children(running.pid)
    assert len(workers) == 2
    running.kill()
    deadline = time.monotonic() + 30
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_nothing_here_loads_torch():
    code = "import sys, nemo_llm.data.prepare, nemo_llm.cli.prepare_data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_pyarrow_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(Exception, match="pyarrow is not installed"):
        list(documents.parts(tmp_path / "a.parquet", 10, "line"))
