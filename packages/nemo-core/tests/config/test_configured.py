from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pytorch_lightning import LightningModule

from nemo_core.config import Configured, Trust, import_path, instantiate
from nemo_core.errors import ConfigError
from nemo_core.plugins import Registry


class Kind(Enum):
    CONV = "conv"


class Block(torch.nn.Module, Configured):
    def __init__(self, width, depth=2, *, kind="conv", **options):
        super().__init__()
        self.layer = torch.nn.Linear(width, depth)
        options.clear()


class Deep(Block):
    def __init__(self, width):
        super().__init__(width, 7, kind="attention")


class Variadic(Configured):
    def __init__(self, first, *rest, last=None):
        self.first, self.rest, self.last = first, rest, last


class Positional(Configured):
    def __init__(self, a, /, b):
        self.a, self.b = a, b


class Net(LightningModule, Configured):
    def __init__(self, block, labels):
        super().__init__()
        self.save_hyperparameters("labels")
        self.block = block
        labels.append("changed by the constructor")


@dataclass(frozen=True)
class Frozen(Configured):
    a: int
    b: tuple[int, ...] = ()


class Plain(Configured):
    def __init__(self, **values):
        self.values = values


@pytest.fixture
def registry():
    registry = Registry()
    for cls in (Block, Deep, Variadic, Positional, Net, Frozen, Plain):
        registry.module(f"test.{cls.__name__}", f"{cls.__module__}:{cls.__qualname__}")
    return registry


def test_names_positional_arguments_and_writes_no_defaults(registry):
    assert Block(3, kind="x", extra=1).to_config(registry=registry) == {
        "_target_": "test.Block",
        "width": 3,
        "kind": "x",
        "extra": 1,
    }


def test_the_outermost_construction_is_what_counts(registry):
    assert Deep(3).to_config(registry=registry) == {"_target_": "test.Deep", "width": 3}


def test_arguments_without_a_name_go_by_position(registry):
    assert Variadic(1, 2, 3, last=4).to_config(registry=registry) == {
        "_target_": "test.Variadic",
        "_args_": [1, 2, 3],
        "last": 4,
    }
    assert Variadic(1).to_config(registry=registry) == {"_target_": "test.Variadic", "first": 1}
    assert Positional(1, b=2).to_config(registry=registry) == {"_target_": "test.Positional", "_args_": [1, 2]}


def test_the_record_is_of_what_was_given_not_of_what_became_of_it(registry):
    labels = ["a"]
    net = Net(Block(3), labels)
    labels.append("changed by the caller")
    assert net.to_config(registry=registry)["labels"] == ["a"]


def test_an_exchanged_part_is_described_as_it_is(registry):
    net = Net(Block(3), [])
    net.block = Block(5)
    assert net.to_config(registry=registry)["block"] == {"_target_": "test.Block", "width": 5}


def test_survives_pickle_and_deepcopy(registry):
    net = Net(Block(3), ["a"])
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert twin.to_config(registry=registry) == net.to_config(registry=registry)
        twin.block = Block(9)
    assert net.to_config(registry=registry)["block"]["width"] == 3


def test_the_record_registers_no_submodules_and_leaves_hyperparameters_alone():
    net = Net(Block(3), ["a"])
    assert list(dict(net.named_modules())) == ["", "block", "block.layer"]
    assert list(net.state_dict()) == ["block.layer.weight", "block.layer.bias"]
    assert list(net.hparams) == ["labels"]


def test_signatures_are_those_of_the_constructors():
    assert str(inspect.signature(Block)) == "(width, depth=2, *, kind='conv', **options)"
    assert str(inspect.signature(Frozen)).startswith("(a:")
    with pytest.raises(TypeError, match="width"):
        Block()


def test_works_with_frozen_dataclasses(registry):
    config = Frozen(1, b=(2, 3)).to_config(registry=registry)
    assert config == {"_target_": "test.Frozen", "a": 1, "b": [2, 3]}


def test_values_become_what_yaml_holds(registry):
    written = Plain(
        path=Path("a/b"), kind=Kind.CONV, number=np.int64(3), real=np.float32(0.5), config=OmegaConf.create({"x": [1]})
    ).to_config(registry=registry)
    assert written == {
        "_target_": "test.Plain",
        "path": "a/b",
        "kind": "conv",
        "number": 3,
        "real": 0.5,
        "config": {"x": [1]},
    }
    assert type(written["number"]) is int


@pytest.mark.parametrize("value", [object(), b"raw", {1, 2}, len, torch.zeros(1), {("a",): 1}, {"_target_": "x"}])
def test_what_cannot_be_written_is_named(registry, value):
    with pytest.raises(ConfigError, match=r"Plain\.deep\.inside\[1\]"):
        Plain(deep={"inside": [0, value]}).to_config(registry=registry)


def test_local_classes_and_bare_instances_are_refused(registry):
    class Local(Configured):
        pass

    with pytest.raises(ConfigError, match="inside a function"):
        Local().to_config(registry=registry)
    with pytest.raises(ConfigError, match="does not know how it was made"):
        Plain.__new__(Plain).to_config(registry=registry)


def test_unregistered_classes_go_by_import_path():
    assert Plain().to_config(registry=Registry())["_target_"] == import_path(Plain)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
OBJECTS = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=3).map(lambda values: Plain(**values)),
    lambda inner: st.dictionaries(KEYS, VALUES | inner | st.lists(inner, max_size=2), max_size=3).map(
        lambda values: Plain(**values)
    ),
    max_leaves=5,
)


@given(OBJECTS)
def test_what_is_written_builds_an_equal_object(built):
    registry = Registry()
    registry.module("test.Plain", f"{Plain.__module__}:Plain")
    config = built.to_config(registry=registry)
    again = instantiate(config, trust=Trust.archive(), registry=registry)
    assert again.to_config(registry=registry) == config
    assert type(again) is Plain
