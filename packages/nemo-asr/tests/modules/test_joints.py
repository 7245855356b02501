from __future__ import annotations

import pytest
import torch

from nemo_asr.modules import HATJoint, RNNTJoint
from nemo_core.errors import ConfigError
from nemo_core.testing import check_module

SIZES = {"encoder_hidden": 6, "pred_hidden": 4, "joint_hidden": 5}


@pytest.mark.parametrize("name", ["asr.RNNTJoint", "asr.HATJoint"])
def test_modules_keep_their_promises(name):
    check_module(name)


@pytest.mark.parametrize("joint", [RNNTJoint(SIZES, 3, num_extra_outputs=2), HATJoint(SIZES, 3)])
def test_every_frame_meets_every_prediction_each_by_itself(joint):
    encoded, predicted = torch.randn(2, 3, 6), torch.randn(2, 4, 4)
    logits = joint(encoded=encoded, predicted=predicted)
    assert logits.shape == (2, 3, 4, joint.num_outputs)
    one = joint.combine(joint.project_encoder(encoded[1, 2]), joint.project_predictor(predicted[1, 3]))
    torch.testing.assert_close(logits[1, 2, 3], one)


@pytest.mark.parametrize(
    ("activation", "expected"), [("relu", torch.relu), ("sigmoid", torch.sigmoid), ("tanh", torch.tanh)]
)
def test_logits_are_not_normalised(activation, expected):
    joint = RNNTJoint({**SIZES, "activation": activation}, 3)
    encoded, predicted = torch.randn(6), torch.randn(4)
    hidden = expected(joint.enc(encoded) + joint.pred(predicted))
    output = joint.joint_net[1]
    logits = joint.combine(joint.project_encoder(encoded), joint.project_predictor(predicted))
    torch.testing.assert_close(logits, output.weight @ hidden + output.bias)


def test_names_of_weights_are_nvidias():
    both = {"enc.weight", "enc.bias", "pred.weight", "pred.bias"}
    assert set(RNNTJoint(SIZES, 3).state_dict()) == both | {"joint_net.1.weight", "joint_net.1.bias"}
    dropout = {**SIZES, "dropout": 0.1}
    output = {"joint_net.2.weight", "joint_net.2.bias"}
    assert set(RNNTJoint(dropout, 3).state_dict()) == both | output
    hat = HATJoint(dropout, 3)
    assert set(hat.state_dict()) == both | output | {"blank_pred.2.weight", "blank_pred.2.bias"}
    assert (hat.joint_net[2].out_features, hat.num_outputs) == (3, 4)


def test_masked_predictions_are_for_training_only():
    joint = RNNTJoint(SIZES, 3, masking_prob=0.5)
    encoded, predicted = torch.randn(1, 1, 6), torch.randn(1, 100, 4)
    unseen = joint.combine(joint.project_encoder(encoded), torch.zeros(5))
    share = torch.isclose(joint(encoded, predicted), unseen.unsqueeze(2)).all(-1).float().mean()
    assert 0.3 < share < 0.7
    joint.eval()
    assert not torch.isclose(joint(encoded, predicted), unseen.unsqueeze(2)).all(-1).any()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RNNTJoint({**SIZES, "activation": "gelu"}, 3), "activation 'gelu'"),
        (lambda: RNNTJoint({"joint_hidden": 3}, 3), "encoder_hidden, pred_hidden is missing"),
        (lambda: RNNTJoint(SIZES, 0), "num_classes is 0"),
        (lambda: RNNTJoint(SIZES, 3, vocabulary=["a"]), "vocabulary has 1"),
        (lambda: RNNTJoint(SIZES, 3, masking_prob=1.0), "masking_prob"),
        (lambda: HATJoint(SIZES, 3, num_extra_outputs=1), "no durations"),
    ],
)
def test_mistakes_are_named(make, said):
    with pytest.raises(ConfigError, match=said):
        make()
