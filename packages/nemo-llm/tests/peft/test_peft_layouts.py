"""Adapters learn the same in every layout, and nothing else learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nemo_llm.megatron import Layout
from nemo_llm.models.config import Experts, ModelConfig

SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "num_layers": 4,
    "num_heads": 4,
    "num_kv_heads": 2,
    "ffn_size": 64,
}
CONFIG = ModelConfig(**SIZES, tied_embeddings=True)
EXPERTS = ModelConfig(**SIZES, experts=Experts(count=4, per_token=2, ffn_size=32, shared_ffn_size=32))
ALL = {"targets": ["linear_qkv", "linear_proj", "linear_fc1", "linear_fc2"], "dim": 4}


def training(
    layout: Layout, config: ModelConfig, peft: dict[str, Any], steps: int = 4, folder: str = "", **options: Any
) -> list[tuple[float, float]]:
    """Train adapters on the same batches; return the loss and the gradient norm of each step."""
    from nemo_llm.megatron import engine
    from nemo_llm.megatron.optimizer import build_optimizer
    from nemo_llm.megatron.options import Options
    from nemo_llm.megatron.schedule import connect_schedule, forward_backward
    from nemo_llm.megatron.wrapping import wrap
    from nemo_llm.models.language_model import LanguageModel
    from nemo_llm.peft import save_adapter

    settings = Options(**options)
    with engine(layout, seed=1):
        model = LanguageModel(config, peft=peft, seed=1)
        model.build(layout, options=settings.transformer("32-true", layout.virtual_pipeline > 1))
        before = {name: value.clone() for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
        chunks = wrap(list(model.chunks), settings)
        optim = {"name": "adamw", "lr": 1e-2, "weight_decay": 0.1}
        optimizer = build_optimizer(
            optim, chunks, dtype=torch.float32, sharding=settings.sharding, clip=0.5, options=settings
        )
        connect_schedule(chunks, optimizer, settings)
        found = []
        for step in range(steps):
            optimizer.clear()
            sums = forward_backward(chunks, share(batch(step)), model.token_losses, layout)
            found.append((float(sums.mean), optimizer.prepare()))
            optimizer.step()
        for name, value in model.state_dict().items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, before[name]) != (".adapter." in name), name
        if folder:
            save_adapter(folder, list(model.chunks), base="base.dist", config=config)
        return found


def batch(step: int, rows: int = 8, length: int = 16) -> dict[str, torch.Tensor]:
    tokens = torch.randint(0, 61, (rows, length + 1), generator=torch.Generator().manual_seed(step))
    return {"tokens": tokens[:, :-1], "labels": tokens[:, 1:], "loss_mask": torch.ones(rows, length)}


def share(whole: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    from megatron.core import parallel_state

    rank, size = parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()
    return {name: value[rank::size] for name, value in whole.items()}


_alone: dict[str, list[tuple[float, float]]] = {}


def alone(kind: str, config: ModelConfig) -> list[tuple[float, float]]:
    key = f"{kind} {config.experts is not None}"
    if key not in _alone:
        _alone[key] = training(Layout(), config, {"name": kind, **ALL}, sharding="none")
    return _alone[key]


DENSE = {
    "TP2": (Layout(tensor=2), {}),
    "TP2 SP": (Layout(tensor=2, sequence_parallel=True), {}),
    "PP2": (Layout(pipeline=2), {}),
    "DP2": (Layout(), {"sharding": "optimizer"}),
    "PP2 recompute": (Layout(pipeline=2), {"recompute": "full"}),
    "CP2": (Layout(context=2), {}),
}
MIXTURE = {
    "EP2": (Layout(expert=2), {}),
    "TP2 SP": (Layout(tensor=2, sequence_parallel=True), {}),
    "EP2 TP2": (Layout(tensor=2, expert=2, expert_tensor=1, sequence_parallel=True), {}),
}


def assert_same(found: list[tuple[float, float]], expected: list[tuple[float, float]]) -> None:
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["lora", "dora"])
@pytest.mark.parametrize("name", DENSE)
def test_two_processes_train_adapters_as_one(name: str, kind: str, two_ranks: Any) -> None:
    layout, options = DENSE[name]
    for found in two_ranks.run(training, layout, CONFIG, {"name": kind, **ALL}, **options):
        assert_same(found, alone(kind, CONFIG))


@pytest.mark.parametrize("kind", ["lora", "dora"])
@pytest.mark.parametrize("name", MIXTURE)
def test_two_processes_train_adapters_of_experts_as_one(name: str, kind: str, two_ranks: Any) -> None:
    layout, options = MIXTURE[name]
    for found in two_ranks.run(training, layout, EXPERTS, {"name": kind, **ALL}, **options):
        assert_same(found, alone(kind, EXPERTS))


def test_the_loss_falls(two_ranks: Any) -> None:
    losses = [loss for loss, _ in alone("lora", CONFIG)]
    assert losses[-1] < losses[0]


def test_recomputed_layers_give_adapters_their_gradients() -> None:
    """The embedding is frozen, so nothing that goes into the first layer needs a gradient."""
    found = training(Layout(), CONFIG, {"name": "lora", **ALL}, recompute="full", sharding="none")
    assert_same(found, alone("lora", CONFIG))


@pytest.mark.parametrize("values", [{"tensor": 2, "sequence_parallel": True}, {"pipeline": 2}, {"expert": 2}])
def test_files_do_not_depend_on_the_layout(values: dict[str, Any], two_ranks: Any, tmp_path: Path) -> None:
    from nemo_llm.peft import read_adapter

    peft = {"name": "dora", **ALL}
    # Two steps: with each more, rounding is more likely to send a token to another expert.
    two_ranks.run(training, Layout(**values), EXPERTS, peft, 2, folder=str(tmp_path / "two"))
    training(Layout(), EXPERTS, peft, 2, folder=str(tmp_path / "one"), sharding="none")
    one, two = read_adapter(tmp_path / "one"), read_adapter(tmp_path / "two")
    assert (two.spec, two.architecture, two.base) == (one.spec, one.architecture, "base.dist")
    assert set(two.weights) == set(one.weights)
    for name, value in one.weights.items():
        # Not each number: where a gradient is but rounding, Adam's step is as large as any other.
        assert (two.weights[name] - value).norm() <= 2e-2 * value.norm(), name


def checkpointed(folder: str, layout: Layout, save: bool) -> list[float]:
    """Save a model with adapters, or load what was saved into one with others; return some logits of the whole."""
    from nemo_llm.generation import Decoder
    from nemo_llm.megatron import engine
    from nemo_llm.megatron.checkpoint import load_model_folder, save_model_folder
    from nemo_llm.models import build_chunks
    from nemo_llm.peft import apply_peft

    with engine(layout, seed=1):
        chunks = build_chunks(CONFIG, layout)
        apply_peft(list(chunks), {"name": "dora", **ALL}, seed=1 if save else 2, base="base.dist")
        if save:
            for chunk in chunks:
                for name, parameter in chunk.named_parameters():
                    if ".adapter." in name:
                        parameter.data.add_(0.02)
            save_model_folder(folder, chunks, CONFIG)
        else:
            load_model_folder(folder, chunks)
        found: list[float] = Decoder(chunks, CONFIG).start([[1, 2, 3]], 1)[0].tolist()
        return found


def test_checkpoints_hold_the_adapters_and_fit_every_layout(two_ranks: Any, tmp_path: Path) -> None:
    from nemo_llm.megatron.checkpoint import read_manifest
    from nemo_llm.megatron.checkpoint.safety import read_metadata

    whole = checkpointed(str(tmp_path / "one"), Layout(), True)
    extra = read_manifest(tmp_path / "one").extra
    assert (extra["peft"]["name"], Path(extra["base"]).name) == ("dora", "base.dist")
    stored = read_metadata(tmp_path / "one" / "weights").state_dict_metadata
    assert stored
    assert all(".adapter." in key for key in stored)
    for values in ({"tensor": 2}, {"pipeline": 2}):
        divided = two_ranks.run(checkpointed, str(tmp_path / "one"), Layout(**values), False)
        for found in divided:
            torch.testing.assert_close(torch.tensor(found), torch.tensor(whole), atol=1e-5, rtol=1e-5)
    two_ranks.run(checkpointed, str(tmp_path / "two"), Layout(tensor=2), True)
    assert checkpointed(str(tmp_path / "two"), Layout(), False) == pytest.approx(whole, abs=1e-5)
