"""What the processes of the tests of checkpoints do: train a little, save, load, and say what a checkpoint holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from nemo_llm.megatron.layout import Layout
from nemo_llm.models.config import Experts, ModelConfig

CONFIG = ModelConfig(
    vocab_size=61, hidden_size=32, num_layers=4, num_heads=4, num_kv_heads=2, ffn_size=64, tied_embeddings=True
)
EXPERTS = dataclasses.replace(CONFIG, experts=Experts(count=4, per_token=2, ffn_size=32), tied_embeddings=False)
CONFIGS: dict[str, Any] = {"dense": CONFIG, "experts": EXPERTS}
SIZES: dict[str, Any] = {"vocab_size": 61, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "ffn_size": 48}


@dataclasses.dataclass
class Training:
    """A model, its optimizer, and a step."""

    layout: Layout
    config: Any
    chunks: list[Any]
    optimizer: Any
    model: Any

    def step(self, number: int) -> float:
        from nemo_llm.megatron.schedule import forward_backward

        self.optimizer.clear()
        sums = forward_backward(
            self.chunks,
            share(batch(number)),
            self.model.token_losses,
            self.layout,
            hidden_length=self.model.hidden_length,
        )
        self.optimizer.step()
        return float(sums.mean)


@contextmanager
def training(
    layout: Layout, kind: Any = "dense", *, dtype: str = "float32", seed: int = 1, optim: Any = None, **options: Any
) -> Iterator[Training]:
    from nemo_llm.megatron import engine
    from nemo_llm.megatron.optimizer import build_optimizer
    from nemo_llm.megatron.options import Options
    from nemo_llm.megatron.schedule import connect_schedule
    from nemo_llm.megatron.wrapping import wrap
    from nemo_llm.models.bert import BertConfig, MaskedLanguageModel
    from nemo_llm.models.language_model import LanguageModel
    from nemo_llm.models.t5 import EncoderDecoderModel, T5Config

    model_class: Any = LanguageModel
    settings, number = Options(**options), getattr(torch, dtype)
    if kind == "bert":
        config, model_class = BertConfig(**SIZES, max_length=16, dropout=0.0), MaskedLanguageModel
    elif kind == "t5":
        config, model_class = T5Config(**SIZES, num_decoder_layers=2, dropout=0.0), EncoderDecoderModel
    else:
        config = CONFIGS[kind] if isinstance(kind, str) else kind
    precision = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}[dtype]
    with engine(layout, seed=seed):
        model = model_class(config, seed=seed)
        model.build(layout, dtype=number, options=settings.transformer(precision, layout.virtual_pipeline > 1))
        chunks = wrap(list(model.chunks), settings)
        optim = {"name": "adamw", "lr": 1e-2, "weight_decay": 0.1, **(optim or {})}
        optimizer = build_optimizer(optim, chunks, dtype=number, sharding=settings.sharding, clip=1.0, options=settings)
        connect_schedule(chunks, optimizer, settings)
        yield Training(layout, config, chunks, optimizer, model)


def batch(step: int, rows: int = 8, length: int = 16) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, 61, (rows, length + 1), generator=generator)
    found = {"tokens": tokens[:, :-1], "labels": tokens[:, 1:], "loss_mask": torch.ones(rows, length)}
    return {**found, "decoder_tokens": tokens[:, :-1]}


def share(whole: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    from megatron.core import parallel_state

    rank, size = parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {name: value[rank::size].to(device) for name, value in whole.items()}


def train_and_save(path: Path, layout: Layout, kind: Any = "dense", *, steps: int = 2, **options: Any) -> list[float]:
    """Train from new, save, and return the losses of two more steps."""
    from nemo_llm.megatron.checkpoint import save_model_folder

    with training(layout, kind, **options) as it:
        for step in range(steps):
            it.step(step)
        save_model_folder(path, it.chunks, it.config, layout=layout, optimizer=it.optimizer.inner, step=steps)
        return [it.step(steps + more) for more in range(2)]


def load_and_save(
    path: Path, again: Path, layout: Layout, kind: Any = "dense", *, steps: int = 2, **options: Any
) -> list[float]:
    """Load into a model of other weights, save at once, and return the losses of two more steps."""
    from nemo_llm.megatron.checkpoint import load_model_folder, save_model_folder

    with training(layout, kind, seed=5, **options) as it:
        load_model_folder(path, it.chunks, it.optimizer.inner)
        save_model_folder(again, it.chunks, it.config, layout=layout, optimizer=it.optimizer.inner, step=steps)
        return [it.step(steps + more) for more in range(2)]


def load_only(path: Path, layout: Layout, kind: Any = "dense", **options: Any) -> None:
    from nemo_llm.megatron.checkpoint import load_model_folder

    with training(layout, kind, **options) as it:
        load_model_folder(path, it.chunks, it.optimizer.inner)


def whole(path: Path) -> dict[str, torch.Tensor]:
    """Return all tensors of a folder, each in one piece."""
    from torch.distributed.checkpoint import TensorStorageMetadata, load

    from nemo_llm.megatron.checkpoint.safety import SafeReader, read_metadata

    metadata = read_metadata(path / "weights")
    state = {
        key: torch.full(each.size, float("nan"), dtype=each.properties.dtype)
        for key, each in metadata.state_dict_metadata.items()
        if isinstance(each, TensorStorageMetadata)
    }
    load(state, storage_reader=SafeReader(path / "weights", metadata), no_dist=True)
    return {
        key: each[:61] if "word_embeddings" in key or "output_layer" in key else each for key, each in state.items()
    }
