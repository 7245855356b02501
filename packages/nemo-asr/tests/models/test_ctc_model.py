from __future__ import annotations

import copy
import json
import threading

import numpy as np
import pytest
import torch

from nemo_asr.data.batch import SpeechBatch, Utterance, collate_speech
from nemo_asr.models import CTCModel, SpeechRecognizer, restore
from nemo_asr.modules import ConvASREncoder, CTCDecoder, MelSpectrogram
from nemo_asr.tokenizers import CharTokenizer
from nemo_core.errors import ArchiveError, ConfigError, DataError
from nemo_core.models import restore as restore_any


def batch_of(*items):
    return collate_speech([Utterance(audio, text, f"line {i}") for i, (audio, text) in enumerate(items)])


def noise(seconds, seed=0):
    return np.random.default_rng(seed).standard_normal(round(8000 * seconds)).astype(np.float32)


def test_log_probs_and_lengths(model):
    log_probs, length = model(audio=torch.randn(2, 8000), length=torch.tensor([8000, 4000]))
    assert (log_probs.shape[0], log_probs.shape[2], length.tolist()) == (2, 7, [50, 25])
    assert model.frame_stride == 0.02
    assert model.output_types["log_probs"].axes[1].kind is not None


def test_a_vocabulary_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="5 tokens, but the tokenizer 3"):
        CTCModel(
            MelSpectrogram(8000, features=20),
            ConvASREncoder([{"filters": 4, "kernel": 3}], feat_in=20),
            CTCDecoder(4, vocabulary=5),
            CharTokenizer("abc"),
        )


def test_padding_and_company_change_nothing(model):
    alone = model.recognize(torch.from_numpy(noise(1.0))[None], torch.tensor([8000]), timestamps=True)
    batch = batch_of((noise(1.0), ""), (noise(2.5, 1), ""))
    together = model.recognize(batch.audio, batch.length, timestamps=True)
    assert together[0].text == alone[0].text
    assert together[0].alignment == alone[0].alignment
    assert together[0].score == pytest.approx(alone[0].score, abs=1e-3)


def test_evaluation_gives_the_same_loss_and_text_as_the_two_alone(model):
    batch = batch_of((noise(1.0), "ab"), (noise(0.5, 1), "c"))
    loss, hypotheses = model.loss_and_hypotheses(batch)
    torch.testing.assert_close(loss, model.loss_on(batch))
    assert hypotheses == model.recognize(batch.audio, batch.length)


def test_a_few_steps_learn_an_utterance_by_heart(model):
    model.train()
    batch = batch_of((noise(1.0), "ab ba"), (noise(0.8, 1), "c d e"))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.spec_augment = None
    for _ in range(200):
        optimizer.zero_grad()
        model.loss_on(batch).backward()
        optimizer.step()
    heard = [hypothesis.text for hypothesis in model.transcribe([noise(1.0), noise(0.8, 1)])]
    assert heard == ["ab ba", "c d e"]


def test_text_that_the_tokenizer_does_not_know_names_the_line(model):
    with pytest.raises(DataError, match=r"line 1: 'x' in 'axe'"):
        model.loss_on(batch_of((noise(0.5), "a"), (noise(0.5), "axe")))


def test_a_batch_of_nothing_but_damaged_audio_trains_nothing(model):
    batch = SpeechBatch(torch.zeros(0, 0), torch.zeros(0, dtype=torch.long), [], [], skipped=3)
    logged = {}
    model.log = lambda name, value, **options: logged.update({name: value})
    loss = model.train().training_step(batch, 0)
    loss.backward()
    assert loss.item() == 0
    assert all(weight.grad is not None and not weight.grad.any() for weight in model.parameters())
    assert logged == {"train_skipped": 3.0}


def test_saving_and_restoring(model, tmp_path):
    path = model.save(tmp_path / "model.nemo")
    for again in (CTCModel.restore(path), restore(path), restore_any(path)):
        audio, length = torch.randn(1, 4000), torch.tensor([4000])
        torch.testing.assert_close(again(audio, length)[0], model(audio, length)[0])
        assert again.tokenizer.vocabulary == model.tokenizer.vocabulary
        assert not again.training
    assert again.to_config() == model.to_config()


def test_for_inference_is_the_model_itself_when_it_evaluates(model):
    assert model.for_inference() is model


def test_for_inference_of_a_model_in_training_shares_its_weights(model):
    model.train()
    twin = model.for_inference()
    assert model.training
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in twin.modules())
    ours, theirs = dict(model.named_parameters()), dict(twin.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(ours[name] is theirs[name] for name in ours)
    with torch.no_grad():
        model.decoder.decoder_layers[0].bias.add_(1.0)
    assert torch.equal(twin.decoder.decoder_layers[0].bias, model.decoder.decoder_layers[0].bias)


def test_transcribing_a_model_in_training_changes_nothing_and_hears_the_same(model):
    audio = [noise(1.0, seed) for seed in range(3)]
    expected = model.transcribe(audio)
    model.train()
    model.encoder.encoder[0].eval()  # a mixed state must come back as it was
    modes = [module.training for module in model.modules()]
    before = copy.deepcopy(model.state_dict())
    assert model.transcribe(audio) == expected
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_several_threads_can_transcribe_while_another_trains(model):
    audio = [noise(0.5 + 0.1 * seed, seed) for seed in range(6)]
    expected = model.transcribe(audio, batch_size=2)
    model.train()
    stop, wrong = threading.Event(), []

    def train():
        while not stop.is_set():
            with torch.enable_grad():  # weights stay, so that what is heard stays
                model.spec_augment(torch.randn(2, 20, 50), torch.tensor([50, 50]))
                assert model.training

    def transcribe():
        for _ in range(5):
            if model.transcribe(audio, batch_size=2) != expected:
                wrong.append(1)

    threads = [threading.Thread(target=transcribe) for _ in range(4)]
    trainer = threading.Thread(target=train)
    for thread in (trainer, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    trainer.join()
    assert not wrong


NVIDIAS = [
    "quartznet_ctc",
    "citrinet_ctc_bpe",
    "conformer_ctc_bpe",
    "fastconformer_ctc_bpe",
    "fastconformer_ctc_bpe_streaming",
]


@pytest.mark.parametrize("name", NVIDIAS)
def test_nvidias_archive_gives_nvidias_outputs(nvidia, name):
    folder = nvidia / name
    model = restore(folder / f"{name}.nemo")
    assert isinstance(model, CTCModel)
    assert model.load_report.complete
    expected = np.load(folder / "expected.npz")
    audio, length = torch.from_numpy(expected["audio"]), torch.from_numpy(expected["audio_len"])
    with torch.no_grad():
        features, feature_frames = model.preprocessor(audio=audio, length=length)
        log_probs, frames = model(audio=audio, length=length)
    assert feature_frames.tolist() == expected["features_len"].tolist()
    assert frames.tolist() == expected["encoded_len"].tolist()
    np.testing.assert_allclose(features.numpy(), expected["features"], rtol=1e-4, atol=1e-4)  # processors differ
    np.testing.assert_allclose(log_probs.numpy(), expected["log_probs"], rtol=1e-4, atol=1e-5)
    transcript = json.loads((folder / "expected.json").read_text())["transcript"]
    (hypothesis,) = model.transcribe(nvidia / "sample.wav", timestamps=True)
    assert [hypothesis.text] == transcript
    assert "".join(span.text for span in hypothesis.chars) == hypothesis.text
    assert " ".join(span.text for span in hypothesis.words).split() == hypothesis.text.split()


@pytest.mark.parametrize("name", ["quartznet_ctc", "fastconformer_ctc_bpe_streaming"])
def test_an_nvidia_model_can_be_saved_as_ours(nvidia, tmp_path, name):
    model = restore(nvidia / name / f"{name}.nemo")
    again = restore(model.save(tmp_path / "ours.nemo"))
    assert again.tokenizer.vocabulary == model.tokenizer.vocabulary
    audio, length = torch.randn(1, 16000), torch.tensor([16000])
    torch.testing.assert_close(again(audio, length)[0], model(audio, length)[0], rtol=0, atol=0)


def test_what_is_no_recogniser_is_refused(nvidia):
    with pytest.raises(ArchiveError):
        restore(nvidia / "fastpitch" / "fastpitch.nemo")


def test_the_base_class_cannot_be_built():
    with pytest.raises(TypeError, match="abstract"):
        SpeechRecognizer()
