from __future__ import annotations

import pickle

import pytest

from nemo_core.errors import NeuralTypeError
from nemo_core.types import Axis, AxisKind, AxisType


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ("b B n batch Batch", AxisKind.Batch),
        ("t T time t_audio T_SPEC", AxisKind.Time),
        ("d D c C channel dimension", AxisKind.Dimension),
        ("w width", AxisKind.Width),
        ("h height", AxisKind.Height),
        ("s singleton", AxisKind.Singleton),
        ("seq SEQUENCE", AxisKind.Sequence),
        ("flowgroup", AxisKind.FlowGroup),
        ("any ANY", AxisKind.Any),
    ],
)
def test_every_label_of_a_kind_is_read(labels, kind):
    assert {AxisKind.from_str(label) for label in labels.split()} == {kind}
    assert AxisKind.from_str(str(kind)) is kind


def test_channel_is_another_name_of_dimension():
    assert AxisKind.Channel is AxisKind.Dimension


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("B", Axis(AxisKind.Batch)),
        ("D:80", Axis("D", 80)),
        (" t : frames ", Axis("T", "frames")),
        ("[B]", Axis("B", is_list=True)),
        ("S", Axis("S", 1)),
    ],
)
def test_short_forms(text, axis):
    assert Axis.of(text) == axis
    assert Axis.of(str(axis)) == axis


@pytest.mark.parametrize(
    "text", ["", "Q", "B:", "[B", "B]", "D:-1", "B T", "t_", 3, None, "[B:3]", "S:2", "D:8x", "\N{SUPERSCRIPT TWO}"]
)
def test_what_is_no_axis_is_refused_with_a_hint(text):
    with pytest.raises(NeuralTypeError) as caught:
        Axis.of(text)
    assert caught.value.hint


@pytest.mark.parametrize("size", [-1, 1.5, True, "two words"])
def test_sizes_are_lengths_or_names(size):
    with pytest.raises(NeuralTypeError):
        Axis("D", size)


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        ("B", "B", True),
        ("B", "T", False),
        ("ANY", "T", True),
        ("D:80", "D", True),
        ("D:80", "D:64", False),
        ("D:80", "D:n", True),
        ("T:a", "T:b", True),
        ("ANY:80", "D:64", False),
        ("[B]", "B", False),
        ("S", "D:2", False),
    ],
)
def test_fits_is_symmetric_and_looks_at_kind_size_and_list(one, other, fits):
    assert Axis.of(one).fits(Axis.of(other)) is fits
    assert Axis.of(other).fits(Axis.of(one)) is fits


def test_axes_are_immutable_values():
    axis = Axis("D", 80)
    with pytest.raises(AttributeError, match="immutable"):
        axis.size = 3
    with pytest.raises(AttributeError, match="immutable"):
        del axis.size
    assert pickle.loads(pickle.dumps(axis)) == axis
    assert axis != "D:80"
    assert repr(axis) == "Axis('D:80')"
    assert AxisType is Axis
