"""What one layout has saved, any other loads: weights, optimizer, and the losses of the steps that follow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import checkpoint_work as work

from nemo_llm.megatron import Layout
from nemo_llm.megatron.checkpoint import read_manifest

LAYOUTS: dict[str, tuple[int, Layout, dict[str, Any]]] = {
    "one": (1, Layout(), {"sharding": "none"}),
    "one with distributed optimizer": (1, Layout(), {}),
    "TP2": (2, Layout(tensor=2), {"sharding": "none"}),
    "PP2": (2, Layout(pipeline=2), {}),
    "PP2 VP2": (2, Layout(pipeline=2, virtual_pipeline=2), {"sharding": "none"}),
    "CP2": (2, Layout(context=2), {}),
    "DP2": (2, Layout(), {}),
    "DP2 FSDP2": (2, Layout(), {"sharding": "fsdp2"}),
    "TP2 PP2": (4, Layout(tensor=2, pipeline=2), {}),
    "TP2 DP2": (4, Layout(tensor=2, sequence_parallel=True), {}),
    "PP2 VP2 DP2": (4, Layout(pipeline=2, virtual_pipeline=2), {}),
    "DP4": (4, Layout(), {}),
    "DP2 overlap": (2, Layout(), {"overlap_grad_reduce": True, "overlap_param_gather": True}),
}
# A ring, so that every layout writes for another and reads from another.
CHAIN = list(zip(LAYOUTS, [*list(LAYOUTS)[5:], *list(LAYOUTS)[:5]], strict=True))
EXPERTS: dict[str, tuple[int, Layout, dict[str, Any]]] = {
    "one": (1, Layout(), {}),
    "EP2": (2, Layout(expert=2), {}),
    "TP2": (2, Layout(tensor=2, sequence_parallel=True), {}),
    "EP2 TP2": (4, Layout(expert=2, tensor=2, sequence_parallel=True), {}),
}


@pytest.fixture(scope="session")
def run(two_ranks: Any, four_ranks: Any) -> Any:
    def call(count: int, function: Any, *args: Any, **options: Any) -> Any:
        if count == 1:
            return function(*args, **options)
        return {2: two_ranks, 4: four_ranks}[count].run(function, *args, **options)[-1]

    return call


def reshard(run: Any, folder: Path, source: Any, target: Any, kind: Any = "dense", **options: Any) -> Any:
    count, layout, more = source
    losses = run(count, work.train_and_save, folder / "a", layout, kind, **more, **options)
    count, layout, more = target
    again = run(count, work.load_and_save, folder / "a", folder / "b", layout, kind, **more, **options)
    return losses, again


def assert_same_tensors(one: Path, other: Path) -> None:
    first, second = work.whole(one), work.whole(other)
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    assert not any(each.isnan().any() for each in first.values())
    assert any(key.startswith("optimizer.state.exp_avg.") for key in first)


@pytest.mark.parametrize(("source", "target"), CHAIN, ids=lambda name: name)
def test_any_layout_reads_any_other(run: Any, tmp_path: Path, source: str, target: str) -> None:
    losses, again = reshard(run, tmp_path, LAYOUTS[source], LAYOUTS[target])
    assert_same_tensors(tmp_path / "a", tmp_path / "b")
    assert again == pytest.approx(losses, rel=1e-5)
    manifest = read_manifest(tmp_path / "a")
    assert (manifest.config, manifest.layout, manifest.step) == (work.CONFIG, LAYOUTS[source][1], 2)


@pytest.mark.parametrize(("source", "target"), [("one", "EP2"), ("EP2", "TP2"), ("TP2", "EP2 TP2"), ("EP2 TP2", "one")])
def test_experts(run: Any, tmp_path: Path, source: str, target: str) -> None:
    losses, again = reshard(run, tmp_path, EXPERTS[source], EXPERTS[target], "experts")
    assert_same_tensors(tmp_path / "a", tmp_path / "b")
    assert again == pytest.approx(losses, rel=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("source", "target"), [("TP2", "DP2"), ("DP2", "one")])
def test_main_weights_in_full_precision(run: Any, tmp_path: Path, dtype: str, source: str, target: str) -> None:
    reshard(run, tmp_path, LAYOUTS[source], LAYOUTS[target], dtype=dtype)
    assert_same_tensors(tmp_path / "a", tmp_path / "b")
    assert any(key.startswith("optimizer.state.fp32_param.") for key in work.whole(tmp_path / "a"))


def test_a_training_in_full_precision_goes_on_in_half(run: Any, tmp_path: Path) -> None:
    run(1, work.train_and_save, tmp_path / "a", Layout())
    run(2, work.load_and_save, tmp_path / "a", tmp_path / "b", Layout(), dtype="bfloat16")
    there, here = work.whole(tmp_path / "a"), work.whole(tmp_path / "b")
    for key, each in there.items():
        if key.startswith("optimizer"):
            assert torch.equal(each, here[key])
        else:
            assert torch.equal(each, here[f"optimizer.state.fp32_param.{key}"])
            assert torch.equal(each.bfloat16(), here[key])


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_other_kinds_of_models(run: Any, tmp_path: Path, kind: str) -> None:
    losses, again = reshard(run, tmp_path, LAYOUTS["TP2"], LAYOUTS["DP2"], kind)
    assert_same_tensors(tmp_path / "a", tmp_path / "b")
    assert again == pytest.approx(losses, rel=1e-4)
    assert type(read_manifest(tmp_path / "a").config).__name__ == {"bert": "BertConfig", "t5": "T5Config"}[kind]


def test_momentum(run: Any, tmp_path: Path) -> None:
    options = {"optim": {"name": "sgd", "momentum": 0.9}, "sharding": "none"}
    losses, again = reshard(run, tmp_path, (2, Layout(), {}), (2, Layout(tensor=2), {}), **options)
    assert again == pytest.approx(losses, rel=1e-5)


def test_groups_with_rates_of_their_own(run: Any, tmp_path: Path) -> None:
    options = {"optim": {"decay_bias_and_norm": False, "param_groups": {"linear_fc1": {"lr": 1e-4}}}}
    losses, again = reshard(run, tmp_path, LAYOUTS["PP2"], LAYOUTS["DP2"], **options)
    assert again == pytest.approx(losses, rel=1e-5)
