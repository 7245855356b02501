"""A model and data that are small and real: what the tests of training train, in this process and in others."""

from __future__ import annotations

import os
import signal
import time

import torch

from nemo_core import Model
from nemo_core.data import DataModule


class Waves:
    """Noisy sine waves; the task is to tell their frequency. ``sample`` adds noise of its own."""

    def __init__(self, size: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(0, 4, (size,), generator=generator)
        phase = torch.rand(size, 1, generator=generator) * 6.3
        time_axis = torch.linspace(0, 1, 32)
        self.signals = torch.sin(6.3 * (1 + self.labels[:, None]) * time_axis + phase)
        self.lengths = [1.0 + index % 5 for index in range(size)]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        return self.signals[index], self.labels[index]

    def sample(self, index: int, rng):
        noise = torch.from_numpy(rng.normal(0, 0.3, 32)).float()
        return self.signals[index] + noise, self.labels[index]


class WavesData(DataModule):
    def __init__(self, *, train_size: int = 40, poison: int | None = None, **arguments) -> None:
        super().__init__(**arguments)
        self.train_size, self.poison = train_size, poison

    def dataset(self, split: str):
        if split == "predict":
            return None
        data = Waves(self.train_size if split == "train" else 16, {"train": 1, "validation": 2, "test": 3}[split])
        if split == "train" and self.poison is not None:
            data.signals[self.poison] = float("nan")
        return data


class Tiny(Model):
    """Two layers with dropout and a batch norm."""

    def __init__(self, width: int = 16, dropout: float = 0.3, norm: bool = True, inputs: int = 32) -> None:
        super().__init__()
        self.encoder = torch.nn.Sequential(
            torch.nn.Linear(inputs, width),
            torch.nn.BatchNorm1d(width) if norm else torch.nn.Identity(),
            torch.nn.ReLU(),
        )
        self.decoder = torch.nn.Sequential(torch.nn.Dropout(dropout), torch.nn.Linear(width, 4))

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(signals))

    def training_step(self, batch, batch_idx):
        loss = torch.nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, prog_bar=True)
        self._record(batch)
        return loss

    def validation_step(self, batch, batch_idx):
        scores = self(batch[0])
        self.log("val_loss", torch.nn.functional.cross_entropy(scores, batch[1]), sync_dist=True)
        self.log("val_accuracy", (scores.argmax(1) == batch[1]).float().mean(), sync_dist=True, prog_bar=True)

    def test_step(self, batch, batch_idx):
        self.log("test_accuracy", (self(batch[0]).argmax(1) == batch[1]).float().mean(), sync_dist=True)

    def _record(self, batch) -> None:
        """Write what was trained on to a file, and die where the environment says so."""
        rank = self.trainer.global_rank
        if path := os.environ.get("TINY_RECORD"):
            with open(f"{path}.{rank}", "a") as file:
                print(self.trainer.current_epoch, f"{batch[0].double().sum().item():.12f}", sep="\t", file=file)
        if "TINY_SLEEP" in os.environ:
            time.sleep(float(os.environ["TINY_SLEEP"]))
        die = os.environ.get("TINY_DIE")
        if die and rank == 0:
            batch_number, name = die.split(":")
            if self.trainer.fit_loop.total_batch_idx == int(batch_number):
                os.kill(os.getpid(), getattr(signal, name))


class TinySharded(Tiny):
    """The same, divided among processes."""

    def __init__(self, width: int = 16) -> None:
        super().__init__(width, dropout=0.0, norm=False)

    def configure_model(self) -> None:
        from torch.distributed.fsdp import FSDPModule, fully_shard

        for part in (self.encoder, self.decoder):
            if not isinstance(part, FSDPModule):
                fully_shard(part, mesh=self.device_mesh["data_parallel"])
