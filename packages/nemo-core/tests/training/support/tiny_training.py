"""A model and data that are small and real: what the tests of training train, in this process and in others."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.strategies import SingleDeviceStrategy

from nemo_core import Model
from nemo_core.data import DataModule
from nemo_core.errors import ConfigError, TrainingError
from nemo_core.training import AtomicCheckpointIO
from nemo_core.training.checkpoint_folder import TRAINER, put_in_place, remove, seal
from nemo_core.training.checkpoint_io import read_checkpoint


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


class FolderIO(AtomicCheckpointIO):
    """Keeps checkpoints as folders, and writes them in a thread."""

    def __init__(self) -> None:
        self.saving: threading.Thread | None = None
        self.actions: list = []
        self.error: OSError | None = None

    @property
    def failed(self) -> bool:
        return self.error is not None

    def save_checkpoint(self, checkpoint, path, storage_options=None) -> None:
        self.wait()
        trainer = {key: value for key, value in checkpoint.items() if key != "state_dict"}
        content = io.BytesIO()
        torch.save(trainer, content)
        weights = {name: weight.clone() for name, weight in checkpoint["state_dict"].items()}
        self.actions = []
        self.saving = threading.Thread(target=self._write, args=(content.getvalue(), weights, Path(path)))
        self.saving.start()

    def _write(self, trainer: bytes, weights: dict, path: Path) -> None:
        try:
            if os.environ.get("TINY_FULL_DISK"):
                raise OSError("no space left")
            folder = path.with_name(f".{path.name}.saving")
            remove(folder)
            folder.mkdir(parents=True)
            (folder / TRAINER).write_bytes(trainer)
            (folder / "weights").mkdir()
            torch.save(weights, folder / "weights" / "0.pt")
            seal(folder, {"format": "tiny"})
            put_in_place(folder, path)
        except OSError as error:
            self.error = error

    def when_saved(self, action) -> None:
        self.actions.append(action)

    def wait(self) -> None:
        if self.saving is not None:
            self.saving.join()
            self.saving = None
            if self.error is not None:
                raise TrainingError(f"the checkpoint was not written: {self.error}")
            for action in self.actions:
                action()

    def load_checkpoint(self, path, map_location=None, weights_only=None):
        weights = torch.load(Path(path) / "weights" / "0.pt", weights_only=True)
        return {**read_checkpoint(Path(path)), "state_dict": weights}

    def load_weights(self, path, model) -> None:
        model.load_state_dict(self.load_checkpoint(path)["state_dict"])


class FolderStrategy(SingleDeviceStrategy):
    def __init__(self) -> None:
        super().__init__("cpu", checkpoint_io=FolderIO())


class LightningsOwnIO(TorchCheckpointIO):
    pass


class CarelessStrategy(SingleDeviceStrategy):
    def __init__(self) -> None:
        super().__init__("cpu", checkpoint_io=LightningsOwnIO())


class TinyArchived(Tiny):
    """Has its own way to be kept."""

    def archive(self, stem: Path) -> Path:
        folder = stem.with_suffix(".dist")
        folder.mkdir()
        torch.save(self.state_dict(), folder / "0.pt")
        return folder

    def init_from(self, spec):
        self.load_state_dict(torch.load(Path(spec) / "0.pt", weights_only=True))
        return f"weights of {spec}"


class Picky(SingleDeviceStrategy):
    """Refuses a run by its configuration, and owns something that outlives a fit."""

    closed: ClassVar[list[str]] = []

    def __init__(self, most_steps: int = 100) -> None:
        super().__init__()
        self.most_steps = most_steps

    def preflight(self, config: Any, processes: int, instantiate: Any) -> None:
        if (config["trainer"].get("max_steps") or 0) > self.most_steps:
            raise ConfigError(f"{config['name']} with {processes} process: too many steps")

    def close(self) -> None:
        Picky.closed.append("closed")
