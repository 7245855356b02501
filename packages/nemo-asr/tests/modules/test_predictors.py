from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.modules import LSTMPredictor, StatelessPredictor
from nemo_asr.modules.lstm import make_lstm
from nemo_core.errors import ConfigError
from nemo_core.testing import check_module

LABELS = 7


@st.composite
def predictors(draw):
    torch.manual_seed(draw(st.integers(0, 1000)))
    if draw(st.booleans()):
        predictor = StatelessPredictor(
            {"pred_hidden": draw(st.sampled_from([8, 9]))},
            LABELS,
            context_size=draw(st.integers(1, 4)),
            normalization_mode=draw(st.sampled_from([None, "layer"])),
        )
    else:
        norm = draw(st.sampled_from([None, None, "batch", "layer"]))
        prednet = {"pred_hidden": 8, "pred_rnn_layers": draw(st.integers(1, 3)), "dropout": 0.3}
        if norm is None and draw(st.booleans()):
            prednet["rnn_hidden_size"] = draw(st.sampled_from([4, 12]))
        predictor = LSTMPredictor(prednet, LABELS, norm, blank_as_pad=draw(st.booleans()))
    for buffer in predictor.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return predictor.eval()


@settings(max_examples=25, deadline=None)
@given(predictor=predictors(), lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4), extra=st.integers(0, 3))
def test_a_text_gives_the_same_alone_as_in_any_padded_batch_and_step_by_step(predictor, lengths, extra):
    targets = torch.randint(0, LABELS, (len(lengths), max(lengths) + extra))
    length = torch.tensor(lengths)
    targets[torch.arange(targets.shape[1]) >= length[:, None]] = -1  # padding may be anything
    with torch.no_grad():
        together = predictor(targets, length)
        assert together.shape == (len(lengths), targets.shape[1] + 1, predictor.output_size)
        for row, count in enumerate(lengths):
            alone = predictor(targets[row : row + 1, :count], length[row : row + 1])
            torch.testing.assert_close(together[row, : count + 1], alone[0])
        state = predictor.initial_state(len(lengths))
        tokens = torch.full((len(lengths),), predictor.blank)
        for step in range(max(lengths) + 1):
            assert all(len(part) == len(lengths) for part in state)
            predicted, state = predictor.step(tokens, state)
            reached = length >= step
            torch.testing.assert_close(predicted[reached], together[reached, step])
            if step < targets.shape[1]:
                tokens = targets[:, step].clamp(min=0)


@pytest.mark.parametrize("make", [LSTMPredictor, StatelessPredictor])
def test_every_token_behind_the_labels_is_a_start(make):
    predictor = make({"pred_hidden": 8}, LABELS).eval()
    state = predictor.initial_state(2)
    predicted, _ = predictor.step(torch.tensor([LABELS, LABELS + 3]), state)  # as the blank of big blanks
    torch.testing.assert_close(predicted[0], predicted[1])


@pytest.mark.parametrize("name", ["asr.LSTMPredictor", "asr.StatelessPredictor"])
def test_modules_keep_their_promises(name):
    check_module(name)


def names(predictor):
    return {name: list(weight.shape) for name, weight in predictor.state_dict().items()}


def test_names_of_weights_are_nvidias():
    plain = LSTMPredictor({"pred_hidden": 8, "pred_rnn_layers": 2, "rnn_hidden_size": 10}, LABELS)
    lstm = "prediction.dec_rnn.lstm."
    expected = {"prediction.embed.weight": [8, 8]}
    for layer in (0, 1):
        expected |= {f"{lstm}weight_ih_l{layer}": [40, 8], f"{lstm}weight_hh_l{layer}": [40, 8]}
        expected |= {f"{lstm}bias_ih_l{layer}": [40], f"{lstm}bias_hh_l{layer}": [40]}
        expected |= {f"{lstm}weight_hr_l{layer}": [8, 10]}
    assert names(plain) == expected

    normed = LSTMPredictor({"pred_hidden": 8, "pred_rnn_layers": 2}, LABELS, "layer", blank_as_pad=False)
    cell = "prediction.dec_rnn.layers.1.cell."
    assert {name: shape for name, shape in names(normed).items() if name.startswith((cell, "prediction.embed"))} == {
        "prediction.embed.weight": [7, 8],
        f"{cell}weight_ih": [32, 8],
        f"{cell}weight_hh": [32, 8],
        **{f"{cell}layernorm_{part}.{leaf}": [32] for part in "ih" for leaf in ("weight", "bias")},
        **{f"{cell}layernorm_c.{leaf}": [8] for leaf in ("weight", "bias")},
    }

    batch = LSTMPredictor({"pred_hidden": 8, "pred_rnn_layers": 2, "dropout": 0.1}, LABELS, "batch")
    assert "prediction.dec_rnn.layers.0.rnn.bias_ih_l0" in names(batch)
    assert "prediction.dec_rnn.layers.2.bn.module.running_mean" in names(batch)  # 1 is the dropout
    assert "prediction.dec_rnn.layers.2.rnn.bias_ih_l0" not in names(batch)

    stateless = StatelessPredictor({"pred_hidden": 20}, LABELS, context_size=2, normalization_mode="layer")
    assert names(stateless) == {"prediction.embeds.0.weight": [8, 15], "prediction.embeds.1.weight": [8, 5]}


def test_a_stateless_predictor_sees_so_many_labels_only():
    predictor = StatelessPredictor({"pred_hidden": 8}, LABELS, context_size=2).eval()
    predicted = predictor(torch.tensor([[1, 2, 3], [4, 2, 3]]), torch.tensor([3, 3]))
    torch.testing.assert_close(predicted[0, 3], predicted[1, 3])
    assert not torch.equal(predicted[0, 2], predicted[1, 2])


def test_random_states_are_for_training_only():
    predictor = LSTMPredictor({"pred_hidden": 8}, LABELS, random_state_sampling=True)
    targets, length = torch.tensor([[1, 2]]), torch.tensor([2])
    assert not torch.equal(predictor(targets, length), predictor(targets, length))
    predictor.eval()
    assert torch.equal(predictor(targets, length), predictor(targets, length))


def test_how_an_lstm_begins():
    lstm = make_lstm(4, 4, num_layers=2).lstm
    assert lstm.bias_ih_l1[4:8].tolist() == [1.0] * 4
    assert lstm.bias_hh_l1[4:8].tolist() == [0.0] * 4
    scaled = make_lstm(4, 4, forget_gate_bias=2.0, weights_init_scale=0.5).lstm
    assert scaled.bias_ih_l0[4:8].tolist() == [1.0] * 4
    chrono = make_lstm(4, 64, t_max=20).lstm
    forget = chrono.bias_ih_l0[64:128]
    assert 0 <= forget.min() < forget.max() <= torch.tensor(19.0).log()
    torch.testing.assert_close(chrono.bias_ih_l0[:64], -forget)
    assert not chrono.bias_hh_l0.any()
    normed = make_lstm(4, 4, normalization_mode="layer")
    assert normed.layers[0]["cell"].layernorm_h.bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LSTMPredictor({"pred_hiden": 8}, 3), "prednet.pred_hiden is not a setting"),
        (lambda: LSTMPredictor({"dropout": 0.1}, 3), "prednet: pred_hidden is missing"),
        (lambda: LSTMPredictor({"pred_hidden": 8}, 0), "vocab_size is 0"),
        (lambda: LSTMPredictor({"pred_hidden": 8}, 3, "group"), "normalization_mode 'group'"),
        (lambda: LSTMPredictor({"pred_hidden": 8, "pred_rnn_layers": 0}, 3), "0 layers"),
        (lambda: make_lstm(8, 12, normalization_mode="layer", proj_size=8), "no projection"),
        (lambda: StatelessPredictor({"pred_hidden": 8}, 3, context_size=0), "context_size is 0"),
        (lambda: StatelessPredictor({"pred_hidden": 8}, 3, normalization_mode="batch"), "normalization_mode 'batch'"),
    ],
)
def test_mistakes_are_named(make, said):
    with pytest.raises(ConfigError, match=said):
        make()
