"""Two nodes, rehearsed on one machine: two network namespaces joined by a pair of virtual Ethernet devices."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from nemo_core.training import train


@dataclass(frozen=True)
class Node:
    namespace: str
    device: str
    address: str


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    """Two namespaces that see each other and nothing else."""
    if shutil.which("ip") is None:
        pytest.skip("network namespaces are made with `ip`, of iproute2, which is not here")
    name = uuid.uuid4().hex[:6]
    pair = [Node(f"nemo-{name}-{index}", f"v{name}{index}", f"10.77.0.{index + 1}") for index in range(2)]
    made: list[Node] = []
    try:
        for node in pair:
            if subprocess.run(["ip", "netns", "add", node.namespace], capture_output=True).returncode:
                pytest.skip("the kernel gives this user no network namespaces")
            made.append(node)
        first, second = pair
        ip("link", "add", first.device, "netns", first.namespace, "type", "veth",
           "peer", "name", second.device, "netns", second.namespace)  # fmt: skip
        for node in pair:
            inside = ("-n", node.namespace)
            ip(*inside, "addr", "add", f"{node.address}/24", "dev", node.device)
            ip(*inside, "link", "set", "lo", "up")
            ip(*inside, "link", "set", node.device, "up")
        yield pair
    finally:
        for node in made:
            subprocess.run(["ip", "netns", "del", node.namespace], check=False)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def test_tensor_parallel_inside_a_node_and_pipeline_parallel_across(
    nodes: list[Node], small: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    still = {"architecture": {"dropout": 0.0}}
    alone = train(small(model=still))
    strategy = {"tensor_parallel": 2, "pipeline_parallel": 2}
    config = small(model=still, trainer={"strategy": strategy}, experiment={"version": "nodes"})
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump({"defaults": ["/nemo/base", "_self_"], **config}), encoding="utf-8")
    started = [torchrun(node, index, nodes[0].address, recipe) for index, node in enumerate(nodes)]
    try:
        told = [process.communicate(timeout=240)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], told
    found = losses(Path(config["experiment"]["dir"]) / "small" / "nodes")
    assert found == pytest.approx(losses(alone.run_dir), rel=1e-4)


def torchrun(node: Node, rank: int, master: str, recipe: Path) -> subprocess.Popen[str]:
    command = [
        *("ip", "netns", "exec", node.namespace, sys.executable, "-m", "torch.distributed.run"),
        *("--nnodes", "2", "--nproc-per-node", "2", "--node-rank", str(rank), "--rdzv-backend", "static"),
        *("--master-addr", master, "--master-port", "29500", "-m", "nemo_core.train", str(recipe)),
    ]
    support = str(Path(__file__).parent / "support")
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": support, "GLOO_SOCKET_IFNAME": node.device}
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def losses(run: Path) -> list[float]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file) if row.get("train_loss")]
