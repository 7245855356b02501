from __future__ import annotations

import copy
import functools
import pickle

import pytest
import torch
from torch import nn

from nemo_core.errors import NemoError, NeuralTypeError
from nemo_core.modules import Loss, NeuralModule
from nemo_core.types import AudioSignal, Lengths, MelSpectrogram, NeuralType, RegressionValues, typed


class Bands(NeuralModule):
    output_types = {"features": NeuralType(("B", "D", "T"), MelSpectrogram()), "length": NeuralType(("B",), Lengths())}

    def __init__(self, bands: int, *, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, bands, 1, bias=bias)
        self.drop = nn.Dropout()

    @functools.cached_property
    def input_types(self):
        return {
            "audio": NeuralType(("B", "T"), AudioSignal(8000)),
            "length": NeuralType(("B",), Lengths(), optional=True),
            "gain": NeuralType((), RegressionValues()),
        }

    @typed
    def forward(self, audio, length=None, gain=1.0):
        return self.conv(audio[:, None]) * gain, length if length is not None else torch.full((len(audio),), 3)


def test_ports_have_names_types_and_say_what_may_be_left_out():
    module = Bands(3)
    assert list(module.inputs) == ["audio", "length", "gain"]
    assert [module.inputs[name].optional for name in module.inputs] == [False, True, True]
    assert module.outputs.features is not module.inputs.audio
    assert str(module.outputs.features) == "bands.features (B, D, T) MelSpectrogram"
    assert "features" in module.outputs
    assert "features" in dir(module.outputs)
    assert module.outputs["features"].type == module.output_types["features"]


@pytest.mark.parametrize("ask", [lambda ports: ports.feature, lambda ports: ports["feature"]])
def test_a_wrong_port_name_lists_the_ports(ask):
    with pytest.raises(NeuralTypeError, match=r"bands\.outputs has no port 'feature'") as caught:
        ask(Bands(3).outputs)
    assert "did you mean features?" in caught.value.hint
    assert "length (B) Lengths" in caught.value.hint
    assert not hasattr(Bands(3).outputs, "feature")


def test_a_port_may_have_any_name():
    class Attention(NeuralModule):
        input_types = {
            name: NeuralType(("B", "T", "D"), RegressionValues()) for name in ("query", "keys", "values", "items")
        }

    ports = Attention().inputs
    assert [ports.query.name, ports.keys.name, ports.values.name, ports.items.name] == list(ports)


def test_a_module_without_types_has_no_ports():
    class Plain(NeuralModule): ...

    assert len(Plain().inputs) == len(Plain().outputs) == 0
    with pytest.raises(NemoError, match="declares no inputs"):
        Plain().inputs.x


def test_configuration_and_weights():
    module = Bands(bands=3, bias=False)
    assert module.num_weights == 3
    config = module.to_config()
    assert config.pop("_target_").endswith("Bands")
    assert config == {"bands": 3, "bias": False}


def test_shared_and_frozen_weights_count_once():
    class Twice(NeuralModule):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(2, 2)
            self.other = self.one

    module = Twice()
    module.freeze()
    assert module.num_weights == 6


def test_the_example_is_what_forward_takes():
    module = Bands(3).double()
    example = module.input_example({"B": 4, "T": 20})
    assert example["audio"].dtype == torch.float64
    assert example["length"].dtype == torch.int64
    assert module(**example)[0].shape == (4, 3, 20)
    assert torch.equal(example["audio"], module.input_example({"B": 4, "T": 20})["audio"])


def state(module):
    return [p.requires_grad for p in module.parameters()], [m.training for m in module.modules()]


def half_trained():
    module = Bands(3)
    module.conv.bias.requires_grad_(False)
    module.drop.eval()
    return module


def test_freeze_and_unfreeze_everything():
    module = half_trained()
    module.freeze()
    assert state(module) == ([False] * 2, [False] * 3)
    module.unfreeze()
    assert state(module) == ([True] * 2, [True] * 3)


def test_partial_unfreezing_puts_back_what_was():
    module = half_trained()
    before = state(module)
    module.freeze()
    module.freeze()  # must not take "frozen" for what was before
    module.unfreeze(partial=True)
    assert state(module) == before
    module.unfreeze(partial=True)  # nothing to put back
    assert state(module) == before


def test_as_frozen_nests_and_survives_errors():
    module = half_trained()
    before = state(module)
    with module.as_frozen():
        with pytest.raises(ZeroDivisionError), module.as_frozen():
            raise ZeroDivisionError
        assert state(module) == ([False] * 2, [False] * 3)
    assert state(module) == before


def test_as_frozen_around_freezing_keeps_the_memory():
    module = half_trained()
    before = state(module)
    module.freeze()
    with module.as_frozen():
        module.unfreeze()
        assert state(module)[0] == [True, True]
    assert state(module)[0] == [False, False]
    module.unfreeze(partial=True)
    assert state(module) == before


def test_integer_parameters_are_left_alone():
    module = Bands(3)
    module.table = nn.Parameter(torch.arange(3), requires_grad=False)
    module.freeze()
    module.unfreeze()
    assert not module.table.requires_grad


def test_parts_added_while_frozen_are_left_as_they_are():
    module = Bands(3)
    module.freeze()
    module.head = nn.Linear(2, 2)
    module.unfreeze(partial=True)
    assert module.head.weight.requires_grad


def test_copies_and_pickles_keep_ports_and_configuration():
    for module in (copy.deepcopy(Bands(3)), pickle.loads(pickle.dumps(Bands(3)))):
        assert module.to_config()["bands"] == 3
        assert module(torch.zeros(2, 4))[0].neural_type == module.output_types["features"]


def test_a_loss_gives_a_scalar():
    class Wrong(Loss):
        input_types = {"x": NeuralType(("B",), RegressionValues())}

        @typed
        def forward(self, x):
            return x

    assert Wrong().outputs.loss.type.rank == 0
    with pytest.raises(NeuralTypeError, match=r"Tensor of shape \(3\) does not fit Wrong.loss \(\) Loss"):
        Wrong()(torch.zeros(3))
