from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
import yaml

from nemo_core.config import Trust
from nemo_core.errors import ConfigError, GraphError, NeuralTypeError, UntrustedTargetError
from nemo_core.graph import NeuralGraph

MODULES = """
from torch import nn
from nemo_core.modules import NeuralModule
from nemo_core.types import AcousticEncoded, NeuralType, typed

class Layer(NeuralModule):
    input_types = {"x": NeuralType(("B", "D", "T"), AcousticEncoded())}
    output_types = {"y": NeuralType(("B", "D", "T"), AcousticEncoded())}

    def __init__(self, width=4, kernel=1):
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel)

    @typed
    def forward(self, x):
        return self.conv(x).tanh()

class Join(NeuralModule):
    input_types = {"a": Layer.input_types["x"], "b": NeuralType(("B", "D", "T"), AcousticEncoded(), optional=True)}
    output_types = {"sum": Layer.output_types["y"]}

    def forward(self, a, b=None):
        return a if b is None else a + b
"""
X = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def lab(tmp_path, monkeypatch):
    (tmp_path / "graph_lab.py").write_text(MODULES)
    monkeypatch.syspath_prepend(tmp_path)
    import graph_lab

    yield graph_lab
    del sys.modules["graph_lab"]


@pytest.fixture
def graph(lab):
    """Fan-out, a shared module, an optional input, declared inputs and outputs, and a graph inside."""
    inner = NeuralGraph("inner")
    inner.connect(lab.Layer() >> lab.Layer())
    layer = lab.Layer(width=4)
    graph = NeuralGraph("everything")
    first = graph.add("first", layer)
    again = graph.add("again", layer)
    join = graph.add("join", lab.Join())
    x = graph.input("x", first.inputs.x)
    graph.connect(first >> again)
    graph.connect(x, graph.add("inner", inner).inputs.x)
    graph.connect(again.outputs.y, join.inputs.a)
    graph.input("extra", join.inputs.b)
    graph.output("sum", join.outputs.sum)
    graph.output("side", graph.nodes["inner"].outputs.y)
    return graph


TRUST = Trust.user(["graph_lab"])


def test_a_graph_comes_back_from_its_file(graph, tmp_path):
    path = graph.to_yaml(tmp_path / "graph.yaml")
    other = NeuralGraph.from_yaml(path, trust=TRUST)
    other.load_state_dict(graph.state_dict())
    for inputs in ({"x": X}, {"x": X, "extra": X}):
        for ours, theirs in zip(graph(**inputs), other(**inputs), strict=True):
            assert torch.equal(ours, theirs)
    assert other.to_config() == graph.to_config()
    assert other.to_mermaid() == graph.to_mermaid()
    assert other.nodes["first"].module is other.nodes["again"].module
    other.to_yaml(tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == path.read_text()


def test_the_file_is_plain_and_readable(graph, tmp_path):
    config = yaml.safe_load(graph.to_yaml(tmp_path / "graph.yaml").read_text())
    assert list(config) == ["_target_", "name", "nodes", "inputs", "connections", "outputs"]
    assert config["nodes"]["first"] == {"_target_": "graph_lab.Layer", "width": 4}
    assert config["nodes"]["again"] == "first"
    assert config["nodes"]["inner"]["connections"] == ["layer.y -> layer_2.x"]
    assert config["inputs"] == {"x": "first.x", "extra": "join.b"}
    assert "x -> inner.x" in config["connections"]
    assert config["outputs"] == {"sum": "join.sum", "side": "inner.y"}


def test_an_input_of_a_type_of_its_own_is_written_as_that(lab, tmp_path):
    from nemo_core.types import AcousticEncoded, NeuralType

    layer = lab.Layer()
    graph = NeuralGraph("sized")
    graph.connect(graph.input("x", NeuralType(("B", "D:4", "T"), AcousticEncoded())), layer.inputs.x)
    other = NeuralGraph.from_yaml(graph.to_yaml(tmp_path / "g.yaml"), trust=TRUST)
    assert other.input_types == graph.input_types
    assert str(other.input_types["x"]) == "(B, D:4, T) AcousticEncoded"


def test_written_by_hand(tmp_path, lab):
    path = tmp_path / "hand.yaml"
    path.write_text(
        textwrap.dedent(
            """
            _target_: NeuralGraph
            name: hand
            nodes:
              one: {_target_: graph_lab.Layer}
              two: one
            connections: [one.y -> two.x]
            """
        )
    )
    graph = NeuralGraph.from_yaml(path, trust=TRUST)
    assert torch.equal(graph(X), graph.one(graph.one(X)))


def test_an_existing_file_is_not_overwritten_unasked(graph, tmp_path):
    path = tmp_path / "graph.yaml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="overwrite=True"):
        graph.to_yaml(path)
    assert path.read_text() == "mine"
    graph.to_yaml(path, overwrite=True)
    assert path.read_text() != "mine"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (None, ConfigError, "cannot be read"),
        ("a: [", ConfigError, "is no YAML"),
        ("[1, 2]", ConfigError, "describes no NeuralGraph"),
        ("_target_: torch.nn.Linear\nin_features: 2\nout_features: 2", ConfigError, "describes a Linear"),
        (
            "_target_: NeuralGraph\nnodes: {a: {_target_: os.system, command: ls}}",
            UntrustedTargetError,
            "os.system",
        ),
        ("_target_: NeuralGraph\nnodes: {a: {_target_: graph_lab.Layer}}", UntrustedTargetError, "graph_lab"),
        ("_target_: NeuralGraph\nnodes: {a: b}", GraphError, "no node 'b'"),
        ("_target_: NeuralGraph\ninputs: {x: (B) Nothing}", NeuralTypeError, "Nothing"),
    ],
)
def test_bad_files(text, error, says, tmp_path, lab):
    path = tmp_path / "graph.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=says):
        NeuralGraph.from_yaml(path)


def test_mermaid(graph):
    text = graph.to_mermaid()
    assert text.startswith("flowchart LR\n")
    assert '  n_first["first<br/>Layer"]\n' in text
    assert '  n_first -->|"y (B, D, T) AcousticEncoded"| n_again\n' in text
    assert '  in_x -->|"(B, D, T) AcousticEncoded"| n_inner\n' in text
    assert '  n_join -->|"sum (B, D, T) AcousticEncoded"| out_sum\n' in text
    assert text.count("-->") == 7


def test_the_graph_package_is_imported_without_torch():
    code = "import sys, nemo_core.graph, nemo_core.modules; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
