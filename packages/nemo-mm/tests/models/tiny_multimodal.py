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
from nemo_llm.testing import train_steps
from nemo_mm.models.multimodal import MultimodalLanguageModel
from nemo_mm.models.multimodal_config import MultimodalConfig
from nemo_mm.modules.media_reader import MediaReader

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


def training(layout: Layout, model: dict[str, Any] | None = None, **options: Any) -> list[tuple[float, float]]:
    """Train on the same batches; return the loss and the gradient norm of each step."""
    return train_steps(lambda: TinyModel(config(), seed=1, **(model or {})), batch, layout, **options)
