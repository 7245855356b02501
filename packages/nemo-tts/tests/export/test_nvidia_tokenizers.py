"""Voices that speak sounds, in NVIDIA NeMo's words and back."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from speech_support import SIZES, make_fastpitch

from nemo_core.errors import ExportError
from nemo_core.models import export
from nemo_tts.models import FastPitch, restore
from nemo_tts.modules import FFTransformerEncoder
from nemo_tts.text import EnglishG2p, EnglishNormalizer, IpaG2p
from nemo_tts.tokenizers import EnglishPhonemesTokenizer, IPATokenizer


@pytest.fixture
def arpabet(tmp_path: Path) -> Path:
    path = tmp_path / "words"
    path.write_text("nemo  N IY1 M OW0\nread  R EH1 D\nread(2)  R IY1 D\n'tis  T IH1 Z\n", encoding="utf-8")
    return path


@pytest.fixture
def ipa(tmp_path: Path) -> Path:
    path = tmp_path / "ipa"
    path.write_text("HALLO  haˈloː\nWELT  vɛlt\n", encoding="utf-8")
    return path


def speaking(tokenizer: Any) -> FastPitch:
    torch.manual_seed(0)
    encoder = FFTransformerEncoder(n_embed=len(tokenizer), padding_idx=tokenizer.pad, **SIZES)
    return make_fastpitch(encoder=encoder, tokenizer=tokenizer)


def exported(model: FastPitch, folder: Path) -> tuple[FastPitch, dict[str, Any], list[str]]:
    export(model, folder / "nvidia.nemo", "nvidia-nemo")
    with tarfile.open(folder / "nvidia.nemo") as archive:
        (name,) = [each for each in archive.getnames() if each.endswith("model_config.yaml")]
        config = yaml.safe_load(archive.extractfile(name))
        members = archive.getnames()
    return restore(folder / "nvidia.nemo"), config["text_tokenizer"], members


def test_arpabet(arpabet: Path, tmp_path: Path) -> None:
    tokenizer = EnglishPhonemesTokenizer(
        EnglishG2p(phoneme_dict=arpabet, phoneme_probability=0.5),
        stresses=True,
        pad_with_space=True,
        normalizer=EnglishNormalizer(),
    )
    model = speaking(tokenizer)
    again, said, members = exported(model, tmp_path)
    assert again.load_report.complete
    assert again.tokenizer.tokens == tokenizer.tokens
    text = "Nemo, nemo read."
    assert again.tokenizer.encode(text) == tokenizer.encode(text)
    made = [each.generate(torch.tensor(tokenizer.encode(text))).spectrogram for each in (model, again)]
    assert torch.equal(*made)
    # In the form that NVIDIA's own archives have it.
    assert said["_target_"].endswith("tts_tokenizers.EnglishPhonemesTokenizer")
    assert (said["stresses"], said["pad_with_space"]) == (True, True)
    assert said["g2p"]["_target_"] == "nemo.collections.tts.g2p.models.en_us_arpabet.EnglishG2p"
    assert said["g2p"]["phoneme_probability"] == 0.5
    assert not {"normalizer", "unknown"} & set(said)
    member = said["g2p"]["phoneme_dict"].removeprefix("nemo:")
    assert any(name.endswith(member) for name in members)
    with tarfile.open(tmp_path / "nvidia.nemo") as archive:
        (name,) = [each for each in members if each.endswith(member)]
        assert archive.extractfile(name).read() == b"'TIS  T IH1 Z\nNEMO  N IY1 M OW0\nREAD  R EH1 D\n"


def test_the_dictionary_of_the_package_goes_along(tmp_path: Path) -> None:
    model = speaking(EnglishPhonemesTokenizer(pad_with_space=True))
    again, _, _ = exported(model, tmp_path)
    text = "Nine vlogs and a record."
    assert again.tokenizer.encode(text) == model.tokenizer.encode(text)


def test_ipa(ipa: Path, tmp_path: Path) -> None:
    g2p = IpaG2p(ipa, locale="de-DE", phoneme_probability=0.8, grapheme_prefix="#")
    tokenizer = IPATokenizer(g2p, locale="de-DE", pad_with_space=True, unknown="skip")
    model = speaking(tokenizer)
    again, said, _ = exported(model, tmp_path)
    assert again.tokenizer.tokens == tokenizer.tokens
    assert again.tokenizer.encode("Hallo Welt, ahoi") == tokenizer.encode("Hallo Welt, ahoi")
    assert said["g2p"]["_target_"] == "nemo.collections.tts.g2p.models.i18n_ipa.IpaG2p"
    assert said["g2p"]["grapheme_prefix"] == "#"
    assert "fixed_vocab" not in said
    ours = tmp_path / "ours.nemo"
    again.save(ours)
    assert restore(ours).tokenizer.encode("Hallo Welt") == tokenizer.encode("Hallo Welt")


def test_what_has_no_words_is_refused(tmp_path: Path) -> None:
    model = speaking(IPATokenizer())
    with pytest.raises(ExportError, match="IPATokenizer with EnglishG2p"):
        export(model, tmp_path / "nvidia.nemo", "nvidia-nemo")
