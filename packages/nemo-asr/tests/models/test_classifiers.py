"""Classification and speaker models."""

from __future__ import annotations

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile as sf
import torch

import nemo_asr
from nemo_asr.data import SpeechData
from nemo_asr.data.batch import Utterance, collate_speech
from nemo_asr.losses import AngularSoftmaxLoss
from nemo_asr.models import ClassificationModel, SpeakerModel
from nemo_asr.models.nvidia_classifiers import classification_config, speaker_config
from nemo_asr.modules import MFCC, ConvASREncoder, ConvClassifier, CropOrPad, MelSpectrogram, SpeakerDecoder
from nemo_core.audio.manifest import write_manifest
from nemo_core.errors import ArchiveError, ConfigError, DataError

BLOCKS = [{"filters": 12, "kernel": 11, "se": True}, {"filters": 12, "kernel": 5, "separable": True}]
MODULES = "nemo.collections.asr.modules."


def classifier(**options):
    torch.manual_seed(0)
    return ClassificationModel(
        options.pop("preprocessor", None) or MelSpectrogram(8000, features=20),
        ConvASREncoder(BLOCKS, feat_in=20),
        options.pop("decoder", None) or ConvClassifier(12, 3),
        labels=["low", "middle", "high"],
        **options,
    ).eval()


def speaker_model(**options):
    torch.manual_seed(0)
    decoder = SpeakerDecoder(12, 3, 8, "attention", angular="loss" in options)
    return SpeakerModel(
        MelSpectrogram(8000, features=20), ConvASREncoder(BLOCKS, feat_in=20), decoder, **options
    ).eval()


def tone(hz, seconds=0.5, seed=0):
    time = np.arange(round(8000 * seconds)) / 8000
    noise = 0.05 * np.random.default_rng(seed).standard_normal(len(time))
    return (np.sin(2 * np.pi * hz * time) + noise).astype(np.float32)


def tones(seed=0):
    kinds = {"low": 300, "middle": 900, "high": 2500}
    return [Utterance(tone(hz, 0.4 + 0.1 * i, seed + i), name, name) for i, (name, hz) in enumerate(kinds.items())]


@pytest.mark.parametrize(
    ("name", "kind"), [("matchboxnet_3x1x64", ClassificationModel), ("titanet_small", SpeakerModel)]
)
def test_nvidias_archives_give_nvidias_outputs(nvidia, name, kind):
    model = nemo_asr.restore(nvidia / name / f"{name}.nemo")
    assert type(model) is kind
    assert model.load_report.complete
    expected = np.load(nvidia / name / "expected.npz")
    audio, length = torch.from_numpy(expected["audio"]), torch.from_numpy(expected["audio_len"])
    with torch.no_grad():
        features, frames = model.preprocessor(audio=audio, length=length)
        outputs = model(audio=audio, length=length)
    assert frames.tolist() == expected["features_len"].tolist()
    np.testing.assert_allclose(features, expected["features"], rtol=1e-4, atol=1e-4)
    logits, *embedding = outputs if isinstance(outputs, tuple) else (outputs,)
    np.testing.assert_allclose(logits, expected["logits"], rtol=1e-4, atol=1e-5)
    if embedding:
        np.testing.assert_allclose(embedding[0], expected["embeddings"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["matchboxnet_3x1x64", "titanet_small"])
def test_nvidias_models_can_be_saved_as_ours(nvidia, tmp_path, name):
    model = nemo_asr.restore(nvidia / name / f"{name}.nemo")
    again = nemo_asr.restore(model.save(tmp_path / "ours.nemo"))
    audio, length = torch.randn(2, 8000), torch.tensor([8000, 8000])
    assert torch.equal(again.logits(audio, length), model.logits(audio, length))
    assert again.labels == model.labels


def test_embeddings_and_verification_of_nvidias_model(nvidia):
    model = nemo_asr.restore(nvidia / "titanet_small" / "titanet_small.nemo")
    expected = np.load(nvidia / "titanet_small" / "expected.npz")
    voices = [row[:count] for row, count in zip(expected["audio"], expected["audio_len"], strict=True)]
    embeddings = model.get_embeddings(voices)
    np.testing.assert_allclose(embeddings, expected["embeddings"], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(model.get_embedding(voices[1]), embeddings[1], rtol=1e-3, atol=1e-4)
    cosine = float(torch.cosine_similarity(*embeddings, dim=0))
    similarity = model.speaker_similarity(*voices)
    assert similarity == pytest.approx((cosine + 1) / 2, abs=1e-4)
    assert model.verify_speakers(*voices, threshold=similarity - 0.01)
    assert not model.verify_speakers(*voices, threshold=similarity + 0.01)


@pytest.mark.parametrize("make", [classifier, speaker_model, lambda: speaker_model(loss=AngularSoftmaxLoss(10, 0.1))])
def test_a_few_steps_learn_to_tell_tones_apart(make):
    model = make().train()
    if isinstance(model, SpeakerModel):
        model.labels = ["low", "middle", "high"]
    batch = collate_speech(tones() + tones(10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        model.loss_on(batch).backward()
        optimizer.step()
    found = model.classify([tone(300, 0.7, 5), tone(2500, 0.3, 6), (tone(900, 0.5, 7), 8000)])
    assert [each.label for each in found] == ["low", "high", "middle"]
    assert all(each.probability == max(each.probabilities) > 0.5 for each in found)
    assert model.training


def test_evaluation_logs_loss_and_accuracy():
    model = classifier()
    loader = torch.utils.data.DataLoader(tones() + tones(10), batch_size=4, collate_fn=collate_speech)
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    (scores,) = trainer.validate(model, loader, verbose=False)
    found = [each.label for each in model.classify([item.audio for item in tones() + tones(10)])]
    right = np.mean([label == item.text for label, item in zip(found, tones() + tones(10), strict=True)])
    assert scores["val_accuracy"] == pytest.approx(right)
    batch = collate_speech(tones() + tones(10))
    assert scores["val_loss"] == pytest.approx(model.loss_on(batch).item(), rel=1e-3)


def test_training_from_a_manifest_of_labels(tmp_path):
    lines = []
    for index, item in enumerate(tones() + tones(10)):
        sf.write(tmp_path / f"{index}.wav", item.audio, 8000)
        lines.append({"audio_filepath": f"{index}.wav", "duration": len(item.audio) / 8000, "label": item.text})
    write_manifest(manifest := tmp_path / "train.jsonl", lines)
    data = SpeechData(train=manifest, validation=manifest, sample_rate=8000, batch_size=3, seed=0)
    model = classifier()
    model.optimizer_factory = lambda model: torch.optim.Adam(model.parameters(), lr=1e-2)
    trainer = pl.Trainer(
        max_epochs=15,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(model.train(), datamodule=data)
    assert trainer.callback_metrics["val_accuracy"] == 1.0
    found = {result.source: result.label for result in model.classify(manifest)}
    assert found == {str(tmp_path / line["audio_filepath"]): line["label"] for line in lines}


@pytest.mark.parametrize("preprocessor", [MelSpectrogram(8000, features=20), MFCC(8000, n_mels=20, n_mfcc=20)])
@pytest.mark.parametrize("pool_padding", [False, True])
def test_what_an_audio_is_classified_as_does_not_depend_on_the_others(preprocessor, pool_padding):
    model = classifier(preprocessor=preprocessor, decoder=ConvClassifier(12, 3, pool_padding=pool_padding))
    audio = [tone(300 * (index + 1), 0.2 + 0.1 * (index % 3), index) for index in range(5)]
    together = model.classify(audio, batch_size=3)
    for given, found in zip(audio, together, strict=True):
        (alone,) = model.classify(given)
        assert alone.label == found.label
        assert alone.probabilities == pytest.approx(found.probabilities, abs=1e-5)


def test_a_damaged_audio_costs_itself_only(tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_text("no audio")
    found = classifier().classify([tone(300), str(bad), tone(900)])
    assert [each.error is None for each in found] == [True, False, True]
    assert "bad.wav" in found[1].error.message
    assert found[1].source == str(bad)
    with pytest.raises(DataError, match=r"bad.wav"):
        speaker_model().get_embeddings([tone(300), str(bad)])
    with pytest.raises(DataError, match="2 audios, not one"):
        speaker_model().get_embedding([tone(300), tone(900)])
    with pytest.raises(ConfigError, match="batch_size"):
        classifier().classify(tone(300), batch_size=0)


def test_an_unknown_label_names_its_line():
    batch = collate_speech([Utterance(tone(300), "shrill", "train.jsonl, line 7")])
    with pytest.raises(DataError, match=r"train.jsonl, line 7: the label 'shrill' is none of the model's 3"):
        classifier().loss_on(batch)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="4 classes, but there are 3 labels"):
        classifier(decoder=ConvClassifier(12, 4))
    with pytest.raises(ConfigError, match="twice"):
        ClassificationModel(MelSpectrogram(8000), ConvASREncoder(BLOCKS, 64), ConvClassifier(12, 2), ["a", "a"])
    with pytest.raises(ConfigError, match="angular"):
        SpeakerModel(MelSpectrogram(8000), ConvASREncoder(BLOCKS, 64), SpeakerDecoder(12, 2), loss=AngularSoftmaxLoss())


def test_features_are_brought_to_one_length():
    model = classifier(crop_or_pad=CropOrPad(30))
    logits = model(audio=torch.randn(2, 8000), length=torch.tensor([8000, 1000]))
    assert logits.shape == (2, 3)


def nvidia_config(**changes):
    config = {
        "preprocessor": {"_target_": MODULES + "AudioToMFCCPreprocessor", "n_mels": 20, "n_mfcc": 20},
        "encoder": {"_target_": MODULES + "ConvASREncoder", "feat_in": 20, "jasper": BLOCKS},
        "decoder": {"_target_": MODULES + "ConvASRDecoderClassification", "feat_in": 12, "num_classes": 2},
        "labels": ["a", "b"],
        "crop_or_pad_augment": {"audio_length": 128},
        "nemo_version": "2.7.3",
    }
    return {**config, **changes}


def test_models_were_cropped_until_nemo_2_3():
    assert "crop_or_pad" not in classification_config(nvidia_config())
    old = ClassificationModel.from_config(classification_config(nvidia_config(nemo_version="1.0.0")))
    assert old.crop_or_pad.audio_length == 128
    assert old.decoder.pool_padding


def test_what_cannot_be_restored_is_named():
    with pytest.raises(ArchiveError, match="no labels"):
        classification_config(nvidia_config(labels=None))
    with pytest.raises(ArchiveError, match="regression"):
        classification_config(nvidia_config(is_regression_task=True))
    with pytest.raises(ArchiveError, match="decoder"):
        classification_config(nvidia_config(decoder={}))


def test_speaker_models_of_all_kinds():
    decoder = {"_target_": MODULES + "SpeakerDecoder", "feat_in": 12, "num_classes": 2, "emb_sizes": [8, 4]}
    config = nvidia_config(decoder={**decoder, "pool_mode": "XVector"}, labels=None, train_ds={"labels": ["x", "y"]})
    model = SpeakerModel.from_config(speaker_config(config))
    assert (model.labels, model.loss, len(model.decoder.emb_layers)) == (["x", "y"], None, 2)
    angular = {"_target_": "nemo.collections.asr.losses.angularloss.AngularSoftmaxLoss", "scale": 30, "margin": 0.2}
    model = SpeakerModel.from_config(speaker_config({**config, "loss": angular, "train_ds": None}))
    assert (model.labels, model.loss.margin, model.decoder.normalize_classes) == (["0", "1"], 0.2, False)
    assert speaker_config(nvidia_config())["_target_"] == "asr.ClassificationModel"
