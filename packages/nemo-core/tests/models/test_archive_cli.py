"""``nemo archive`` and ``nemo models``, as processes where it matters and in-process where not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from nemo_core.cli import archive as archive_cli
from nemo_core.cli import models as models_cli
from nemo_core.errors import ArchiveError, ComponentNotFoundError, UnsafeArchiveError, UntrustedTargetError
from nemo_core.models import restore
from nemo_core.plugins import plugins


def run(app, *args):
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False)


@pytest.fixture
def registered(demo_plugin, tmp_path):
    """An archive that names nothing but registered components."""
    from archive_support import Part, Small, Vocabulary

    (tmp_path / "vocab.txt").write_text("one")
    return Small(Part(3), Vocabulary(str(tmp_path / "vocab.txt"))).save(demo_plugin)


def test_show(registered):
    shown = run(archive_cli.app, "show", registered)
    assert shown.exit_code == 0
    for words in ("demo.Small", "nemo-demo", "artifacts/vocab.txt", "nemo-core, version 1", "artifact:vocab.txt", "ok"):
        assert words in shown.output
    assert "nothing suspicious" in shown.output


def test_show_as_json(registered):
    info = json.loads(run(archive_cli.app, "show", registered, "--json").output)
    assert info["kind"] == "nemo"
    assert info["config"]["_target_"] == info["target"] == "demo.Small"
    assert info["components"][0] == {
        "name": "demo.Small",
        "distribution": "nemo-demo",
        "version": "1.0",
        "installed": "1.0",
    }
    assert all(member["ok"] for member in info["members"] if member["name"] != "manifest.json")
    assert info["weights"]["tensors"] == 9
    assert info["findings"] == []


def test_verify(registered):
    assert ": ok (4 files" in run(archive_cli.app, "verify", registered).output
    data = bytearray(registered.read_bytes())
    data[data.rindex(b"one")] ^= 1
    registered.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"artifacts/vocab\.txt"):
        run(archive_cli.app, "verify", registered)
    result = run(archive_cli.app, "verify", registered, "--json")
    assert result.exit_code == 2
    assert json.loads(result.output)["ok"] is False


def test_what_no_plugin_offers_is_a_danger(archive):
    """The archive of the other tests names classes that are not registered."""
    with pytest.raises(UnsafeArchiveError, match=r"archive_support\.Part is not trusted"):
        run(archive_cli.app, "verify", archive)
    assert "danger" in run(archive_cli.app, "show", archive).output


def test_extract(registered, tmp_path):
    folder = tmp_path / "out" / "model"
    assert "4 files" in run(archive_cli.app, "extract", registered, "-o", folder).output
    assert (folder / "artifacts" / "vocab.txt").read_text() == "one"
    assert [p.name for p in folder.parent.iterdir()] == ["model"]
    with pytest.raises(ArchiveError, match="there already"):
        run(archive_cli.app, "extract", registered, "-o", folder)


def test_errors_are_two_lines_and_exit_code_2(tmp_path):
    code = "from nemo_core.cli.main import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "archive", "show", str(tmp_path / "absent.nemo")], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: there is no file")
    assert "Traceback" not in result.stderr


def test_models(registered):
    listed = run(models_cli.app, "list")
    assert "demo.tiny" in listed.output
    assert "MIT" in listed.output
    assert "demo.tiny" in run(models_cli.app, "list", "--language", "de").output
    assert "demo.tiny" not in run(models_cli.app, "list", "--language", "fr").output
    assert "demo.tiny" in run(models_cli.app, "list", "--package", "demo").output
    assert "demo.tiny" not in run(models_cli.app, "list", "--package", "nemo-core").output
    (described,) = [m for m in json.loads(run(models_cli.app, "list", "--json").output) if m["name"] == "demo.tiny"]
    assert described["cached"] == str(registered)
    assert json.loads(run(models_cli.app, "show", "demo.tiny", "--json").output) == described
    assert "A demo" in run(models_cli.app, "show", "demo.tiny").output
    assert run(models_cli.app, "pull", "demo.tiny").output.strip().endswith(str(registered))
    with pytest.raises(ComponentNotFoundError, match=r"demo\.tyni"):
        run(models_cli.app, "pull", "demo.tyni")


def test_restoring_by_name(registered):
    assert type(restore("demo.tiny")).__name__ == "Small"


def test_restoring_without_the_plugin_says_which_it_was(registered, monkeypatch):
    monkeypatch.setenv("NEMO_PLUGINS", "")
    plugins.cache_clear()
    with pytest.raises(UntrustedTargetError, match=r"demo\.Small is not trusted") as caught:
        restore(registered)
    assert "nemo-demo 1.0" in caught.value.hint
