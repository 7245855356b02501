"""Tables, JSON, progress and problems."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nemo_core.cli import output
from nemo_core.errors import NemoError


@dataclass(frozen=True)
class Record:
    name: str
    path: Path
    parts: tuple[int, ...]


def test_json_of_what_commands_have(capsys: pytest.CaptureFixture[str]) -> None:
    value = {
        "record": Record("é", Path("a/b.wav"), (1, 2)),
        "set": {"b", "a"},
        "scalar": np.float32(0.5),
        "count": np.int64(3),
        "none": None,
    }
    output.print_json(value)
    printed = capsys.readouterr().out
    assert "é" in printed
    assert json.loads(printed) == {
        "record": {"name": "é", "path": str(Path("a/b.wav")), "parts": [1, 2]},
        "set": ["a", "b"],
        "scalar": 0.5,
        "count": 3,
        "none": None,
    }


def test_tables_off_a_terminal_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    output.table("", ["name", "text"], [("a", long)])
    assert long in capsys.readouterr().out


def test_names_and_titles_stay_in_one_piece_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    title, name = "a title that is longer than the table", "a_name_of_moderate_length"
    output.table(title, ["name", "what"], [(name, "a sentence of many words")])
    lines = re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue()).splitlines()
    assert title in lines[0]
    assert sum(name in line for line in lines) == 1
    assert all(len(line) <= 40 for line in lines)


def test_cells_are_text_and_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.table("", ["name"], [("nemo-core[asr]",), (":smile:",), ("[red]",)])
    printed = capsys.readouterr().out
    for text in ("nemo-core[asr]", ":smile:", "[red]"):
        assert text in printed


def test_numbers_stand_right_and_nothing_is_blank(capsys: pytest.CaptureFixture[str]) -> None:
    output.table("", ["name", "wer"], [("first", 0.123456), ("second", 12), ("third", None)])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[2].endswith("0.1235")
    assert lines[3].endswith("    12")
    assert lines[4] == "third"


def test_an_empty_table_still_has_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    output.table("", ["name", "wer"], [])
    assert capsys.readouterr().out.split()[:2] == ["name", "wer"]


def test_problems_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_problem("error", "no [such] file", "look again")
    captured = capsys.readouterr()
    assert captured.err == "error: no [such] file\nhint: look again\n"
    assert captured.out == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_color", [False, True])
def test_colours_on_a_terminal(no_color: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    output.table("", ["what", "status"], [("torch", "ok"), ("triton", "missing")])
    green = "\x1b[32m"
    assert (green in terminal.getvalue()) is not no_color


def test_progress_is_quiet_for_what_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(output.track(range(5), "Counting")) == [0, 1, 2, 3, 4]
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_progress_is_lines_off_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    with output.progress("Fetching", total=100, unit="MB") as advance:
        for _ in range(100):
            now[0] += 1.0
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"Fetching: {done}/100 ({done} %) MB" for done in (2, 6, 14, 30, 60, 90)]


def test_progress_without_a_total(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    with output.progress("Reading") as advance:
        now[0] = 3.0
        advance(7)
    assert capsys.readouterr().err == "Reading: 7\n"


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with output.progress("Fetching", total=2, unit="files") as advance:
        advance(1)
    assert "Fetching" in terminal.getvalue()
    assert "1/2 files" in terminal.getvalue()


def test_what_exists_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    assert output.refuse_overwrite(path) == path
    path.write_text("precious")
    with pytest.raises(NemoError, match="exists already") as caught:
        output.refuse_overwrite(str(path))
    assert caught.value.exit_code == 2
    assert "--overwrite" in (caught.value.hint or "")
    assert output.refuse_overwrite(path, overwrite=True) == path


def test_importing_it_does_not_import_rich(nemo: Any) -> None:
    import subprocess

    code = "import sys, nemo_core.cli.output; print('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
