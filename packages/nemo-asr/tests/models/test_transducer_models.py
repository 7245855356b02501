from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.data.batch import Utterance, collate_speech
from nemo_asr.losses import MultiblankRNNTLoss, RNNTLoss, TDTLoss
from nemo_asr.models import CTCModel, HybridModel, TransducerModel, restore
from nemo_asr.modules import (
    ConformerEncoder,
    CTCDecoder,
    HATJoint,
    LSTMPredictor,
    MelSpectrogram,
    RNNTJoint,
    StatelessPredictor,
)
from nemo_asr.tokenizers import CharTokenizer
from nemo_core.errors import ConfigError, DataError
from nemo_core.models import init_from

LABELS = " abcde"
SIZES = {"encoder_hidden": 16, "pred_hidden": 12, "joint_hidden": 20, "activation": "tanh"}


def make(kind="rnnt", *, labels=LABELS, stateless=False, seed=0, **options):
    torch.manual_seed(seed)
    count = len(labels)
    loss = {
        "rnnt": RNNTLoss(count),
        "hybrid": RNNTLoss(count),
        "tdt": TDTLoss(count, durations=[0, 1, 2]),
        "multiblank": MultiblankRNNTLoss(count + 2, big_blank_durations=[2, 3]),
        "hat": RNNTLoss(count, factorized_blank=True),
    }[kind]
    extra = {"tdt": 3, "multiblank": 2}.get(kind, 0)
    predictor = StatelessPredictor if stateless else LSTMPredictor
    parts = {
        "preprocessor": MelSpectrogram(8000, features=20, window_size=0.025, n_fft=256),
        "encoder": ConformerEncoder(20, n_layers=1, d_model=16, n_heads=2, conv_kernel_size=5, subsampling_factor=4),
        "predictor": predictor({"pred_hidden": 12}, count),
        "joint": HATJoint(SIZES, count) if kind == "hat" else RNNTJoint(SIZES, count, num_extra_outputs=extra),
        "tokenizer": CharTokenizer(labels),
        "loss": loss,
    }
    if kind == "hybrid":
        return HybridModel(**parts, ctc_decoder=CTCDecoder(16, vocabulary=count), **options)
    return TransducerModel(**parts, **options)


KINDS = ["rnnt", "tdt", "multiblank", "hat", "hybrid"]


def noise(seconds, seed=0):
    return np.random.default_rng(seed).standard_normal(round(8000 * seconds)).astype(np.float32)


def batch_of(*items):
    return collate_speech([Utterance(audio, text, f"line {i}") for i, (audio, text) in enumerate(items)])


def test_encoded_frames_and_lengths():
    model = make().eval()
    encoded, length = model(audio=torch.randn(2, 8000), length=torch.tensor([8000, 4000]))
    assert (encoded.shape[:2], length.tolist(), model.frame_stride) == ((2, 16), [25, 13], 0.04)
    assert set(model.output_types) == {"encoded", "length"}


@settings(max_examples=10, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    stateless=st.booleans(),
    texts=st.lists(st.text(LABELS, max_size=6), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_the_loss_of_a_batch_is_the_mean_of_those_of_its_utterances(kind, stateless, texts, seed):
    model = make(kind, stateless=stateless, seed=seed).eval()
    items = [(noise(0.3 + 0.2 * index, index), text) for index, text in enumerate(texts)]
    with torch.no_grad():
        together, hypotheses = model.loss_and_hypotheses(batch_of(*items))
        alone = [model.loss_and_hypotheses(batch_of(item)) for item in items]
    torch.testing.assert_close(together, torch.stack([loss for loss, _ in alone]).mean(), rtol=1e-4, atol=1e-4)
    assert [hypothesis.text for hypothesis in hypotheses] == [heard[0].text for _, heard in alone]


@pytest.mark.parametrize("kind", KINDS)
def test_the_fused_loss_is_the_loss(kind):
    batch = batch_of((noise(0.5), "ab ba"), (noise(0.8, 1), "c"))
    plain, fused = make(kind).eval(), make(kind, fused=True).eval()
    losses = [model.loss_on(batch) for model in (plain, fused)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    for (name, one), (_, other) in zip(plain.named_parameters(), fused.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_gives_the_same_loss_and_text_as_the_two_alone(kind):
    model = make(kind).eval()
    batch = batch_of((noise(1.0), "ab"), (noise(0.5, 1), "c"))
    loss, hypotheses = model.loss_and_hypotheses(batch)
    torch.testing.assert_close(loss, model.loss_on(batch))
    assert hypotheses == model.recognize(batch.audio, batch.length)


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_steps_learn_two_utterances_by_heart(kind):
    model = make(kind).train()
    for part in model.encoder.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    batch = batch_of((noise(0.5), "ab ba"), (noise(0.4, 1), "c d e"))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        model.loss_on(batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    heard = model.transcribe([noise(0.5), noise(0.4, 1)], timestamps=True)
    assert [hypothesis.text for hypothesis in heard] == ["ab ba", "c d e"]
    assert ["".join(span.text for span in hypothesis.chars) for hypothesis in heard] == ["ab ba", "c d e"]
    assert all(0 <= span.start <= span.end <= 0.5 for span in heard[0].chars)
    if kind == "hybrid":
        model.decoder = "ctc"
        assert model.transcribe(noise(0.5))[0].text == "ab ba"


def test_the_loss_of_a_hybrid_is_that_of_both():
    batch = batch_of((noise(1.0), "ab"), (noise(0.5, 1), "c"))
    only = [make("hybrid", ctc_weight=weight).eval().loss_on(batch) for weight in (0.0, 1.0)]
    torch.testing.assert_close(make("rnnt").eval().loss_on(batch), only[0])
    both = make("hybrid", ctc_weight=0.25).eval().loss_on(batch)
    torch.testing.assert_close(both, 0.75 * only[0] + 0.25 * only[1])


def test_text_that_the_tokenizer_does_not_know_names_the_line():
    with pytest.raises(DataError, match=r"line 1: 'x' in 'axe'"):
        make().loss_on(batch_of((noise(0.5), "a"), (noise(0.5), "axe")))


@pytest.mark.parametrize("kind", KINDS)
def test_saving_and_restoring(kind, tmp_path):
    model = make(kind, max_symbols=3, fused=True).eval()
    again = restore(model.save(tmp_path / "model.nemo"))
    assert again.to_config() == model.to_config()
    batch = batch_of((noise(1.0), "ab"))
    torch.testing.assert_close(again.loss_on(batch), model.loss_on(batch))
    assert again.recognize(batch.audio, batch.length) == model.recognize(batch.audio, batch.length)
    assert not again.training


def test_weights_of_another_vocabulary_are_taken_as_far_as_they_fit(tmp_path):
    path = make("hybrid").save(tmp_path / "base.nemo")
    model = make("hybrid", labels=" abcdefgh", seed=1)
    report = init_from(model, str(path))
    base = restore(path)
    torch.testing.assert_close(model.encoder.state_dict(), base.encoder.state_dict())
    torch.testing.assert_close(model.joint.enc.weight, base.joint.enc.weight)
    assert "encoder.pre_encode.out.weight" in report.loaded
    assert "joint.joint_net.1.weight" not in report.loaded


def parts_of(model):
    return {
        name: getattr(model, name) for name in ("preprocessor", "encoder", "predictor", "joint", "tokenizer", "loss")
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokenizer": CharTokenizer("abc")}, "tokens of the predictor: 6, but by the tokenizer it is 3"),
        ({"predictor": LSTMPredictor({"pred_hidden": 12}, 5)}, "tokens of the predictor: 5"),
        ({"joint": RNNTJoint(SIZES, 5)}, "tokens of the joint network: 5"),
        ({"loss": RNNTLoss(5)}, "the loss's blank: 5"),
        ({"loss": TDTLoss(6)}, "outputs of the joint network: 7, but by the loss it is 12"),
        ({"predictor": LSTMPredictor({"pred_hidden": 9}, 6)}, "predictions: 12, but by the predictor it is 9"),
        ({"joint": RNNTJoint({**SIZES, "encoder_hidden": 9}, 6)}, "frames: 9, but by the encoder it is 16"),
        ({"joint": HATJoint(SIZES, 6)}, "factorized_blank go together"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        TransducerModel(**{**parts_of(make()), **changes})


def test_hybrids_that_make_no_sense_are_refused():
    parts = parts_of(make())
    with pytest.raises(ConfigError, match="CTC decoder has 5 tokens"):
        HybridModel(**parts, ctc_decoder=CTCDecoder(16, vocabulary=5))
    with pytest.raises(ConfigError, match="ctc_weight is"):
        HybridModel(**parts, ctc_decoder=CTCDecoder(16, vocabulary=6), ctc_weight=1.5)
    with pytest.raises(ConfigError, match="decoder 'rnn'"):
        make("hybrid").decoder = "rnn"


NVIDIAS = {"fastconformer_rnnt_bpe": TransducerModel, "fastconformer_hybrid_tdt_ctc_bpe": HybridModel}


@pytest.mark.parametrize("name", NVIDIAS)
def test_nvidias_archive_gives_nvidias_outputs(nvidia, name):
    folder = nvidia / name
    model = restore(folder / f"{name}.nemo")
    assert type(model) is NVIDIAS[name]
    assert model.load_report.complete
    expected = np.load(folder / "expected.npz")
    given = {key: torch.from_numpy(expected[key]) for key in ("audio", "audio_len", "targets", "target_len")}
    with torch.no_grad():
        features, feature_frames = model.preprocessor(audio=given["audio"], length=given["audio_len"])
        encoded, frames = model(audio=given["audio"], length=given["audio_len"])
        predicted = model.predictor(targets=given["targets"], target_length=given["target_len"])
        logits = model.joint(encoded=encoded.transpose(1, 2), predicted=predicted)
        loss = model.loss(
            logits=logits, targets=given["targets"], input_length=frames, target_length=given["target_len"]
        )
    assert feature_frames.tolist() == expected["features_len"].tolist()
    assert frames.tolist() == expected["encoded_len"].tolist()
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(features.numpy(), expected["features"], rtol=1e-4, atol=1e-4)  # processors differ
    np.testing.assert_allclose(encoded.numpy(), expected["encoded"], **close)
    counted = torch.arange(predicted.shape[1]) <= given["target_len"][:, None]
    reference = expected["decoder_out"].transpose(0, 2, 1)
    np.testing.assert_allclose(predicted[counted].numpy(), reference[counted.numpy()], **close)
    ours, theirs = logits.log_softmax(-1), torch.from_numpy(expected["joint"])
    for row, steps in enumerate(given["target_len"] + 1):
        torch.testing.assert_close(ours[row, :, :steps], theirs[row, :, :steps], **close)
    if "rnnt_loss" in expected:  # NVIDIA's TDT loss does not run on the CPU
        assert loss.item() == pytest.approx(expected["rnnt_loss"].item(), rel=1e-4)
    transcript = json.loads((folder / "expected.json").read_text())["transcript"]
    (hypothesis,) = model.transcribe(nvidia / "sample.wav", timestamps=True)
    assert [hypothesis.text] == transcript
    assert "".join(span.text for span in hypothesis.chars) == hypothesis.text


@pytest.mark.parametrize("name", NVIDIAS)
def test_an_nvidia_model_can_be_saved_as_ours(nvidia, tmp_path, name):
    model = restore(nvidia / name / f"{name}.nemo")
    again = restore(model.save(tmp_path / "ours.nemo"))
    audio, length = torch.randn(1, 16000), torch.tensor([16000])
    torch.testing.assert_close(again(audio, length)[0], model(audio, length)[0], rtol=0, atol=0)
    assert again.recognize(audio, length) == model.recognize(audio, length)


def test_an_encoder_of_an_nvidia_transducer_can_start_a_ctc_model(nvidia):
    source = nvidia / "fastconformer_rnnt_bpe" / "fastconformer_rnnt_bpe.nemo"
    other = restore(source)
    torch.manual_seed(1)
    model = CTCModel(
        MelSpectrogram(16000, features=80),
        ConformerEncoder(**{key: value for key, value in other.encoder.to_config().items() if key != "_target_"}),
        CTCDecoder(32, vocabulary=3),
        CharTokenizer("abc"),
    )
    init_from(model, {"path": str(source), "include": ["encoder"]})
    torch.testing.assert_close(model.encoder.state_dict(), other.encoder.state_dict())
