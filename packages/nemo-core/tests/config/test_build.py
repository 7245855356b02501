from __future__ import annotations

import functools

import pytest
import torch
from omegaconf import OmegaConf

from nemo_core.config import Trust, check, instantiate
from nemo_core.config.build import plain
from nemo_core.errors import ConfigError, DataError, NemoError
from nemo_core.plugins import Registry


class Note:
    """Keeps what it is called with."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs


def fail(error):
    raise {"value": ValueError("bad value"), "data": DataError("bad data", hint="mend it")}[error]


@pytest.fixture
def registry():
    registry = Registry()
    registry.module("Note", f"{__name__}:Note")
    registry.module("fail", f"{__name__}:fail")
    registry.module("number", "math:pi")
    registry.module("gone", "nowhere.at.all:Gone")
    return registry


def build(node, registry, trust=None, **overrides):
    return instantiate(node, trust=trust or Trust.user(), registry=registry, **overrides)


def test_the_inside_is_built_first_and_data_stays_plain(registry):
    config = OmegaConf.create(
        {
            "rate": 16000,
            "note": {
                "_target_": "Note",
                "_args_": [1, {"_target_": "Note", "x": "${rate}"}],
                "items": [{"_target_": "torch.nn.ReLU"}, {"a": {"b": [1, 2]}}],
            },
        }
    )
    note = build(config.note, registry)
    assert note.args[0] == 1
    assert note.args[1].kwargs == {"x": 16000}
    assert isinstance(note.kwargs["items"][0], torch.nn.ReLU)
    assert note.kwargs["items"][1] == {"a": {"b": [1, 2]}}
    assert type(note.kwargs["items"]) is list
    assert type(note.kwargs["items"][1]) is dict


def test_plain_values_lists_and_dicts_of_nodes(registry):
    assert build(3, registry) == 3
    assert build(None, registry) is None
    assert [type(each) for each in build([{"_target_": "Note"}, {}], registry)] == [Note, dict]
    assert type(build({"a": ({"_target_": "Note"},)}, registry)["a"][0]) is Note


def test_partial(registry):
    made = build({"_target_": "Note", "_partial_": True, "x": 1}, registry)
    assert isinstance(made, functools.partial)
    assert made(2).args == (2,)
    assert type(build({"_target_": "Note", "_partial_": False}, registry)) is Note


def test_overrides_are_used_as_they_are(registry):
    given = {"_target_": "os.system"}  # an object of the caller's; not a node
    note = build({"_target_": "Note", "x": 1}, registry, x=given, y=2)
    assert note.kwargs == {"x": given, "y": 2}
    with pytest.raises(ConfigError, match="_target_"):
        build([1], registry, x=3)


def test_nothing_is_changed(registry):
    node = {"_target_": "Note", "a": [{"_target_": "Note"}]}
    build(node, registry)
    assert node == {"_target_": "Note", "a": [{"_target_": "Note"}]}


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (
            {"a": [{"_target_": "torch.nn.Linear", "in_features": 3}]},
            r"a\[0\]: torch.nn.Linear cannot be built",
        ),
        ({"x": {"_target_": "fail", "error": "value"}}, "x: fail cannot be built: ValueError: bad value"),
        ({"_target_": "number"}, "float, which cannot be called"),
        ({"_target_": "gone"}, "nowhere"),
        (OmegaConf.create({"_target_": "Note", "x": "???"}), "x"),
        (OmegaConf.create({"_target_": "Note", "x": "${y}"}), "y"),
        (OmegaConf.create({"_target_": "Note", "x": "${x}"}), "x"),
    ],
)
def test_errors_say_where(registry, node, words):
    with pytest.raises(NemoError, match=words):
        build(node, registry)


def test_errors_of_the_framework_pass_unchanged(registry):
    with pytest.raises(DataError, match="bad data") as raised:
        build({"a": {"_target_": "fail", "error": "data"}}, registry)
    assert raised.value.hint == "mend it"


def test_check_finds_all_problems_with_their_paths(registry):
    node = {"a": {"_target_": "os.system"}, "b": [{"_target_": 3}, {"_target_": "Nte"}], "c": {"_target_": "Note"}}
    problems = check(node, Trust.user(), registry=registry, path="model")
    assert [problem.path for problem in problems] == ["model.a", "model.b[0]", "model.b[1]"]
    assert problems[2].hint == "did you mean Note?"


def test_plain():
    assert plain(OmegaConf.create({"a": "${b}", "b": 1})) == {"a": 1, "b": 1}
    assert plain(OmegaConf.create({"a": "???"}), missing=True) == {"a": "???"}
    assert plain([1]) == [1]
