from __future__ import annotations

import asyncio
import collections
import copy
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nemo_core.errors import NeuralTypeError
from nemo_core.types import (
    AcousticEncoded,
    Channel,
    Float,
    Lengths,
    LogProbs,
    MelSpectrogram,
    NeuralType,
    Spectrogram,
    Void,
    typecheck,
    typed,
)

FEATURES = NeuralType(("B", "D", "T"), Spectrogram())
LENGTH = NeuralType(("B",), Lengths())
ENCODED = NeuralType(("B", "D", "T"), AcousticEncoded())
Result = collections.namedtuple("Result", ["length", "encoded"])


class Encoder(nn.Module):
    input_types = {"features": FEATURES, "length": LENGTH}
    output_types = {"encoded": ENCODED, "length": LENGTH}

    @typed
    def forward(self, features, length):
        return features * 2, length + 0


class Front(nn.Module):
    input_types = {"audio": NeuralType(("B", "T"), Channel())}
    output_types = {"features": NeuralType(("B", "D", "T"), MelSpectrogram(n_mels=3))}

    @typed
    def forward(self, audio):
        return audio[:, None] * torch.ones(3, 1)


def features(*shape):
    return torch.zeros(shape or (2, 3, 4))


def module(inputs: dict[str, Any], outputs: dict[str, Any], forward) -> nn.Module:
    return type("Module", (nn.Module,), {"input_types": inputs, "output_types": outputs, "forward": typed(forward)})()


LENGTHS = torch.tensor([4, 2])


# --- What passes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m(features(), LENGTHS),
        lambda m: m(features(), length=LENGTHS),
        lambda m: m(length=LENGTHS, features=features()),
    ],
)
def test_arguments_by_position_and_by_name(call):
    encoded, length = call(Encoder())
    assert (encoded.neural_type, length.neural_type) == (ENCODED, LENGTH)
    assert encoded.neural_port == "Encoder.encoded"


def test_both_forms_of_the_decorator_and_types_of_its_own():
    class Model(nn.Module):
        input_types = output_types = None

        @typed()
        def forward(self, anything):
            return anything

        @typed(input_types={"features": FEATURES}, output_types={"encoded": ENCODED})
        def encode(self, features):
            return features * 1

    assert Model()(3) == 3
    assert Model().encode(features()).neural_type == ENCODED
    with pytest.raises(NeuralTypeError, match=r"Model.features"):
        Model().encode(LENGTHS)


def test_a_subtype_fits_and_an_operation_drops_the_type():
    out = Front()(torch.zeros(2, 4))
    Encoder()(out, LENGTHS)
    assert not hasattr(out * 2, "neural_type")


def test_numpy_arrays_are_checked_too():
    class Double:
        input_types, output_types = {"x": FEATURES}, {"y": FEATURES}

        @typed
        def forward(self, x):
            return x * 2

    assert Double().forward(np.zeros((1, 2, 3))).shape == (1, 2, 3)
    with pytest.raises(NeuralTypeError, match=r"ndarray of shape \(1, 2\)"):
        Double().forward(np.zeros((1, 2)))


@pytest.mark.parametrize(
    "result",
    [
        lambda x, n: (x, n),
        lambda x, n: [x, n],
        lambda x, n: {"length": n, "encoded": x},
        lambda x, n: Result(n, x),
        lambda x, n: Both(encoded=x, length=n),
    ],
)
def test_outputs_in_every_container(result):
    m = module({}, Encoder.output_types, lambda self: result(features() * 1, LENGTHS + 0))
    made = m()
    values = made.values() if isinstance(made, dict) else vars(made).values() if isinstance(made, Both) else made
    assert {value.neural_type for value in values} == {ENCODED, LENGTH}


@dataclass
class Both:
    encoded: torch.Tensor
    length: torch.Tensor


def test_optional_inputs_and_outputs_may_lack():
    optional = NeuralType(("B",), Lengths(), optional=True)
    m = module(
        {"x": FEATURES, "n": optional},
        {"y": FEATURES, "n": optional},
        lambda self, x, n=None: (x * 1, n) if n is None else (x,),
    )
    assert m(features())[1] is None
    assert m(features(), None)[1] is None
    assert len(m(features(), n=LENGTHS)) == 1


def test_a_default_of_none_admits_none_and_undeclared_arguments_pass():
    m = module({"x": FEATURES, "n": LENGTH}, {}, lambda self, x, n=None, *, scale=1: (n, scale))
    assert m(features()) == (None, 1)
    assert m(features(), None, scale="big") == (None, "big")


def test_scalars():
    m = module({"rate": NeuralType((), Float())}, {}, lambda self, rate: rate)
    assert m(0.5) == 0.5
    with pytest.raises(NeuralTypeError, match="str does not fit"):
        m("fast")


def test_variadic_forward_takes_declared_names_in_order():
    m = module({"x": FEATURES, "n": LENGTH}, {}, lambda self, *args, **kwargs: (args, kwargs))
    m(features(), LENGTHS)
    m(features(), n=LENGTHS)
    with pytest.raises(NeuralTypeError, match=r"Module.n \(B\) Lengths"):
        m(features(), features())


def test_lists_and_nested_containers():
    clips = NeuralType(("[B]", "T"), Channel())
    m = module(
        {"clips": clips, "pairs": [(FEATURES, LENGTH)]},
        {"clips": clips, "layers": [ENCODED]},
        lambda self, clips, pairs: ([c + 1 for c in clips], [x + 1 for x, _ in pairs]),
    )
    out, layers = m([torch.zeros(3), torch.zeros(5)], [(features(), LENGTHS)] * 2)
    assert [c.neural_type for c in out] == [NeuralType(("T",), Channel())] * 2
    assert [layer.neural_type for layer in layers] == [ENCODED] * 2
    for clip, pair in [
        (torch.zeros(3), []),
        ([torch.zeros(3, 3)], []),
        ([], [(features(),)]),
        ([], [(LENGTHS, features())]),
        ([], [features()]),
        ([], {"a": 1}),
    ]:
        with pytest.raises(NeuralTypeError):
            m(clip, pair)


# --- What is refused -------------------------------------------------------------------------------------------------


def refused(call, *says):
    with pytest.raises(NeuralTypeError) as caught:
        call()
    for text in says:
        assert text in str(caught.value)


def test_wrong_rank():
    refused(
        lambda: Encoder()(features(3, 4), LENGTHS),
        "Tensor of shape (3, 4) does not fit Encoder.features (B, D, T) Spectrogram",
        "it has 2 axes, wanted 3",
        ".unsqueeze(0)",
    )


def test_wrong_element_type_names_both_ports_and_both_types():
    encoded, length = Encoder()(features(), LENGTHS)
    refused(
        lambda: Encoder()(encoded, length),
        "Encoder.encoded (B, D, T) AcousticEncoded",
        "does not fit Encoder.features (B, D, T) Spectrogram",
    )


def test_wrong_axis_order_of_a_typed_tensor():
    class TimeFirst(Front):
        output_types = {"features": NeuralType(("B", "T", "D"), Spectrogram())}

        @typed
        def forward(self, audio):
            return audio[:, :, None] * torch.ones(3)

    out = TimeFirst()(torch.zeros(2, 4))
    refused(
        lambda: Encoder()(out, LENGTHS),
        "TimeFirst.features (B, T, D) Spectrogram",
        "Encoder.features",
        ".transpose(1, 2)",
    )
    Encoder()(out.transpose(1, 2), LENGTHS)


def test_wrong_size_and_axis_order_of_a_plain_tensor():
    m = module({"x": NeuralType(("B", "D:80", "T"), Spectrogram())}, {}, lambda self, x: x)
    m(features(2, 80, 5))
    refused(lambda: m(features(2, 64, 5)), "axis 1 has length 64, wanted 80")
    refused(lambda: m(features(2, 5, 80)), "axis 1 has length 5, wanted 80", ".transpose(1, 2) would fit")


def test_singleton_axes_have_length_one():
    m = module({"x": NeuralType(("B", "S"), Channel())}, {}, lambda self, x: x)
    m(features(4, 1))
    refused(lambda: m(features(4, 2)), "wanted 1")


def test_named_sizes_agree_within_a_call():
    named = NeuralType(("B:items", "D", "T:frames"), Spectrogram())
    lengths = NeuralType(("B:items",), Lengths())
    m = module(
        {"x": named, "n": lengths}, {"y": NeuralType(("T:frames",), Channel())}, lambda self, x, n: x[0, 0, : n[0]]
    )
    m(features(2, 3, 4), LENGTHS)
    m(features(1, 3, 4), LENGTHS[:1])  # another call, other sizes
    refused(lambda: m(features(3, 3, 4), LENGTHS), "'items' is 2 at axis 0, but 3 at Module.x axis 0")
    refused(
        lambda: m(features(2, 3, 5), LENGTHS),
        "does not fit Module.y",
        "'frames' is 4 at axis 0, but 5 at Module.x axis 2",
    )


def test_wrong_parameters():
    narrow = module({"x": NeuralType(("B", "D", "T"), MelSpectrogram(n_mels=64))}, {}, lambda self, x: x)
    refused(lambda: narrow(Front()(torch.zeros(2, 4))), "Front.features", "n_mels is 3, wanted 64")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: m(features()), ["Encoder.forward lacks length (B) Lengths"]),
        (lambda m: m(), ["lacks features (B, D, T) Spectrogram, length (B) Lengths"]),
        (lambda m: m(features(), lenght=LENGTHS), ["no input lenght", "did you mean length?"]),
        (lambda m: m(features(), LENGTHS, 3), ["takes 2 positional arguments, got 3"]),
        (lambda m: m(features(), LENGTHS, length=LENGTHS), ["got length both by position and by name"]),
        (lambda m: m(features(), None), ["None does not fit Encoder.length", "optional=True"]),
        (lambda m: m([1, 2], LENGTHS), ["list does not fit Encoder.features"]),
    ],
)
def test_wrong_arguments(call, says):
    refused(lambda: call(Encoder()), *says)


def test_a_missing_keyword_only_argument():
    m = module({"x": FEATURES, "n": LENGTH}, {}, lambda self, x, *, n: x)
    m(features(), n=LENGTHS)
    refused(lambda: m(features()), "lacks n (B) Lengths")


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (lambda x, n: x, "declares 2 outputs (encoded, length) but returned one Tensor"),
        (lambda x, n: (x,), "but returned 1"),
        (lambda x, n: (x, n, n), "but returned 3"),
        (lambda x, n: {"encoded": x}, "lacks length"),
        (lambda x, n: {"encoded": x, "length": n, "more": n}, "more"),
        (lambda x, n: (n, x), "does not fit Module.encoded"),
        (lambda x, n: (x, None), "None does not fit Module.length"),
    ],
)
def test_wrong_outputs(result, says):
    m = module({}, Encoder.output_types, lambda self: result(features() * 1, LENGTHS + 0))
    refused(m, says)


def test_an_output_that_another_module_typed_otherwise_is_refused():
    encoder = Encoder()
    m = module({}, {"log_probs": NeuralType(("B", "T", "D"), LogProbs())}, lambda self: encoder(features(), LENGTHS)[0])
    refused(m, "Encoder.encoded (B, D, T) AcousticEncoded", "Module.log_probs (B, T, D) LogProbs")


def test_an_output_keeps_the_more_special_type_it_came_with():
    out = Front()(torch.zeros(2, 4))
    m = module({"x": FEATURES}, {"y": FEATURES}, lambda self, x: x)
    assert m(out).neural_type.element == MelSpectrogram(n_mels=3)
    untyped = module({}, {"y": NeuralType(("B", "D", "T"), Void())}, lambda self, x: x)
    assert untyped(features()).neural_type.element == Void()


@pytest.mark.parametrize("types", [{"x": "BDT"}, {"x": []}, {"x": None}, {"y": FEATURES}])
def test_wrong_declarations(types):
    refused(lambda: module(types, {}, lambda self, x: x)(features()), "x")


def test_a_broken_types_property_is_not_taken_for_no_types():
    class Broken(nn.Module):
        output_types: dict[str, NeuralType] = {}

        @property
        def input_types(self):
            return {"x": self.no_such_thing}

        @typed
        def forward(self, x):
            return x

    with pytest.raises(AttributeError):
        Broken()(features())


def test_types_are_the_present_ones():
    class Sized(nn.Module):
        output_types: dict[str, NeuralType] = {}

        def __init__(self, size):
            super().__init__()
            self.size = size

        @property
        def input_types(self):
            return {"x": NeuralType(("B", f"D:{self.size}", "T"), Spectrogram())}

        @typed
        def forward(self, x):
            return x

    small, large = Sized(2), Sized(3)
    small(features(1, 2, 4))
    large(features(1, 3, 4))
    refused(lambda: small(features(1, 3, 4)), "wanted 2")
    small.size = 3
    small(features(1, 3, 4))


# --- Switches --------------------------------------------------------------------------------------------------------

WRONG = torch.zeros(3)


def fails() -> bool:
    try:
        Encoder()(WRONG, LENGTHS)
    except NeuralTypeError:
        return True
    return False


def test_switches_nest():
    with typed.disabled():
        with typed.disabled():
            assert not fails()
        assert not fails()
        with pytest.raises(ZeroDivisionError), typed.disabled():
            raise ZeroDivisionError
        assert not typed.enabled
    assert typed.enabled
    assert fails()


def test_shapes_only_leaves_element_types_alone_and_does_not_undo_disabled():
    encoded, length = Encoder()(features(), LENGTHS)
    with typed.shapes_only():
        Encoder()(encoded, length)
        assert fails()
        with typed.disabled(), typed.shapes_only():
            assert not fails()
    with typecheck.disable_checks(), typecheck.disable_semantic_checks():
        assert not fails()


def test_switches_belong_to_their_thread():
    inside, done, seen = threading.Event(), threading.Event(), []

    def other():
        inside.wait(10)
        seen.append(fails())
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with typed.disabled():
        inside.set()
        assert done.wait(10)
        assert not fails()
    thread.join()
    assert seen == [True]


def test_switches_belong_to_their_async_task():
    async def off(entered, leave):
        with typed.disabled():
            entered.set()
            await leave.wait()
            return fails()

    async def main():
        entered, leave = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(off(entered, leave))
        await entered.wait()
        here = fails()
        leave.set()
        return here, await task

    assert asyncio.run(main()) == (True, False)


def test_many_threads_check_at_once():
    errors = []

    def work(size):
        m = module({"x": NeuralType(("B", f"D:{size}", "T"), Spectrogram())}, {"y": FEATURES}, lambda self, x: x * 1)
        for _ in range(200):
            m(features(1, size, 2))
            try:
                m(features(1, size + 1, 2))
            except NeuralTypeError as error:
                if f"wanted {size}" in str(error):
                    continue
            errors.append(size)

    threads = [threading.Thread(target=work, args=(size,)) for size in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_the_environment_switches_a_whole_process_off():
    code = "from nemo_core.types import typed; print(typed.enabled)"
    run = [sys.executable, "-c", code]
    assert subprocess.check_output(run, env={"NEMO_TYPED": "0"}, text=True).strip() == "False"
    assert subprocess.check_output(run, env={}, text=True).strip() == "True"


# --- Compilers and tracers see a plain forward -----------------------------------------------------------------------


def test_compiled_without_a_graph_break():
    compiled = torch.compile(Encoder(), backend="eager", fullgraph=True)
    encoded, _ = compiled(features(), length=LENGTHS)
    assert torch.equal(encoded, features() * 2)


@pytest.mark.parametrize("strict", [False, True])
def test_exported(strict):
    exported = torch.export.export(Encoder(), (features() + 1, LENGTHS), strict=strict)
    assert torch.equal(exported.module()(features() + 1, LENGTHS)[0], features() + 2)


def test_traced_and_scripted():
    for made in (torch.jit.trace(Encoder(), (features(), LENGTHS)), torch.jit.script(Encoder())):
        assert torch.equal(made(features() + 1, LENGTHS)[0], features() + 2)


def test_vmap_and_gradients():
    x = features().requires_grad_()
    Encoder()(x, LENGTHS)[0].sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 2))
    assert torch.vmap(Encoder())(features(5, 2, 3, 4), LENGTHS.expand(5, 2))[0].shape == (5, 2, 3, 4)


def test_modules_and_tagged_tensors_are_copied_and_pickled():
    m = pickle.loads(pickle.dumps(Encoder()))
    encoded, _ = copy.deepcopy(m)(features(), LENGTHS)
    assert copy.deepcopy(encoded).neural_type is ENCODED
    assert pickle.loads(pickle.dumps(encoded)).neural_type == ENCODED


def test_the_decorated_method_looks_like_the_method():
    assert Encoder.forward.__name__ == "forward"
    assert Encoder.forward.__wrapped__.__code__.co_varnames == ("self", "features", "length")
