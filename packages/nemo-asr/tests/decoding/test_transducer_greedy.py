from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from nemo_asr.decoding import TokenPath, TransducerGreedy
from nemo_asr.decoding.transducer_greedy import _paths
from nemo_asr.decoding.transducer_steps import decode_in_steps
from nemo_asr.modules.hat_joint import HATJoint
from nemo_asr.modules.joint import RNNTJoint
from nemo_asr.modules.predictor import LSTMPredictor
from nemo_asr.modules.stateless_predictor import StatelessPredictor
from nemo_core.errors import ConfigError

LABELS, HIDDEN = 4, 6
KINDS = {
    "rnnt": {},
    "hat": {"factorized_blank": True},
    "tdt": {"durations": (0, 1, 2, 4)},
    "tdt without zero": {"durations": (1, 3)},
    "tdt only zero and one": {"durations": (1, 0)},
    "multi-blank": {"big_blank_durations": (2, 5)},
}


class ToyPredictor(nn.Module):
    """Remembers all labels, in a state of two parts."""

    def __init__(self, labels):
        super().__init__()
        self.embed, self.cell = nn.Embedding(labels + 1, 5), nn.LSTMCell(5, HIDDEN)

    def initial_state(self, batch):
        return (torch.zeros(batch, HIDDEN, dtype=torch.double),) * 2

    def step(self, tokens, state):
        state = self.cell(self.embed(tokens), state)
        return state[0], state


class ToyJoint(nn.Module):
    def __init__(self, outputs, features=3):
        super().__init__()
        self.enc, self.pred, self.out = nn.Linear(features, 8), nn.Linear(HIDDEN, 8), nn.Linear(8, outputs)

    def project_encoder(self, encoded):
        return self.enc(encoded)

    def project_predictor(self, predicted):
        return self.pred(predicted)

    def combine(self, encoded, predicted):
        return self.out((encoded + predicted).tanh())


def make(kind, seed, likely_blank=0.0, max_symbols=10, modules="toy"):
    torch.manual_seed(seed)
    options = KINDS[kind]
    extra = len(options.get("durations", ())) + len(options.get("big_blank_durations", ()))
    blank = LABELS + len(options.get("big_blank_durations", ()))
    sizes = {"encoder_hidden": 3, "pred_hidden": HIDDEN, "joint_hidden": 8, "activation": "tanh"}
    if kind == "hat":
        joint = HATJoint(sizes, LABELS)
        bias = joint.blank_pred[-1].bias
    elif modules == "toy":
        joint = ToyJoint(LABELS + 1 + extra)
        bias = joint.out.bias[LABELS : blank + 1]
    else:
        joint = RNNTJoint(sizes, LABELS, num_extra_outputs=extra)
        bias = joint.joint_net[-1].bias[LABELS : blank + 1]
    if modules == "stateless":
        predictor = StatelessPredictor({"pred_hidden": HIDDEN}, LABELS, context_size=2)
    elif modules == "lstm":
        predictor = LSTMPredictor({"pred_hidden": HIDDEN, "pred_rnn_layers": 2}, LABELS)
    else:
        predictor = ToyPredictor(blank)
    with torch.no_grad():
        for weight in (*predictor.parameters(), *joint.parameters()):
            weight.normal_()
        bias += likely_blank
    return TransducerGreedy(predictor.double().eval(), joint.double().eval(), blank, max_symbols=max_symbols, **options)


def in_steps(greedy, encoded, length):
    """The loop that CUDA graphs are made of, without a graph."""
    frames = greedy.joint.project_encoder(encoded.transpose(1, 2))
    return _paths(*decode_in_steps(greedy, frames, length, capture=False), greedy.blank)


def frame_by_frame(greedy, encoded):
    """The plain loop over the frames (D, T) of one utterance: tokens, frames, ends, score."""
    predictor, joint, blank = greedy.predictor, greedy.joint, greedy.blank
    durations, big = greedy.durations, greedy.big_blank_durations
    predicted, state = predictor.step(torch.tensor([blank]), predictor.initial_state(1))
    time, tokens, starts, ends, score = 0, [], [], [], 0.0
    while time < encoded.shape[1]:
        here = 0
        while True:
            logits = joint.combine(joint.project_encoder(encoded[:, time]), joint.project_predictor(predicted[0]))
            choices = logits[: len(logits) - len(durations)]
            if greedy.factorized_blank:
                log_probs = torch.cat(
                    [choices[:-1].log_softmax(0) + F.logsigmoid(-choices[-1:]), F.logsigmoid(choices[-1:])]
                )
            else:
                log_probs = choices.log_softmax(0)
            token = int(log_probs.argmax())
            score += float(log_probs[token])
            is_blank = token >= blank - len(big)
            jump = int(is_blank)
            if token < blank and is_blank:
                jump = big[blank - 1 - token]
            if durations:
                lengths = logits[-len(durations) :].log_softmax(0)
                score += float(lengths.max())
                jump = max(jump, durations[int(lengths.argmax())])
            if not is_blank:
                tokens.append(token)
                starts.append(time)
                ends.append(time + (jump if durations else 1))
                predicted, state = predictor.step(torch.tensor([token]), state)
                here += 1
            if jump == 0 and here == greedy.max_symbols:
                jump = 1
            time += jump
            if jump:
                break
    return tokens, starts, ends, score


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    likely_blank=st.sampled_from([-3.0, 0.0, 2.0, 5.0]),
    max_symbols=st.sampled_from([1, 2, 4]),
    modules=st.sampled_from(["toy", "lstm", "stateless"]),
)
def test_a_batch_is_decoded_as_by_the_loop_over_frames(kind, seed, lengths, likely_blank, max_symbols, modules):
    greedy = make(kind, seed, likely_blank, max_symbols, modules)
    encoded = torch.randn(len(lengths), 3, max(lengths) + 1, dtype=torch.double) * 2
    with torch.no_grad():
        paths = greedy(encoded, torch.tensor(lengths))
        steps = in_steps(greedy, encoded, torch.tensor(lengths))
        assert [replace(path, score=0.0) for path in steps] == [replace(path, score=0.0) for path in paths]
        assert [path.score for path in steps] == pytest.approx([path.score for path in paths], rel=1e-4, abs=1e-4)
        for path, one, length in zip(paths, encoded, lengths, strict=True):
            tokens, starts, ends, score = frame_by_frame(greedy, one[:, :length])
            assert (path.tokens, path.starts, path.ends) == (tuple(tokens), tuple(starts), tuple(ends))
            assert path.score == pytest.approx(score, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("lengths", [[], [0], [0, 0, 0]])
def test_where_there_are_no_frames_there_are_no_tokens(lengths):
    greedy = make("tdt", 0)
    encoded = torch.zeros(len(lengths), 3, 4, dtype=torch.double)
    assert greedy(encoded, torch.tensor(lengths, dtype=torch.long)) == [TokenPath((), (), (), 0.0)] * len(lengths)


def test_tokens_of_one_frame_are_bounded():
    encoded, length = torch.zeros(2, 3, 4, dtype=torch.double), torch.tensor([4, 2])
    for kind in ("rnnt", "hat", "tdt", "multi-blank"):
        greedy = make(kind, 0, likely_blank=-1e3, max_symbols=3)  # never a blank
        if kind == "tdt":
            with torch.no_grad():
                greedy.joint.out.bias[LABELS + 1] += 1e3  # never a frame
        long, short = greedy(encoded, length)
        assert long.starts == (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)
        assert short.starts == (0, 0, 0, 1, 1, 1)


class Count:
    def initial_state(self, batch):
        return (-torch.ones(batch, 1),)

    def step(self, tokens, state):
        return state[0] + 1, (state[0] + 1,)


class UpTo:
    """Wants as many tokens as a frame says."""

    def project_encoder(self, encoded):
        return encoded

    def project_predictor(self, predicted):
        return predicted

    def combine(self, frames, predicted):
        return torch.cat([frames - predicted, 0.5 + 0 * frames], dim=-1)


def test_any_number_of_tokens_in_a_frame():
    frames = torch.tensor([[[0.0, 25.0, 25.0, 30.0]]])
    (path,) = TransducerGreedy(Count(), UpTo(), blank=1, max_symbols=None)(frames, torch.tensor([4]))
    assert path.starts == (1,) * 25 + (3,) * 5
    (path,) = TransducerGreedy(Count(), UpTo(), blank=1, max_symbols=10)(frames, torch.tensor([4]))
    assert path.starts == (1,) * 10 + (2,) * 10 + (3,) * 10


@pytest.mark.parametrize("options", [{"max_symbols": 0}, {"durations": (0, 1), "big_blank_durations": (2,)}])
def test_options_that_make_no_sense_are_refused(options):
    greedy = make("rnnt", 0)
    with pytest.raises(ConfigError):
        TransducerGreedy(greedy.predictor, greedy.joint, greedy.blank, **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_cuda_graph_finds_the_same(kind):
    greedy = make(kind, 0, modules="stateless" if kind == "hat" else "lstm")
    greedy.predictor.cuda(), greedy.joint.cuda()
    encoded, length = torch.randn(5, 3, 30, dtype=torch.double).cuda(), torch.tensor([30, 0, 7, 29, 1]).cuda()
    plain = replace(greedy, cuda_graph=False)(encoded, length)
    assert [path.starts for path in greedy(encoded, length)] == [path.starts for path in plain]
    assert [path.tokens for path in greedy(encoded, length)] == [path.tokens for path in plain]
