from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nemo_core.types as nt
from nemo_core.errors import NeuralTypeError
from nemo_core.types import Axis, AxisKind, Comparison, NeuralType, compare
from nemo_core.types import elements as e
from nemo_core.types.neural_type import advice, permutation

ELEMENTS = sorted(
    {value for name in e.__all__ if isinstance(value := getattr(e, name), type)}, key=lambda cls: cls.__name__
)


@st.composite
def axis(draw, is_list=False):
    kind = draw(st.sampled_from(list(AxisKind)))
    size = None
    if not is_list and kind is not AxisKind.Singleton:
        size = draw(st.none() | st.integers(0, 3) | st.sampled_from(["frames", "tokens"]))
    return Axis(kind, size, is_list)


@st.composite
def element(draw):
    cls = draw(st.sampled_from(ELEMENTS))
    return cls(**{name: draw(st.none() | st.integers(1, 3)) for name in cls._fields})


@st.composite
def neural_type(draw):
    lists = draw(st.lists(axis(is_list=True), max_size=2))
    tensor = draw(st.lists(axis(), max_size=4))
    axes = draw(st.sampled_from([None, (*lists, *tensor), tuple(tensor)]))
    return NeuralType(axes, draw(element()), draw(st.booleans()))


def of(axes, element=nt.Channel):
    return NeuralType(None if axes is None else tuple(axes.split()), element)


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        (of("B D T"), of("B D T"), Comparison.SAME),
        (of("B D T", nt.MFCC), of("B D T", nt.Spectrogram), Comparison.LESS),
        (of("B D T", nt.Spectrogram), of("B D T", nt.MFCC), Comparison.GREATER),
        (of("B D T"), of("B T D"), Comparison.TRANSPOSE_SAME),
        (of("B D T"), of("D T B"), Comparison.TRANSPOSE_SAME),
        (of("B D T"), of("B T"), Comparison.DIM_INCOMPATIBLE),
        (of("B D T"), of("B D W"), Comparison.DIM_INCOMPATIBLE),
        (of("B D T", nt.MFCC), of("B T D", nt.Spectrogram), Comparison.INCOMPATIBLE),
        (of("B", nt.Lengths), of("B", nt.Labels), Comparison.INCOMPATIBLE),
        (of("B T", nt.AudioSignal(8000)), of("B T", nt.AudioSignal(16000)), Comparison.SAME_TYPE_INCOMPATIBLE_PARAMS),
        (of(None), of("B D T"), Comparison.SAME),
        (of(None, nt.MFCC), of("B D T", nt.Lengths), Comparison.INCOMPATIBLE),
        (of("", nt.Loss), of("", nt.Loss), Comparison.SAME),
        (of("B D T", nt.Void), of("B D T", nt.MFCC), Comparison.SAME),
        # The traps of NeMo: an Any axis must not pardon the axes beside it,
        (of("T ANY"), of("B B"), Comparison.DIM_INCOMPATIBLE),
        (of("B ANY D"), of("T D D"), Comparison.DIM_INCOMPATIBLE),
        (of("B ANY T"), of("B D T"), Comparison.SAME),
        # axes of one kind must not collapse when orders are compared,
        (of("D D T"), of("D T T"), Comparison.DIM_INCOMPATIBLE),
        (of("B D D"), of("D B D"), Comparison.TRANSPOSE_SAME),
        # and sizes count.
        (of("B D:80 T"), of("B D:64 T"), Comparison.DIM_INCOMPATIBLE),
        (of("B D:80 T"), of("B D T"), Comparison.SAME),
        (of("B D:80 D:64"), of("B D:64 D:80"), Comparison.TRANSPOSE_SAME),
        (of("[B] T"), of("B T"), Comparison.DIM_INCOMPATIBLE),
        (of("B S"), of("B D"), Comparison.DIM_INCOMPATIBLE),
        (of("B FLOWGROUP"), of("B FLOWGROUP"), Comparison.SAME),
    ],
)
def test_comparison(one, other, answer):
    assert one.compare(other) is answer
    assert other.compare(one) is answer.mirrored


@given(neural_type(), neural_type())
def test_comparing_has_no_favourite_side(one, other):
    assert one.compare(other) is other.compare(one).mirrored


@given(neural_type())
def test_every_type_is_the_same_as_itself(one):
    assert one.compare(one) is Comparison.SAME
    assert one.accepts(one)


@given(neural_type(), neural_type())
def test_equality_is_a_truth_and_agrees_with_the_hash(one, other):
    assert (one == other) in (True, False)
    assert (one == other) == ((one.axes, one.element, one.optional) == (other.axes, other.element, other.optional))
    if one == other:
        assert hash(one) == hash(other)
        assert one.compare(other) is Comparison.SAME


@given(neural_type())
def test_text_pickle_and_copy_give_the_same_type(one):
    assert NeuralType.parse(str(one)) == one
    assert pickle.loads(pickle.dumps(one)) == one
    assert eval(repr(one), {"NeuralType": NeuralType, **vars(nt)}) == one
    assert copy.deepcopy(one) is one


def test_hashes_are_made_anew_in_another_process():
    kind = NeuralType(("B", "T:frames"), nt.AudioSignal(16000))
    code = (
        "import pickle, sys\nfrom nemo_core.types import *\n"
        "read = pickle.load(sys.stdin.buffer)\n"
        "assert read in {NeuralType(('B', 'T:frames'), AudioSignal(16000))}"
    )
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(kind), check=True)


def test_axes_may_be_written_in_several_ways():
    assert NeuralType((Axis("B"), AxisKind.Time), nt.Void()) == NeuralType(["B", "t"], nt.Void)
    assert NeuralType() == NeuralType(None, nt.Void())
    assert NeuralType(("[B]", "D", "T")).rank == 2
    assert NeuralType().rank is None
    assert NeuralType(("B",), nt.Lengths()).elements_type == nt.Lengths()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: NeuralType("BDT"), "one text"),
        (lambda: NeuralType(("B", "[T]")), r"list axis \[T\] follows tensor axis B"),
        (lambda: NeuralType(("B",), "Lengths"), "not an element type"),
        (lambda: NeuralType(("B",), int), "not an element type"),
        (lambda: NeuralType((["B"],)), "axes"),
        (lambda: NeuralType(3), "axes"),
        (lambda: NeuralType(("B", "Q")), "'Q' is not an axis"),
        (lambda: NeuralType.parse("B D T Spectrogram"), "not a neural type"),
        (lambda: NeuralType.parse("(B) Lenghts"), "no element type is called Lenghts\n  did you mean Lengths?"),
        (lambda: NeuralType.parse("(B) AudioSignal(freq=open('x'))"), "not plain values"),
        (lambda: NeuralType.parse("(B) AudioSignal(1), g(2)"), "not plain values"),
        (lambda: NeuralType.parse("(B) AudioSignal(rate=3)"), "its parameters are freq"),
    ],
)
def test_what_is_no_type_is_refused(make, says):
    with pytest.raises(NeuralTypeError, match=says):
        make()


def test_an_element_name_that_two_classes_share_is_refused():
    class Twin(nt.ElementType): ...

    first = Twin

    class Twin(nt.ElementType): ...

    with pytest.raises(NeuralTypeError, match="several element types are called Twin"):
        NeuralType.parse("(B) Twin")
    assert first is not Twin


A, B, C = of("B", nt.MFCC), of("B", nt.Spectrogram), of("B T", nt.MFCC)


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        ([A], [A], Comparison.SAME),
        ([A], [B], Comparison.LESS),
        ((A, A), (B, A), Comparison.LESS),
        ((A, B), (B, A), Comparison.INCOMPATIBLE),
        ([A], A, Comparison.CONTAINER_SIZE_MISMATCH),
        ([[A]], [A], Comparison.CONTAINER_SIZE_MISMATCH),
        ((A,), (A, A), Comparison.CONTAINER_SIZE_MISMATCH),
        ((A,), [A], Comparison.CONTAINER_SIZE_MISMATCH),
        ([[A]], [[C]], Comparison.DIM_INCOMPATIBLE),
        (A, None, Comparison.UNCHECKED),
    ],
)
def test_containers(one, other, answer):
    assert compare(one, other) is answer
    assert compare(other, one) is answer.mirrored


@pytest.mark.parametrize(
    ("declared", "given", "says"),
    [
        (of("B D T"), of("B T D"), r".transpose(1, 2)"),
        (of("B D T"), of("D T B"), r".permute(2, 0, 1)"),
        (of("B D:80 T"), of("B D:64 T"), "axis 1 is D:64, wanted D:80"),
        (of("B D T"), of("B D"), "it has 2 axes, wanted 3"),
        (of("B T", nt.AudioSignal(8000)), of("B T", nt.AudioSignal(16000)), "freq is 16000, wanted 8000"),
        (of("B", nt.MFCC), of("B", nt.Spectrogram), "Spectrogram is more general than MFCC"),
        ([A], A, "containers differ"),
    ],
)
def test_advice_says_what_is_in_the_way(declared, given, says):
    assert says in advice(declared, given)


@given(neural_type(), neural_type())
def test_the_advised_order_is_the_wanted_one(one, other):
    order = permutation(one.axes or (), other.axes or ())
    if order is not None:
        assert sorted(order) == list(range(len(order)))
        assert all((one.axes or ())[j].fits((other.axes or ())[i]) for i, j in enumerate(order))


def test_nemo_names_are_importable():
    assert nt.NeuralTypeComparisonResult.SAME.value == 0
    assert [c.value for c in nt.NeuralTypeComparisonResult] == list(range(9))
    assert nt.typecheck is nt.typed
