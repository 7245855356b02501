from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import nemo_core.types as nt
from nemo_core.errors import NeuralTypeError
from nemo_core.types import NeuralType, dynamic_axes, dynamic_shapes, synthetic_batch
from nemo_core.types import elements as e

TYPES = {
    "audio": NeuralType(("B", "T"), nt.AudioSignal(16000)),
    "audio_length": NeuralType(("B",), nt.Lengths()),
    "tokens": NeuralType(("B", "T:tokens"), nt.TokenIndex()),
    "token_length": NeuralType(("B",), nt.Lengths()),
    "image": NeuralType(("B", "C:3", "H", "W"), nt.ImageValue()),
    "scale": NeuralType((), nt.Float(), optional=True),
    "clips": NeuralType(("[B]", "T"), nt.AudioSignal()),
}
ELEMENTS = sorted({v for n in e.__all__ if isinstance(v := getattr(e, n), type)}, key=lambda cls: cls.__name__)


def test_free_axes_have_names():
    assert dynamic_axes(TYPES) == {
        "audio": {0: "batch", 1: "audio_time"},
        "audio_length": {0: "batch"},
        "tokens": {0: "batch", 1: "tokens"},
        "token_length": {0: "batch"},
        "image": {0: "batch", 2: "image_height", 3: "image_width"},
        "scale": {},
    }


def test_two_free_axes_of_one_kind_have_two_names():
    assert dynamic_axes({"scores": NeuralType(("B", "T", "T"), nt.Logits())}) == {
        "scores": {0: "batch", 1: "scores_time", 2: "scores_time_2"}
    }


def test_free_axes_export_a_model_for_every_size():
    class Net(nn.Module):
        def forward(self, audio):
            return audio.mean(dim=1)

    types = {"audio": TYPES["audio"]}
    batch = synthetic_batch(types, {"B": 3, "T": 50})
    program = torch.export.export(Net(), (batch["audio"],), dynamic_shapes=dynamic_shapes(types))
    assert program.module()(torch.ones(5, 70)).shape == (5,)


def test_sizes_from_the_most_to_the_least_specific():
    batch = synthetic_batch(TYPES, {"B": 4, "T": 100, "tokens": 7, "clips": {"T": 9}, "image": {"H": 5, "B": 1}})
    assert batch["audio"].shape == (4, 100)
    assert batch["tokens"].shape == (4, 7)
    assert batch["image"].shape[:3] == (1, 3, 5)
    assert [clip.shape for clip in batch["clips"]] == [(9,)] * 4
    assert batch["scale"].shape == ()


@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**31))
def test_lengths_belong_to_their_tensors(items, frames, tokens, seed):
    batch = synthetic_batch(TYPES, {"B": items, "T": frames, "tokens": tokens}, seed=seed)
    assert batch["audio_length"].max() == frames
    assert batch["token_length"].max() == tokens
    for name in ("audio_length", "token_length"):
        assert batch[name].min() >= 1
        assert batch[name].dtype == torch.int64


def test_the_seed_decides():
    one, same, other = (synthetic_batch(TYPES, seed=seed)["audio"] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    before = torch.random.get_rng_state()
    synthetic_batch(TYPES)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("element", "holds"),
    [
        (nt.AudioSignal, lambda x: x.abs().max() <= 1 and x.std() > 0),
        (nt.MelSpectrogram, lambda x: x.is_floating_point()),
        (nt.Labels, lambda x: x.dtype == torch.int64 and x.min() >= 0 and x.max() < 5),
        (nt.TokenIndex, lambda x: x.max() < 5),
        (nt.RegressionValues, lambda x: x.is_floating_point()),
        (nt.Mask, lambda x: x.dtype == torch.bool and bool((x[..., :-1] >= x[..., 1:]).all())),
        (nt.Probs, lambda x: torch.allclose(x.sum(1), torch.ones(()))),
        (nt.LogProbs, lambda x: torch.allclose(x.exp().sum(1), torch.ones(()))),
        (nt.ImageValue, lambda x: x.min() >= 0 and x.max() > 1),
        (nt.NormalizedImageValue, lambda x: x.min() >= 0 and x.max() <= 1),
        (nt.TokenDuration, lambda x: x.min() >= 1),
        (nt.Bool, lambda x: x.dtype == torch.bool),
    ],
)
def test_values_are_plausible(element, holds):
    batch = synthetic_batch({"x": NeuralType(("B", "D", "T"), element())}, {"B": 2, "D": 3, "T": 40}, classes=5)
    assert holds(batch["x"])


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("axes", [(), ("B",), ("B", "T"), ("[B]", "T", "ANY")])
def test_every_type_has_values_of_its_shape(element, axes):
    value = synthetic_batch({"x": NeuralType(axes, element())}, {"B": 2})["x"]
    if axes[:1] == ("[B]",):
        assert len(value) == 2
    elif not issubclass(element, nt.String):
        assert value.ndim == len(axes)


def test_types_of_others_get_the_values_of_their_parents():
    class BirdCall(nt.AudioSignal):
        species: str | None = None

    assert synthetic_batch({"x": NeuralType(("T",), BirdCall())})["x"].abs().max() <= 1


def test_optional_ports_can_be_left_out():
    assert "scale" not in synthetic_batch(TYPES, include_optional=False)
    assert "audio" in synthetic_batch(TYPES, include_optional=False)


def test_nested_containers():
    batch = synthetic_batch({"x": [(TYPES["audio"], TYPES["audio_length"])]}, {"B": 3, "T": 4})
    assert len(batch["x"]) == 3
    assert batch["x"][0][0].shape == (3, 4)


def test_unknown_sizes_are_refused():
    with pytest.raises(NeuralTypeError, match="Q is neither an axis nor a port"):
        synthetic_batch(TYPES, {"Q": 3})
