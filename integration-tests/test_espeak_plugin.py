"""A language that nemo-tts has no sounds for, through a plugin of one small file: ``espeak_plugin/``.

It is put on the path as an installed distribution would be; what speaks is the program espeak-ng, where there is one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

PYTHON = os.environ.get("NEMO_TEST_PYTHON", sys.executable)
SOURCE = Path(__file__).with_name("espeak_plugin") / "src"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("nemo_tts") is None, reason="nemo-tts is not installed")
speaks = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="the program espeak-ng is not installed")

USE = """
import json, sys
from nemo_core.config import Trust, instantiate
from nemo_core.errors import NemoError
options = json.loads(sys.argv[1])
g2p = {"_target_": "espeak.EspeakG2p", **options}
config = {"_target_": "tts.IPATokenizer", "locale": options["language"], "g2p": g2p}
tokenizer = instantiate(config, trust=Trust.archive())
assert instantiate(tokenizer.to_config(), trust=Trust.archive()).tokens == tokenizer.tokens
try:
    print("".join(tokenizer.pieces(tokenizer.encode(sys.argv[2]))))
except NemoError as error:
    print(type(error).__name__, error.message, "|", error.hint)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process that has the plugin installed."""
    (folder := tmp_path / "nemo_espeak-0.1.0.dist-info").mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: nemo-espeak\nVersion: 0.1.0\n")
    (folder / "entry_points.txt").write_text("[nemo.plugins]\nespeak = nemo_espeak.plugin\n")
    paths = [str(SOURCE), str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def said(environment: dict[str, str], options: dict[str, str], text: str) -> str:
    command = [PYTHON, "-c", USE, json.dumps(options), text]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_is_found_beside_ours_and_passes_the_kit(environment: dict[str, str]) -> None:
    nemo = [PYTHON, "-m", "nemo_core.cli.main"]
    listed = subprocess.run([*nemo, "components", "list"], env=environment, capture_output=True, text=True, timeout=300)
    assert "espeak.EspeakG2p" in listed.stdout
    checked = subprocess.run(
        [*nemo, "plugins", "check", "nemo-espeak"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_without_the_program_it_says_what_to_install(environment: dict[str, str]) -> None:
    error = said(environment, {"language": "de", "program": "espeak-that-is-not-here"}, "Hallo")
    assert error == "ConfigError espeak-that-is-not-here is not installed | apt-get install espeak-ng"


@speaks
@pytest.mark.parametrize(
    ("language", "text", "sounds"),
    [
        ("de", "Hallo, schöne Welt!", "hˈaloː, ʃˈøːnə vˈɛlt!"),
        ("es", "¿Qué tal?", "¿kˈe tˈal?"),
        ("fr-fr", "Bonjour le monde.", "bɔ̃ʒˈuʁ lə mˈɔ̃d."),
    ],
)
def test_languages(environment: dict[str, str], language: str, text: str, sounds: str) -> None:
    found = said(environment, {"language": language}, text)
    assert unicodedata.normalize("NFC", found) == unicodedata.normalize("NFC", sounds)


@speaks
def test_a_voice_that_is_not_there_is_named(environment: dict[str, str]) -> None:
    assert "voice does not exist" in said(environment, {"language": "xx"}, "hallo")
