"""BERT and T5 in every layout: losses and gradient norms are those of one process."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nemo_core.errors import ConfigError
from nemo_llm.megatron import Layout, engine
from nemo_llm.models.bert import BertConfig, MaskedLanguageModel
from nemo_llm.models.t5 import EncoderDecoderModel, T5Config

SIZES: dict[str, Any] = {"vocab_size": 61, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "ffn_size": 48}
CONFIGS: dict[str, Any] = {
    "bert": BertConfig(**SIZES, max_length=16, dropout=0.0),
    "bert untied": BertConfig(**SIZES, max_length=16, dropout=0.0, tied_embeddings=False, token_types=0),
    "t5": T5Config(**SIZES, num_decoder_layers=3, head_dim=6, dropout=0.0, buckets=8, max_distance=12),
    "t5 tied": T5Config(**SIZES, dropout=0.0, tied_embeddings=True, gated=False, activation="relu"),
}


def training(name: str, layout: Layout, steps: int = 3, **options: Any) -> list[tuple[float, float]]:
    """Train on the same batches; return the loss and the gradient norm of each step."""
    from nemo_llm.megatron.optimizer import build_optimizer
    from nemo_llm.megatron.options import Options
    from nemo_llm.megatron.schedule import connect_schedule, forward_backward
    from nemo_llm.megatron.wrapping import wrap

    config = CONFIGS[name]
    kind: Any = MaskedLanguageModel if isinstance(config, BertConfig) else EncoderDecoderModel
    settings = Options(**options)
    with engine(layout, seed=1):
        model = kind(config, seed=1)
        model.build(layout, options=settings.transformer("32-true", layout.virtual_pipeline > 1))
        chunks = wrap(list(model.chunks), settings)
        optim = {"name": "adamw", "lr": 1e-2, "weight_decay": 0.1}
        optimizer = build_optimizer(
            optim, chunks, dtype=torch.float32, sharding=settings.sharding, clip=0.5, options=settings
        )
        connect_schedule(chunks, optimizer, settings)
        found = []
        for step in range(steps):
            optimizer.clear()
            sums = forward_backward(
                chunks, share(batch(step)), model.token_losses, layout, hidden_length=model.hidden_length
            )
            found.append((float(sums.mean), optimizer.prepare()))
            optimizer.step()
        return found


def batch(step: int, rows: int = 4, length: int = 16) -> dict[str, torch.Tensor]:
    """Rows with padding, of which each counts another number of tokens; what both kinds of models need."""
    generator = torch.Generator().manual_seed(step)
    tokens, labels, decoder = torch.randint(0, 61, (3, rows, length), generator=generator)
    lengths = torch.tensor([16, 9, 12, 5])[:, None]
    mask = (torch.rand(rows, length, generator=generator) < 0.4) & (torch.arange(length) < lengths)
    return {
        "tokens": tokens,
        "segment_ids": (torch.arange(length) < lengths).int(),
        "decoder_tokens": decoder,
        "labels": labels,
        "loss_mask": mask.float(),
    }


def share(whole: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    from megatron.core import parallel_state

    rank, size = parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()
    return {name: value[rank::size] for name, value in whole.items()}


@pytest.fixture(scope="module")
def alone() -> dict[str, list[tuple[float, float]]]:
    return {name: training(name, Layout(), sharding="none") for name in CONFIGS}


CASES = [
    ("bert", Layout(tensor=2), {}),
    ("bert", Layout(tensor=2, sequence_parallel=True), {}),
    ("bert", Layout(pipeline=2), {}),
    ("bert", Layout(), {}),
    ("bert", Layout(context=2), {}),
    ("bert", Layout(tensor=2), {"recompute": "full"}),
    ("bert untied", Layout(tensor=2, sequence_parallel=True), {}),
    ("bert untied", Layout(pipeline=2), {}),
    ("t5", Layout(tensor=2), {}),
    ("t5", Layout(tensor=2, sequence_parallel=True), {}),
    ("t5", Layout(), {}),
    ("t5", Layout(tensor=2), {"recompute": "full"}),
    ("t5", Layout(tensor=2), {"recompute": "selective"}),
    ("t5 tied", Layout(tensor=2), {}),
]


@pytest.mark.parametrize(("name", "layout", "options"), CASES, ids=lambda each: str(each).replace(" ", "-"))
def test_two_processes_train_as_one(
    name: str, layout: Layout, options: dict[str, Any], two_ranks: Any, alone: dict[str, list[tuple[float, float]]]
) -> None:
    for found in two_ranks.run(training, name, layout, **options):
        for (loss, norm), (other, other_norm) in zip(found, alone[name], strict=True):
            assert loss == pytest.approx(other, rel=1e-4)
            assert norm == pytest.approx(other_norm, rel=1e-3)


@pytest.mark.parametrize("layout", [Layout(pipeline=2), Layout(context=2)], ids=str)
def test_what_cannot_divide_two_stacks_is_refused(layout: Layout) -> None:
    with pytest.raises(ConfigError, match="set it to 1"):
        layout.check(2, CONFIGS["t5"])


def test_initial_weights_do_not_depend_on_the_layout(two_ranks: Any) -> None:
    whole = [_norms(name, Layout()) for name in ("bert", "t5")]
    for rank in two_ranks.run(_norms, "bert", Layout(tensor=2)):
        assert rank == pytest.approx(whole[0], rel=1e-5)
    for rank in two_ranks.run(_norms, "t5", Layout(tensor=2)):
        assert rank == pytest.approx(whole[1], rel=1e-5)


def _norms(name: str, layout: Layout) -> dict[str, float]:
    """Return the squares of all weights, added up over the processes."""
    from torch import distributed

    from nemo_llm.models.chunks import chunks_of

    with engine(layout, seed=1):
        (chunk,) = chunks_of(CONFIGS[name], layout)
        found = {}
        for key, weight in chunk.named_parameters():
            square = weight.detach().double().square().sum()
            if layout.tensor > 1 and getattr(weight, "tensor_model_parallel", False):
                distributed.all_reduce(square)
            found[key] = float(square)
        return found
