"""The smallest multimodal model: a medium is a row of numbers, which becomes two embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nemo_core import types as nt
from nemo_llm.megatron import Layout
from nemo_llm.models.config import ModelConfig
from nemo_mm.models.multimodal import MultimodalLanguageModel
from nemo_mm.models.multimodal_config import MultimodalConfig
from nemo_mm.models.reader import MediaReader

MARK = 60
EACH = 2  # embeddings of a medium
LANGUAGE = ModelConfig(vocab_size=61, hidden_size=32, num_layers=4, num_heads=4, num_kv_heads=2, ffn_size=64)


class TinyReader(MediaReader):
    input_types: ClassVar = {
        "numbers": nt.NeuralType(("B", "D", "T"), nt.Channel()),
        "number_counts": nt.NeuralType(("B",), nt.Lengths()),
    }

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(size, 16), nn.GELU())
        self.projector = nn.Linear(16, EACH * hidden)

    def forward(self, numbers: Tensor, number_counts: Tensor) -> tuple[Tensor, Tensor]:
        here = torch.arange(numbers.shape[1])[None] < number_counts[:, None]
        found = self.projector(self.encoder(numbers[here].to(self.projector.weight.dtype)))
        return found.unflatten(-1, (EACH, -1)).flatten(0, 1), number_counts * EACH


@dataclass(frozen=True, kw_only=True)
class TinyConfig(MultimodalConfig):
    size: int = 3
    entries: ClassVar[tuple[str, ...]] = ("numbers", "number_counts")

    def make_reader(self) -> TinyReader:
        return TinyReader(self.size, self.hidden_size)


class TinyModel(MultimodalLanguageModel):
    config_class = TinyConfig

    @property
    def input_types(self) -> Mapping[str, Any]:
        return {}


def config(**changes: Any) -> TinyConfig:
    return TinyConfig(language=LANGUAGE, media_token=MARK, **changes)


def batch(step: int, rows: int = 8, length: int = 16) -> dict[str, Tensor]:
    """Rows with none, one or two media at places of their own, of which each counts another number of tokens."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, 60, (rows, length + 1), generator=generator)
    counts = torch.arange(rows) % 3
    for row in range(rows):
        starts = [1 + row % 3, 8 + row % 4][: int(counts[row])]
        for start in starts:
            tokens[row, start : start + EACH] = MARK
    learned = (torch.arange(length)[None] < torch.arange(3, 3 + rows)[:, None]) & (tokens[:, 1:] != MARK)
    return {
        "tokens": tokens[:, :-1],
        "labels": tokens[:, 1:],
        "loss_mask": learned.float(),
        "numbers": torch.randn(rows, 2, 3, generator=generator),
        "number_counts": counts,
    }


def training(
    layout: Layout,
    steps: int = 4,
    dtype: str = "float32",
    model: dict[str, Any] | None = None,
    batch: Any = batch,
    make: Any = None,
    lr: float = 1e-2,
    **options: Any,
) -> list[tuple[float, float]]:
    """Train on the same batches; return the loss and the gradient norm of each step."""
    from nemo_llm.megatron import engine
    from nemo_llm.megatron.optimizer import build_optimizer
    from nemo_llm.megatron.options import Options
    from nemo_llm.megatron.schedule import connect_schedule, forward_backward
    from nemo_llm.megatron.wrapping import wrap

    kind = getattr(torch, dtype)
    settings = Options(**options)
    precision = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}[dtype]
    with engine(layout, seed=1):
        built = make(**(model or {})) if make else TinyModel(config(), seed=1, **(model or {}))
        mode = "p2p" if settings.context_mode == "ring" else "all_gather"
        values = {**settings.transformer(precision, layout.virtual_pipeline > 1), "cp_comm_type": mode}
        built.build(layout, dtype=kind, options=values)
        chunks = wrap(list(built.chunks), settings)
        optim = {"name": "adamw", "lr": lr, "weight_decay": 0.1}
        optimizer = build_optimizer(optim, chunks, dtype=kind, sharding=settings.sharding, clip=0.5, options=settings)
        connect_schedule(chunks, optimizer, settings)
        found = []
        for step in range(steps):
            optimizer.clear()
            sums = forward_backward(
                chunks,
                built.prepare(share(batch(step))),
                built.token_losses,
                layout,
                micro_batch_size=settings.micro_batch_size,
                whole=built.whole_entries,
            )
            found.append((float(sums.mean), optimizer.prepare()))
            optimizer.step()
        return found


def share(whole: dict[str, Tensor]) -> dict[str, Tensor]:
    from megatron.core import parallel_state

    rank, size = parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()
    return {name: value[rank::size] for name, value in whole.items()}
