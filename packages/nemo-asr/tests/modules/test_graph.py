"""Modules of this package chained in a graph."""

from __future__ import annotations

import pytest
import torch

from nemo_asr.modules import ConvASREncoder, CTCDecoder, MelSpectrogram
from nemo_core import NeuralGraph
from nemo_core.errors import NeuralTypeError


@pytest.fixture
def parts():
    mel = MelSpectrogram(8000, features=20)
    encoder = ConvASREncoder([{"filters": 8, "kernel": 5, "stride": 2}], feat_in=20)
    return mel.eval(), encoder.eval(), CTCDecoder(8, vocabulary=5).eval()


def test_a_recogniser_is_a_graph(parts):
    mel, encoder, decoder = parts
    graph = NeuralGraph("ctc")
    graph.input("audio", mel.inputs.audio)
    graph.input("length", mel.inputs.length)
    graph.connect(mel.outputs, encoder.inputs)
    graph.connect(encoder.outputs.encoded, decoder.inputs.encoded)
    audio, length = torch.randn(2, 4000), torch.tensor([4000, 3000])
    out = graph(audio=audio, length=length)
    expected = decoder(encoder(*mel(audio, length))[0])
    found = out if isinstance(out, torch.Tensor) else next(each for each in out if each.ndim == 3)
    torch.testing.assert_close(found, expected)


def test_features_do_not_fit_a_decoder(parts):
    mel, _, decoder = parts
    with pytest.raises(NeuralTypeError, match="features") as caught:
        NeuralGraph("wrong").connect(mel.outputs.features, decoder.inputs.encoded)
    assert "encoded" in str(caught.value)
