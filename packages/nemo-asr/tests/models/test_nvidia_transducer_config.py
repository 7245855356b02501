from __future__ import annotations

import pytest
import torch

from nemo_asr.losses import MultiblankRNNTLoss, RNNTLoss, TDTLoss
from nemo_asr.models.nvidia_transducer import hybrid_config, transducer_config
from nemo_asr.modules import HATJoint, LSTMPredictor, StatelessPredictor
from nemo_core.errors import ArchiveError, ConfigError
from nemo_core.models import Model

MODULES = "nemo.collections.asr.modules."


def nvidia_config(**changes):
    config = {
        "nemo_version": "2.7.3",
        "model_defaults": {"enc_hidden": 8, "pred_hidden": 6, "joint_hidden": 4},
        "preprocessor": {"_target_": MODULES + "AudioToMelSpectrogramPreprocessor", "features": 16},
        "encoder": {
            "_target_": MODULES + "ConvASREncoder",
            "feat_in": 16,
            "jasper": [{"filters": 8, "kernel": [3], "residual": False}],
        },
        "decoder": {
            "_target_": MODULES + "RNNTDecoder",
            "prednet": {"pred_hidden": 6, "pred_rnn_layers": 2, "t_max": None, "dropout": 0.1, "norm": None},
            "vocab_size": 3,
        },
        "joint": {
            "_target_": MODULES + "RNNTJoint",
            "log_softmax": None,
            "preserve_memory": False,
            "fuse_loss_wer": True,
            "fused_batch_size": 4,
            "jointnet": {"joint_hidden": 4, "activation": "relu", "dropout": 0.1},
            "num_classes": 3,
            "vocabulary": ["a", "b", " "],
        },
        "decoding": {"strategy": "greedy_batch", "greedy": {"max_symbols": 7}},
    }
    return {**config, **changes}


def with_(section, **changes):
    return {section: {**nvidia_config()[section], **changes}}


def build(config, translate=transducer_config, name="asr.TransducerModel"):
    return Model.from_config({"_target_": name, **translate(config)})


def test_a_configuration_becomes_a_model():
    model = build(nvidia_config(rnnt_reduction="mean_volume", loss={"loss_name": "default"}))
    assert type(model.predictor) is LSTMPredictor
    assert model.predictor.initial_state(1)[0].shape == (1, 2, 6)
    assert (type(model.loss), model.loss.blank, model.loss.reduction) == (RNNTLoss, 3, "mean_volume")
    assert (model.max_symbols, model.fused, model.tokenizer.vocabulary) == (7, True, ["a", "b", " "])


@pytest.mark.parametrize(
    ("greedy", "limit"),
    [({"max_symbols_per_step": 5}, 5), ({"max_symbols": 4, "max_symbols_per_step": 5}, 4), ({}, 100), (None, 100)],
)
def test_how_many_symbols_a_frame_can_have(greedy, limit):
    assert build(nvidia_config(decoding={"strategy": "beam", "greedy": greedy})).max_symbols == limit


def test_tdt():
    loss = {"loss_name": "tdt", "tdt_kwargs": {"durations": [0, 1, 2], "sigma": 0.05, "omega": 0.1}}
    model = build(nvidia_config(loss=loss, **with_("joint", num_extra_outputs=3)))
    assert (type(model.loss), model.loss.durations, model.loss.blank) == (TDTLoss, (0, 1, 2), 3)
    assert model.greedy.durations == (0, 1, 2)


def test_big_blanks_come_before_the_blank():
    loss = {"loss_name": "multiblank_rnnt", "multiblank_rnnt_kwargs": {"big_blank_durations": [2, 4], "sigma": 0.05}}
    model = build(nvidia_config(loss=loss, **with_("joint", num_extra_outputs=2)))
    assert (type(model.loss), model.loss.blank, model.predictor.blank) == (MultiblankRNNTLoss, 5, 3)
    assert model.greedy.big_blank_durations == (2, 4)


def test_hat():
    target = MODULES + "hybrid_autoregressive_transducer.HATJoint"
    model = build(nvidia_config(**with_("joint", _target_=target)))
    assert type(model.joint) is HATJoint
    assert model.loss.factorized_blank


def test_a_stateless_predictor():
    decoder = {"_target_": MODULES + "StatelessTransducerDecoder", "context_size": 2, "normalization_mode": "layer"}
    prednet = {"pred_hidden": 6, "pred_rnn_layers": 1, "dropout": 0.0}
    model = build(nvidia_config(decoder={**decoder, "prednet": prednet}))
    assert type(model.predictor) is StatelessPredictor
    assert model.predictor.context_size == 2


def test_a_sampled_joint_network_is_a_joint_network():
    joint = with_("joint", _target_=MODULES + "rnnt.SampledRNNTJoint", n_samples=2)
    assert build(nvidia_config(**joint)).joint.num_outputs == 4


def test_labels_of_the_configuration_stand_in_for_those_of_the_joint_network():
    config = nvidia_config(labels=["x", "y"])
    del config["joint"]["vocabulary"]
    assert build(config).tokenizer.vocabulary == ["x", "y"]


def test_a_hybrid():
    decoder = {"_target_": MODULES + "ConvASRDecoder", "feat_in": None, "num_classes": 3, "vocabulary": ["a", "b", " "]}
    auxiliary = {"ctc_loss_weight": 0.2, "ctc_reduction": "mean_volume", "decoder": decoder}
    interctc = {"loss_weights": [], "apply_at_layers": []}
    model = build(nvidia_config(aux_ctc=auxiliary, interctc=interctc), hybrid_config, "asr.HybridModel")
    assert (model.ctc_weight, model.ctc_loss.reduction, model.decoder) == (0.2, "mean_volume", "transducer")
    state = {name.replace("predictor.", "decoder.", 1): weight for name, weight in model.state_dict().items()}
    assert "decoder.prediction.embed.weight" in state
    assert set(model.nvidia_weights({**state, "preprocessor.featurizer.fb": torch.zeros(1)})) == set(model.state_dict())


@pytest.mark.parametrize("missing", ["preprocessor", "encoder", "decoder", "joint"])
def test_a_missing_section_is_named(missing):
    config = nvidia_config()
    del config[missing]
    with pytest.raises(ArchiveError, match=missing):
        transducer_config(config)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (with_("joint", vocabulary=None, num_classes=-1), "no labels"),
        (with_("joint", jointnet=None), "no section joint.jointnet"),
        (with_("decoder", prednet=None), "no section decoder.prednet"),
        (with_("decoder", _target_=MODULES + "SomethingElse"), "SomethingElse"),
    ],
)
def test_what_is_not_understood_is_named(changes, said):
    with pytest.raises(ArchiveError, match=said):
        transducer_config(nvidia_config(**changes))


def test_other_mistakes():
    with pytest.raises(ConfigError, match="graph_w_transducer"):
        transducer_config(nvidia_config(loss={"loss_name": "graph_w_transducer"}))
    with pytest.raises(ArchiveError, match="aux_ctc"):
        hybrid_config(nvidia_config())
