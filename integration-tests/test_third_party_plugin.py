"""A stranger's plugin, installed beside ours, does all that ours can, with nothing of ours changed for it.

``third_party_plugin/`` is a distribution of its own. It has to be installed in the interpreter that runs the tests, or
in the one that ``NEMO_TEST_PYTHON`` names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PYTHON = os.environ.get("NEMO_TEST_PYTHON", sys.executable)
SOURCE = Path(__file__).with_name("third_party_plugin")
Nemo = Callable[..., "subprocess.CompletedProcess[str]"]


def installed() -> bool:
    code = "import importlib.metadata as m; m.version('nemo-birdsong')"
    return subprocess.run([PYTHON, "-c", code], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not installed(), reason=f"nemo-birdsong is not installed: pip install {SOURCE}")


def run_nemo(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "nemo_core.cli.main", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def nemo(tmp_path: Path) -> Nemo:
    return lambda *arguments, **environ: run_nemo(tmp_path, *arguments, **environ)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``nemo train birdsong/tiny`` has run."""
    folder = tmp_path_factory.mktemp("birdsong")
    done = run_nemo(folder, "train", "birdsong/tiny", "trainer.accelerator=cpu")
    assert done.returncode == 0, done.stderr
    return folder


def test_it_is_listed(nemo: Nemo) -> None:
    listed = json.loads(nemo("plugins", "list", "--json").stdout)
    (birdsong,) = [each for each in listed if each["distribution"] == "nemo-birdsong"]
    assert birdsong["error"] is None
    assert birdsong["components"] == {"module": 1, "model": 1, "dataset": 2, "recipes": 1, "cli": 3}
    assert birdsong["hooks"] == ["nemo_components", "nemo_doctor"]


def test_it_passes_the_kit(nemo: Nemo) -> None:
    done = nemo("plugins", "check", "nemo-birdsong", "--json")
    assert done.returncode == 0, done.stdout
    results = json.loads(done.stdout)
    assert {each["status"] for each in results} == {"passed"}
    checks = {each["check"] for each in results}
    assert {"imports_light", "typed", "weights", "configurable", "recipes_compose", "commands_help"} <= checks


def test_its_components_and_recipe_stand_beside_ours(nemo: Nemo) -> None:
    modules = json.loads(nemo("components", "list", "--kind", "module", "--json").stdout)
    assert "birdsong.Encoder" in [each["name"] for each in modules]
    recipes = {each["name"]: each for each in json.loads(nemo("recipes", "list", "--json").stdout)}
    assert recipes["birdsong/tiny"]["summary"] == "Tell four birds by one second of song"
    shown = json.loads(nemo("components", "show", "birdsong.Encoder", "--json").stdout)
    assert shown["component"]["distribution"] == "nemo-birdsong"
    assert shown["documentation"].startswith("Strided convolutions over the log-spectrogram")


def test_its_commands_are_in_the_help_without_being_imported(nemo: Nemo) -> None:
    assert "birdsong" in nemo("--help").stdout
    helped = nemo("birdsong", "--help").stdout
    assert "Write the song of a bird" in helped
    assert "Tell which birds sing" in helped


def test_the_doctor_asks_it(nemo: Nemo) -> None:
    checks = {each["name"]: each for each in json.loads(nemo("doctor", "--json").stdout)}
    assert checks["birds"]["detail"] == "chiffchaff, great_tit, cuckoo, blackbird"


def test_its_recipe_trains(trained: Path) -> None:
    result = json.loads((trained / "runs/birdsong_tiny/latest/result.json").read_text())
    assert result["status"] == "finished"
    assert result["metrics"]["test_accuracy"] > 0.9


def test_its_archive_is_restored_and_used(trained: Path) -> None:
    for species in ("cuckoo", "great_tit"):
        done = run_nemo(trained, "birdsong", "sing", species, "-o", f"{species}.wav", "--seed", "12345")
        assert done.returncode == 0, done.stderr
    archive = "runs/birdsong_tiny/latest/model.nemo"
    done = run_nemo(trained, "birdsong", "identify", archive, "cuckoo.wav", "great_tit.wav", "--json")
    assert done.returncode == 0, done.stderr
    assert [each["species"] for each in json.loads(done.stdout)] == ["cuckoo", "great_tit"]


def test_its_mistakes_are_reported_as_ours_are(nemo: Nemo) -> None:
    done = nemo("birdsong", "sing", "cukoo", "-o", "x.wav")
    assert done.returncode == 2
    assert done.stderr == "error: no bird is called cukoo\nhint: did you mean cuckoo?\n"
    done = nemo("train", "birdsong/tiny", "model.encoder.widht=3", "data.sise=4")
    assert done.returncode == 2
    assert "did you mean" in done.stderr
    assert "widht" in done.stderr
    assert "sise" in done.stderr


def test_it_can_be_left_out(nemo: Nemo) -> None:
    done = nemo("birdsong", "sing", "cuckoo", "-o", "x.wav", NEMO_PLUGINS="")
    assert done.returncode == 2
    assert "nemo has no command birdsong" in done.stderr
