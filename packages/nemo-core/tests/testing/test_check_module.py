"""What :func:`check_module` demands of a module."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nemo_core.modules import NeuralModule
from nemo_core.testing import check_module
from nemo_core.types import Logits, NeuralType, typed

IMPORTS = """
from torch import Tensor, nn
from nemo_core.modules import NeuralModule
from nemo_core.types import Logits, NeuralType, typed
"""


class Sound(NeuralModule):
    """Keeps all its promises."""

    input_types = output_types = {"logits": NeuralType(("B", "D:4"), Logits())}

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4, bias=bias)
        self.dropout = nn.Dropout(0.5)

    @typed
    def forward(self, logits: Tensor) -> Tensor:
        return self.dropout(self.linear(logits))


class Untyped(Sound):
    """Checks nothing."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits


class Undeclared(Sound):
    """Says nothing of what it gives."""

    output_types = {}


class Transposed(Sound):
    """Gives its axes in another order."""

    @typed
    def forward(self, logits: Tensor) -> Tensor:
        return logits.T


class Unsaved(Sound):
    """Has state that is not in the state_dict."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.randn(())

    @typed
    def forward(self, logits: Tensor) -> Tensor:
        return self.linear(logits) * self.scale


class Growing(Sound):
    """Each instance has other weights."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        setattr(self, f"extra{self.made}", nn.Linear(1, 1))


class Changing(Sound):
    """Takes an argument that configurations cannot hold."""

    def __init__(self, activation: object = torch.relu) -> None:
        super().__init__()


def test_a_sound_module_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A configuration names its class by import path, and pytest gives test files none: so it moves to a module.
    (tmp_path / "sound_modules.py").write_text(f"{IMPORTS}\n\n{inspect.getsource(Sound)}")
    monkeypatch.syspath_prepend(str(tmp_path))
    sound = importlib.import_module("sound_modules").Sound
    check_module(sound)
    check_module(lambda: sound(bias=False), sizes={"B": 5})


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Untyped, "logits with an axis too many is accepted; is forward @typed"),
        (Undeclared, "declares no output_types"),
        (Transposed, r"(?s)made-up inputs: .*does not fit Transposed.logits"),
        (Unsaved, "output 0 differs after weights were saved and loaded"),
        (Growing, "not among the saved weights: extra"),
        (nn.Identity, "Identity is not a NeuralModule"),
    ],
)
def test_others_do_not(module: type, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_module(module)


def test_what_cannot_be_written_is_found() -> None:
    with pytest.raises(Exception, match="activation"):
        check_module(lambda: Changing(activation=torch.tanh))


def test_names_are_looked_up() -> None:
    with pytest.raises(AssertionError, match=r"nothing is registered as frogs\.Encoder"):
        check_module("frogs.Encoder")
