from __future__ import annotations

import copy
import io
import pickle
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nemo_core.errors import GraphError, NemoError, NeuralTypeError
from nemo_core.graph import NeuralGraph
from nemo_core.modules import NeuralModule
from nemo_core.types import (
    AcousticEncoded,
    AudioSignal,
    Channel,
    Labels,
    Lengths,
    Logits,
    LogProbs,
    Loss,
    MelSpectrogram,
    NeuralType,
    Spectrogram,
    Void,
    typed,
)

AUDIO = NeuralType(("B", "T"), AudioSignal())
FEATURES = NeuralType(("B", "D", "T"), MelSpectrogram())
ENCODED = NeuralType(("B", "D", "T"), AcousticEncoded())
LENGTH = NeuralType(("B",), Lengths())


class Mel(NeuralModule):
    input_types = {"audio": AUDIO, "length": LENGTH}
    output_types = {"features": FEATURES, "length": LENGTH}

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.bands = bands

    @typed
    def forward(self, audio, length):
        return audio[:, None] * torch.arange(1.0, self.bands + 1)[:, None], length + 0


class Encoder(NeuralModule):
    input_types = {"features": NeuralType(("B", "D", "T"), Spectrogram()), "length": LENGTH}
    output_types = {"encoded": ENCODED, "length": LENGTH}

    def __init__(self, bands: int = 3, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv1d(bands, width, 1)

    @typed
    def forward(self, features, length):
        return {"encoded": self.conv(features), "length": length + 0}


class Decoder(NeuralModule):
    input_types = {"encoded": ENCODED}
    output_types = {"log_probs": NeuralType(("B", "T", "D"), LogProbs())}

    def __init__(self, width: int = 4, classes: int = 5) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)

    @typed
    def forward(self, encoded):
        return self.linear(encoded.transpose(1, 2)).log_softmax(-1)


class Scale(NeuralModule):
    """Anything in, the same thing out, times a weight."""

    input_types = {"x": ENCODED}
    output_types = {"y": ENCODED}

    def __init__(self, by: float = 2.0) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x):
        return x * self.by


class Sum(NeuralModule):
    input_types = {"left": ENCODED, "right": NeuralType(("B", "D", "T"), AcousticEncoded(), optional=True)}
    output_types = {"sum": ENCODED}

    def forward(self, left, right=None):
        return left if right is None else left + right


def recogniser():
    mel, encoder, decoder = Mel(), Encoder(), Decoder()
    graph = NeuralGraph("tiny_ctc")
    graph.input("audio", mel.inputs.audio)
    graph.connect(mel.outputs, encoder.inputs)
    graph.connect(encoder.outputs.encoded, decoder.inputs.encoded)
    return graph, mel, encoder, decoder


def refused(kind, call, *says):
    with pytest.raises(kind) as caught:
        call()
    for text in says:
        assert text in str(caught.value)


AUDIO_IN = {"audio": torch.randn(2, 6, generator=torch.Generator().manual_seed(0)), "length": torch.tensor([6, 4])}


# --- Composing -------------------------------------------------------------------------------------------------------


def test_a_graph_computes_what_its_modules_compute():
    graph, mel, encoder, decoder = recogniser()
    expected = decoder(encoder(*mel(**AUDIO_IN))["encoded"])
    assert torch.equal(graph(**AUDIO_IN), expected)
    assert torch.equal(graph(AUDIO_IN["audio"], AUDIO_IN["length"]), expected)
    assert list(graph.input_types) == ["audio", "length"]
    assert list(graph.output_types) == ["log_probs"]


@pytest.mark.parametrize(
    "connect",
    [
        lambda g, a, b, c: g.connect(a >> b >> c),
        lambda g, a, b, c: g.connect(a.outputs >> b >> c.inputs),
        lambda g, a, b, c: g.connect(g.add("mel", a) >> b >> g.add("decoder", c)),
        lambda g, a, b, c: (g.connect(b, c), g.connect(a, b)),
        lambda g, a, b, c: (g.connect(b.outputs.encoded >> c.inputs.encoded), g.connect(a, b)),
    ],
)
def test_every_way_to_connect_gives_the_same_graph(connect):
    graph, *modules = recogniser()
    other = NeuralGraph("other")
    connect(other, *modules)
    assert torch.equal(graph(**AUDIO_IN), other(**AUDIO_IN))


def test_placeholders_feed_several_ports():
    one, two, add = Scale(2.0), Scale(3.0), Sum()
    graph = NeuralGraph("fan")
    x = graph.input("x", ENCODED)
    graph.connect(x, one.inputs.x)
    graph.connect(x >> two >> add.inputs.left)
    graph.connect(one.outputs.y, add.inputs.right)
    assert torch.equal(graph(x=torch.ones(1, 2, 3)), torch.full((1, 2, 3), 5.0))


def test_several_outputs_are_a_named_tuple():
    graph, mel, encoder, _ = recogniser()
    graph.output("encoded", encoder.outputs.encoded)
    graph.output("frames", mel.outputs.length)
    out = graph(**AUDIO_IN)
    assert out._fields == ("encoded", "frames")
    assert out.encoded.neural_type == ENCODED
    assert graph.outputs.frames.type == LENGTH


def test_final_outputs_of_one_name_are_told_apart():
    left, right, scale = Scale(), Scale(), Scale()
    graph = NeuralGraph("two")
    graph.connect(scale >> left)
    graph.connect(scale >> right)
    assert list(graph.output_types) == ["scale_2_y", "scale_3_y"]
    assert graph(torch.ones(1, 1, 1))._fields == tuple(graph.output_types)


def test_optional_inputs_stay_open_unless_asked_for():
    add = Sum()
    graph = NeuralGraph("plain")
    graph.add("total", add)
    assert list(graph.input_types) == ["left"]
    graph.input("also", add.inputs.right)
    one = torch.ones(1, 1, 1)
    assert graph(left=one) == 1
    assert graph(left=one, also=one) == 2
    assert graph.inputs.also.optional
    assert list(graph.input_types) == ["also", "left"]


def test_nodes_are_named_after_their_classes():
    graph = NeuralGraph("names")
    graph.connect(Scale() >> Scale() >> Sum())
    assert list(graph.nodes) == ["scale", "scale_2", "sum"]
    assert list(graph.state_dict()) == ["scale.by", "scale_2.by"]


def test_graphs_nest():
    inner, *_ = recogniser()

    class Best(NeuralModule):
        input_types = Decoder.output_types
        output_types = {"labels": NeuralType(("B", "T"), Labels())}

        @typed
        def forward(self, log_probs):
            return log_probs.argmax(-1)

    outer = NeuralGraph("outer")
    outer.connect(inner >> Best())
    assert list(outer.nodes) == ["tiny_ctc", "best"]
    assert torch.equal(outer(**AUDIO_IN), inner(**AUDIO_IN).argmax(-1))
    assert "tiny_ctc.encoder.conv.weight" in outer.state_dict()
    assert outer.num_weights == inner.num_weights == 4 * 3 + 4 + 5 * 4 + 5


# --- Sharing weights -------------------------------------------------------------------------------------------------


def shared():
    scale = Scale(3.0)
    graph = NeuralGraph("twice")
    first, second = graph.add("first", scale), graph.add("second", scale)
    graph.connect(first >> second)
    return graph, scale, first, second


def test_a_module_used_twice_has_one_set_of_weights():
    graph, scale, *_ = shared()
    out = graph(x=torch.ones(1, 1, 1))
    assert out == 9
    assert list(graph.state_dict()) == ["first.by"]
    assert graph.num_weights == 1
    out.sum().backward()
    assert scale.by.grad == 6  # d(by^2)/d(by)


def test_the_ports_of_a_shared_module_are_ambiguous():
    graph, scale, _, second = shared()
    refused(
        GraphError, lambda: graph.connect(scale.outputs.y, Sum().inputs.left), "shared by first and second", "graph.add"
    )
    assert list(graph.nodes) == ["first", "second"]
    graph.connect(second.outputs.y, Sum().inputs.left)


# --- Refusals --------------------------------------------------------------------------------------------------------


def test_a_wrong_type_names_ports_types_and_what_would_fit():
    graph, mel, _, decoder = recogniser()
    refused(
        NeuralTypeError,
        lambda: graph.connect(mel.outputs.features, decoder.inputs.encoded),
        "mel.features (B, D, T) MelSpectrogram does not fit decoder.encoded (B, D, T) AcousticEncoded",
        "did you mean encoder.outputs.encoded?",
    )


@pytest.mark.parametrize(
    ("given", "wanted", "says"),
    [
        (("B T D", Channel), ("B D T", Channel), ".transpose(1, 2)"),
        (("B D", Channel), ("B D T", Channel), "it has 2 axes, wanted 3"),
        (("B D:64 T", Channel), ("B D:80 T", Channel), "axis 1 is D:64, wanted D:80"),
        (("B D T", Channel), ("B D T", Spectrogram), "Channel is more general than Spectrogram"),
        (("B D T", Logits), ("B D T", LogProbs), "does not fit"),
        (("B T", lambda: AudioSignal(8000)), ("B T", lambda: AudioSignal(16000)), "freq is 8000, wanted 16000"),
    ],
)
def test_every_kind_of_misfit_is_refused_before_anything_runs(given, wanted, says):
    out, into = (NeuralType(tuple(axes.split()), element()) for axes, element in (given, wanted))

    class One(NeuralModule):
        output_types = {"out": out}

    class Two(NeuralModule):
        input_types = {"into": into}

    graph, one, two = NeuralGraph("g"), One(), Two()
    refused(
        NeuralTypeError,
        lambda: graph.connect(one.outputs.out, two.inputs.into),
        f"one.out {out}",
        f"two.into {into}",
        says,
    )
    assert not graph.nodes  # refused connections leave nothing behind
    refused(NeuralTypeError, lambda: graph.connect(one, two), f"one.out {out}", f"two.into {into}")


def test_what_is_refused_changes_nothing():
    graph, mel, encoder, decoder = recogniser()
    nodes, drawing, weights = dict(graph.nodes), graph.to_mermaid(), list(graph.state_dict())
    for bad in [
        lambda: graph.connect(mel >> Scale()),
        lambda: graph.connect(decoder >> Scale() >> Sum()),
        lambda: graph.connect(encoder.outputs.encoded, decoder.inputs.encoded),
        lambda: graph.connect(encoder.outputs.encoded >> Scale() >> Mel()),
        lambda: graph.input("more", Mel().inputs.nothing),
        lambda: graph.input("more", mel.inputs.audio),
        lambda: graph.input("more", mel.outputs.features),
        lambda: graph.output("more", mel.inputs.audio),
    ]:
        refused(NemoError, bad)
        assert dict(graph.nodes) == nodes
        assert graph.to_mermaid() == drawing
        assert list(graph.state_dict()) == weights
    graph(**AUDIO_IN)


def test_an_input_has_one_source():
    graph, _, encoder, decoder = recogniser()
    again = lambda: graph.connect(encoder.outputs.encoded, decoder.inputs.encoded)  # noqa: E731
    refused(GraphError, again, "decoder.encoded already gets encoder.encoded")


def test_cycles_are_refused_with_their_path():
    a, b, c = Scale(), Scale(), Scale()
    graph = NeuralGraph("loop")
    for name, module in (("a", a), ("b", b), ("c", c)):
        graph.add(name, module)
    graph.connect(a >> b >> c)
    refused(GraphError, lambda: graph.connect(c, a), "connecting c.y to a.x closes a cycle: a -> b -> c -> a")
    refused(GraphError, lambda: NeuralGraph("self").connect(a.outputs.y, a.inputs.x), "cycle: scale -> scale")


def test_open_inputs_are_inputs_of_the_graph_and_named_all_at_once():
    graph, *_ = recogniser()
    refused(
        NeuralTypeError,
        lambda: graph(),
        "lacks audio (B, T) AudioSignal, for mel.audio; length (B) Lengths, for mel.length",
    )
    refused(NeuralTypeError, lambda: graph(**AUDIO_IN, lenght=1), "has no input 'lenght'", "did you mean length?")
    refused(NeuralTypeError, lambda: graph(1, 2, 3), "takes 2 inputs, got 3")
    refused(NeuralTypeError, lambda: graph(AUDIO_IN["audio"], **AUDIO_IN), "audio both by position and by name")


def test_open_inputs_that_share_a_name_need_a_decision():
    graph = NeuralGraph("open")
    left, right = graph.add("left", Scale()), graph.add("right", Scale())
    graph.add("mel", Mel())
    graph.input("y", AUDIO)
    refused(
        GraphError,
        graph.check,
        "input y feeds nothing",
        "left.x (B, D, T) AcousticEncoded is not connected",
        "right.x (B, D, T) AcousticEncoded is not connected",
        "graph.input",
    )
    graph.connect(graph.input("x", left.inputs.x), right.inputs.x)


def test_an_empty_graph_is_not_complete():
    refused(GraphError, NeuralGraph("empty"), "empty is not complete: it has no outputs")


class Twins(NeuralModule):
    output_types = {"one": ENCODED, "other": ENCODED}


class Wants(NeuralModule):
    input_types = {"a": ENCODED, "b": ENCODED}


class Untyped(NeuralModule):
    input_types = {"thing": NeuralType(None, Void())}
    output_types = {"thing": NeuralType(None, Void())}

    def forward(self, thing):
        return thing


def test_ambiguous_pairs_are_refused_and_all_named():
    g = NeuralGraph("g")
    refused(
        GraphError,
        lambda: g.connect(Twins(), Scale()),
        "scale.x",
        "could take twins.one",
        "or twins.other",
        "port by port",
    )
    refused(GraphError, lambda: g.connect(Scale(), Wants()), "scale.y", "could go to wants.a", "or wants.b")
    refused(GraphError, lambda: g.connect(Mel(), Decoder()), "nothing to connect", "mel.features", "decoder.encoded")
    assert not g.nodes


def test_untyped_ports_pair_only_when_there_is_no_choice():
    g = NeuralGraph("g")
    g.connect(Scale() >> Untyped() >> Sum())
    refused(GraphError, lambda: NeuralGraph("h").connect(Twins(), Untyped()), "nothing to connect")


def test_a_name_beats_a_type():
    class Both(NeuralModule):
        output_types = {"left": ENCODED, "extra": ENCODED}

    g, both, add = NeuralGraph("g"), Both(), Sum()
    g.connect(both, add)
    assert g.to_mermaid().count("n_both -->") == 1
    assert '|"left (B, D, T) AcousticEncoded"| n_sum' in g.to_mermaid()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda g: g.add("class", Scale()), "'class' is no usable name"),
        (lambda g: g.add("a.b", Scale()), "'a.b' is no usable name"),
        (lambda g: g.add("forward", Scale()), "the name forward is taken"),
        (lambda g: (g.add("a", Scale()), g.add("a", Scale())), "the name a is taken"),
        (lambda g: g.add("a", nn.Linear(2, 2)), "Linear is no NeuralModule"),
        (lambda g: g.add("a", g), "node of itself"),
        (lambda g: g.connect(nn.Linear(2, 2), Scale()), "Linear cannot be connected"),
        (lambda g: g.connect(Scale()), "NoneType cannot be connected"),
        (lambda g: g.connect(Scale().inputs.x, Scale().inputs.x), "is an input, not an output"),
        (lambda g: g.connect(Scale().outputs.y, Scale().outputs.y), "is no input of a module"),
        (
            lambda g: g.connect(NeuralGraph("h").add("a", Scale()).outputs.y, Scale().inputs.x),
            "belongs to another graph",
        ),
        (lambda g: g.input("x y", ENCODED), "'x y' is no usable name"),
        (lambda g: (g.input("x", ENCODED), g.input("x", ENCODED)), "has an input x already"),
        (lambda g: g.output("x", g.input("x", ENCODED)), "output x is an input of the graph"),
        (lambda g: NeuralGraph("a-b"), "'a-b' is no usable name"),
        (lambda g: NeuralGraph("g", {"a": "b"}), "g has no node 'b'"),
        (lambda g: NeuralGraph("g", {"scale": Scale()}, connections=["scal.y -> scale.x"]), "did you mean scale?"),
        (lambda g: NeuralGraph("g", {"scale": Scale()}, connections=["scale.y scale.x"]), "is no connection"),
        (lambda g: NeuralGraph("g", {"scale": Scale()}, connections=["x -> scale.x"]), "g has no input 'x'"),
    ],
)
def test_misuse_is_explained(call, says):
    refused(NemoError, lambda: call(NeuralGraph("g")), says)


def test_a_module_whose_types_changed_is_found_by_the_next_check():
    graph, _, encoder, _ = recogniser()
    graph.check()
    graph.encoder = Scale()  # another module under the same name
    refused(NeuralTypeError, graph.check, "has no port")
    graph.encoder = encoder
    graph(**AUDIO_IN)


def test_a_module_that_returns_something_else_than_it_declares():
    class Liar(Twins):
        def forward(self):
            return [1, 2, 3]

    graph = NeuralGraph("g")
    graph.add("liar", Liar())
    refused(NeuralTypeError, graph, "g.liar declares 2 outputs (one, other) but returned 3")


# --- Being a module --------------------------------------------------------------------------------------------------


def test_training():
    class Nll(NeuralModule):
        input_types = {**Decoder.output_types, "labels": NeuralType(("B", "T"), Labels())}
        output_types = {"loss": NeuralType((), Loss())}

        def forward(self, log_probs, labels):
            return nn.functional.nll_loss(log_probs.transpose(1, 2), labels)

    torch.manual_seed(0)
    graph, _, _, decoder = recogniser()
    graph.connect(decoder, Nll())
    batch = {**AUDIO_IN, "labels": torch.ones(2, 6, dtype=torch.int64)}
    optimizer = torch.optim.SGD(graph.parameters(), lr=0.5)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        losses.append(graph(**batch))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2


def test_state_moves_between_graphs():
    graph, *_ = recogniser()
    other, *_ = recogniser()
    other.load_state_dict(graph.state_dict())
    assert torch.equal(graph(**AUDIO_IN), other(**AUDIO_IN))


def test_copies_are_independent():
    graph, *_ = recogniser()
    before = graph(**AUDIO_IN)
    file = io.BytesIO()
    torch.save(graph, file)
    file.seek(0)
    for other in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph)), torch.load(file, weights_only=False)):
        assert torch.equal(other(**AUDIO_IN), before)
        with torch.no_grad():
            next(other.parameters()).add_(1)
        assert not torch.equal(other(**AUDIO_IN), before)
        other.connect(other.nodes["encoder"].outputs.encoded, Scale().inputs.x)
    assert torch.equal(graph(**AUDIO_IN), before)
    assert "scale" not in graph.nodes


def test_values_are_let_go_when_nothing_needs_them_any_more():
    alive, born = [], []

    class Watch(Scale):
        def forward(self, x):
            alive.append(sum(ref() is not None for ref in born))
            out = x * self.by
            born.append(weakref.ref(out))
            return out

    graph = NeuralGraph("chain")
    graph.connect(Watch() >> Watch() >> Watch() >> Watch())
    with torch.no_grad():
        graph(torch.ones(1, 1, 1))
    assert alive == [0, 1, 1, 1]


def test_outputs_that_no_tuple_can_name_need_names():
    class Odd(NeuralModule):
        output_types = {"class": ENCODED, "_x": ENCODED}

    graph = NeuralGraph("g")
    graph.add("odd", Odd())
    refused(GraphError, graph.check, "class", "graph.output")


def test_freezing_and_examples():
    graph, *_ = recogniser()
    with graph.as_frozen():
        assert not graph(**graph.input_example()).requires_grad
    assert graph(**graph.input_example()).requires_grad


def test_compiled_and_exported():
    graph, *_ = recogniser()
    expected = graph(**AUDIO_IN)
    assert torch.equal(torch.compile(graph, backend="eager", fullgraph=True)(**AUDIO_IN), expected)
    program = torch.export.export(graph, (), AUDIO_IN)
    assert torch.equal(program.module()(**AUDIO_IN), expected)
    assert set(program.state_dict) == set(graph.state_dict())


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_acyclic_graph_runs_as_its_equations_say(data):
    count = data.draw(st.integers(1, 8))
    graph = NeuralGraph("random")
    x = graph.input("x", ENCODED)
    nodes = [graph.add(f"n{i}", Sum()) for i in range(count)]
    edges, values = [], []
    for i, node in enumerate(nodes):
        left = data.draw(st.integers(0, i))
        right = data.draw(st.none() | st.integers(0, i))
        edges.append((x if left == 0 else nodes[left - 1].outputs.sum, node.inputs.left))
        if right is not None:
            edges.append((x if right == 0 else nodes[right - 1].outputs.sum, node.inputs.right))
        known = [1.0, *values]
        values.append(known[left] + (0 if right is None else known[right]))
    for source, target in data.draw(st.permutations(edges)):
        graph.connect(source, target)
    for i, node in enumerate(nodes):
        graph.output(f"out{i}", node.outputs.sum)
    out = graph(x=torch.ones(1, 1, 1))
    assert [float(v) for v in (out if count > 1 else [out])] == values
    last = data.draw(st.integers(0, count - 1))
    upstream = {last}
    while True:
        more = {int(s.owner.name[1:]) for s, t in edges if s.owner is not graph and int(t.owner.name[1:]) in upstream}
        if more <= upstream:
            break
        upstream |= more
    ahead = data.draw(st.sampled_from(sorted(upstream)))
    if not any(t.owner is nodes[ahead] and t.name == "right" for _, t in edges):
        refused(GraphError, lambda: graph.connect(nodes[last].outputs.sum, nodes[ahead].inputs.right), "closes a cycle")
