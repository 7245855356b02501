from __future__ import annotations

import pytest
import torch

from nemo_asr.models import CTCModel
from nemo_asr.models.nvidia import ctc_config
from nemo_asr.tokenizers import train_sentence_piece
from nemo_core.errors import ArchiveError
from nemo_core.models import Model

MODULES = "nemo.collections.asr.modules."


def nvidia_config(**changes):
    config = {
        "target": "nemo.collections.asr.models.ctc_models.EncDecCTCModel",
        "nemo_version": "2.7.3",
        "preprocessor": {
            "_target_": MODULES + "AudioToMelSpectrogramPreprocessor",
            "sample_rate": 16000,
            "features": 64,
            "stft_conv": False,
        },
        "encoder": {
            "_target_": MODULES + "ConvASREncoder",
            "feat_in": 64,
            "jasper": [{"filters": 8, "kernel": [3], "stride": [2], "residual": False, "se": False}],
        },
        "decoder": {"_target_": MODULES + "ConvASRDecoder", "feat_in": 8, "num_classes": 2, "vocabulary": ["a", "b"]},
    }
    return {**config, **changes}


def build(config):
    return Model.from_config({"_target_": "asr.CTCModel", **ctc_config(config)})


def test_a_configuration_becomes_a_model():
    model = build(nvidia_config(ctc_reduction="mean_volume"))
    assert isinstance(model, CTCModel)
    assert (model.loss.reduction, model.tokenizer.vocabulary, model.preprocessor.feature_version) == (
        "mean_volume",
        ["a", "b"],
        2,
    )


@pytest.mark.parametrize(
    ("version", "features"), [("1.0.0", 1), ("2.4.0", 1), ("2.5.0rc0", 2), ("2.10.1", 2), (None, 2)]
)
def test_features_are_of_the_version_that_the_model_was_trained_with(version, features):
    config = nvidia_config()
    config.pop("nemo_version")
    if version:
        config["nemo_version"] = version
    assert build(config).preprocessor.feature_version == features


def test_bare_convolutions_are_found():
    config = nvidia_config()
    config["encoder"]["conv_mask"] = False
    model = build(config)
    state = {
        "preprocessor.featurizer.window": torch.zeros(320),
        "encoder.encoder.0.mconv.0.weight": torch.ones(8, 64, 3),
        "encoder.encoder.0.mconv.1.weight": torch.ones(8),
    }
    ours = model.nvidia_weights(state)
    assert set(ours) == {"encoder.encoder.0.mconv.0.conv.weight", "encoder.encoder.0.mconv.1.weight"}


@pytest.mark.parametrize("missing", ["preprocessor", "encoder", "decoder"])
def test_a_missing_section_is_named(missing):
    config = nvidia_config()
    del config[missing]
    with pytest.raises(ArchiveError, match=missing):
        ctc_config(config)


def test_a_configuration_without_labels():
    config = nvidia_config()
    config["decoder"].pop("vocabulary")
    with pytest.raises(ArchiveError, match="labels"):
        ctc_config(config)
    assert build({**config, "labels": ["a", "b"]}).tokenizer.vocabulary == ["a", "b"]


def test_subwords(tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train_sentence_piece(["one two", "two three"], vocab_size=14))
    config = nvidia_config(tokenizer={"dir": "tok", "type": "bpe", "model_path": path})
    config["decoder"].update(num_classes=14, vocabulary=None)
    assert build(config).tokenizer.decode(build(config).tokenizer.encode("two")) == "two"


def test_word_pieces(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\none\ntwo\n##s\n")
    config = nvidia_config(tokenizer={"dir": "tok", "type": "wpe", "vocab_path": tmp_path / "vocab.txt"})
    config["decoder"].update(num_classes=8, vocabulary=None)
    tokenizer = build(config).tokenizer
    assert tokenizer.decode(tokenizer.encode("twos one")) == "twos one"


@pytest.mark.parametrize(
    ("tokenizer", "said"),
    [
        ({"type": "words", "vocab_path": "vocab.txt"}, "type 'words'"),
        ({"type": "bpe"}, "no tokenizer.model_path"),
        ({"type": "wpe"}, "no tokenizer.vocab_path"),
        (
            {"type": "wpe", "vocab_path": "vocab.txt", "hf_kwargs": {"use_fast": True, "pad_token": "<pad>"}},
            "pad_token",
        ),
    ],
)
def test_a_tokenizer_that_cannot_be_read(tokenizer, said):
    with pytest.raises(ArchiveError, match=said):
        ctc_config(nvidia_config(tokenizer=tokenizer))
