"""``nemo plugins new``: the project it writes works untouched, and bad names are refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from nemo_core.errors import PluginError
from nemo_core.plugins.scaffold import create_project
from nemo_core.testing import write_distribution


def write_project(folder: Path) -> Path:
    return create_project("nemo-test-waves", folder / "nemo-test-waves")


def test_the_project_is_complete(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    files = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert files == {
        ".github/workflows/tests.yml",
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/nemo_test_waves/__init__.py",
        "src/nemo_test_waves/cli.py",
        "src/nemo_test_waves/conf/test_waves/tiny.yaml",
        "src/nemo_test_waves/data.py",
        "src/nemo_test_waves/encoder.py",
        "src/nemo_test_waves/model.py",
        "src/nemo_test_waves/plugin.py",
        "src/nemo_test_waves/py.typed",
        "tests/test_conformance.py",
        "tests/test_training.py",
    }
    for path in files:
        text = (project / path).read_text()
        assert not re.search(r"\{\{(name|package|prefix|core_version)\}\}|__(name|package|prefix)__", text), path
    declared = tomllib.loads((project / "pyproject.toml").read_text())
    assert declared["project"]["name"] == "nemo-test-waves"
    assert declared["project"]["entry-points"]["nemo.plugins"] == {"test_waves": "nemo_test_waves.plugin"}


def test_every_template_is_used_and_shipped(tmp_path: Path) -> None:
    template = resources.files("nemo_core.plugins") / "template"
    with resources.as_file(template) as folder:
        sources = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.suffix for path in sources} == {".tmpl"}
    assert len(sources) == sum(path.is_file() for path in write_project(tmp_path).rglob("*"))


def test_its_own_tests_pass_untouched(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    # What `pip install -e .` does, without an installer or a network: metadata where Python looks for it, and a path.
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    (plugin,) = declared["entry-points"]["nemo.plugins"].values()
    site = write_distribution(tmp_path / "site", declared["name"], version=declared["version"], plugin=plugin)
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("NEMO_", "PYTEST_"))}
    environ["PYTHONPATH"] = os.pathsep.join([str(site), str(project / "src")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed.group(1)) >= 14
    assert "skipped" not in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "cannot be the name of a distribution"),
        ("nemo frogs", "cannot be the name of a distribution"),
        ("../frogs", "cannot be the name of a distribution"),
        ("-frogs", "cannot be the name of a distribution"),
        ("frogs\n", "cannot be the name of a distribution"),
        ("nemo-3d", "would need a Python package called 3d"),
        ("nemo-class", "would need a Python package called class"),
        ("nemo-plugins", "plugins is taken by nemo-core"),
        ("numpy", "numpy is installed already"),
    ],
)
def test_bad_names_are_refused(tmp_path: Path, name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match=message):
        create_project(name)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(PluginError, match="not an empty folder"):
        create_project("nemo-test-waves", tmp_path)
    with pytest.raises(PluginError, match="not an empty folder"):
        create_project("nemo-test-waves", tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_welcome(tmp_path: Path) -> None:
    assert create_project("nemo-test-waves", tmp_path) == tmp_path
    assert (tmp_path / "pyproject.toml").exists()
