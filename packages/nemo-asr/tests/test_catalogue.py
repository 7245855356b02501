"""NVIDIA's published models: each can be found under both of its names, and is of a class that there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import soundfile as sf

from nemo_core.models import Catalogue, PretrainedModel
from nemo_core.plugins import registry

ENTRIES = [each for each in registry().components("pretrained") if each.distribution == "nemo-asr"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_says_what_one_wants_to_know(entry):
    model = PretrainedModel.from_component(entry)
    assert registry().get("model", model.model)
    assert model.summary
    assert model.license in ("CC-BY-4.0", "CC-BY-NC-4.0", "LicenseRef-NVIDIA-NGC")
    assert all(re.fullmatch(r"[a-z]{2,3}", language) for language in model.languages)
    assert model.url.endswith(".nemo")
    assert model.url.startswith(("https://huggingface.co/nvidia/", "https://api.ngc.nvidia.com/v2/models/nvidia/"))
    catalogue = Catalogue()
    assert entry.name == f"nvidia/{entry.aliases[0]}"
    assert catalogue.get(entry.name) == catalogue.get(entry.aliases[0]) == model


def test_no_two_are_one():
    assert len({entry.target for entry in ENTRIES}) == len(ENTRIES) > 100


@pytest.mark.parametrize(
    ("name", "languages", "model", "location"),
    [
        (
            "nvidia/parakeet-tdt-0.6b-v2",
            ("en",),
            "asr.TransducerModel",
            "hf://nvidia/parakeet-tdt-0.6b-v2/parakeet-tdt-0.6b-v2.nemo",
        ),
        (
            "QuartzNet15x5Base-En",
            ("en",),
            "asr.CTCModel",
            "https://api.ngc.nvidia.com/v2/models/nvidia/nemospeechmodels/versions/1.0.0a5/files/"
            "QuartzNet15x5Base-En.nemo",
        ),
        (
            "titanet_large",
            (),
            "asr.SpeakerModel",
            "https://api.ngc.nvidia.com/v2/models/nvidia/nemo/titanet_large/versions/v1/files/titanet-l.nemo",
        ),
        (
            "stt_kk_ru_fastconformer_hybrid_large",
            ("kk", "ru"),
            "asr.HybridModel",
            "hf://nvidia/stt_kk_ru_fastconformer_hybrid_large/stt_kk_ru_fastconformer_hybrid_large.nemo",
        ),
    ],
)
def test_some_of_them(name, languages, model, location):
    found = Catalogue().get(name)
    assert (found.languages, found.model, found.location) == (languages, model, location)


@pytest.mark.parametrize("name", ["nvidia/parakeet-tdt-0.6b-v2", "parakeet-tdt-0.6b-v2"])
def test_what_cannot_be_fetched_is_named_and_can_be_put_in_its_place(name, tmp_path):
    sf.write(tmp_path / "a.wav", [0.0] * 1600, 16000)
    code = "from nemo_core.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "transcribe", name, str(tmp_path / "a.wav")],
        capture_output=True,
        text=True,
        env={**os.environ, "NEMO_OFFLINE": "1", "NEMO_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 1
    error, hint = done.stderr.strip().splitlines()
    assert "https://huggingface.co/nvidia/parakeet-tdt-0.6b-v2/" in error
    place = re.search(r"put it at (\S+\.nemo)$", hint)[1]
    assert place.startswith(str(tmp_path / "cache"))
