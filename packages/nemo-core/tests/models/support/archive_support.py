"""Models and parts that the tests of archives are made of; importable by name, as an archive needs it."""

from __future__ import annotations

from pathlib import Path

import torch

from nemo_core.config.configured import Configured
from nemo_core.errors import ExportError
from nemo_core.models import Model, NvidiaModel
from nemo_core.models.nvidia_export import reference


class Vocabulary(Configured):
    """Reads a file while it is constructed, as a tokenizer does."""

    def __init__(self, path, lower=False):
        self.path, self.lower = path, lower
        self.content = Path(path).read_bytes()

    def artifacts(self):
        return {"path": self.content}


class Part(torch.nn.Module, Configured):
    def __init__(self, size=3):
        super().__init__()
        self.layer = torch.nn.Linear(size, size)
        self.norm = torch.nn.BatchNorm1d(size)

    def forward(self, x):
        return self.norm(self.layer(x))


class Small(Model):
    """Two parts, a tokenizer, a tied weight."""

    def __init__(self, part, vocabulary=None, *, out=2, tie=False, vocabularies=()):
        super().__init__()
        self.part = part
        self.vocabulary = vocabulary
        self.vocabularies = list(vocabularies)
        self.head = torch.nn.Linear(part.layer.in_features, out)
        if tie:
            self.head.weight = part.layer.weight

    def forward(self, x):
        return self.head(self.part(x))


class Other(Model):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)


class Free(Model):
    """Weights of any names, shapes and types."""

    def __init__(self, weights=()):
        super().__init__()
        self.names = []
        for index, (shape, dtype) in enumerate(weights):
            self.names.append(f"w{index}")
            self.register_buffer(f"w{index}", torch.zeros(list(shape), dtype=getattr(torch, dtype)))


class FromNvidia(Model):
    """Stands in for a class of NVIDIA's, whose archives it reads."""

    def __init__(self, size, rate, vocabulary=None):
        super().__init__()
        self.rate, self.vocabulary = rate, vocabulary
        self.w0 = torch.nn.Parameter(torch.zeros(size))

    @classmethod
    def from_nvidia(cls, config, artifacts):
        file = config["tokenizer"]["path"]
        assert file in map(str, artifacts.values())
        vocabulary = {"_target_": "demo.Vocabulary", "path": file}
        return {"size": config["size"], "rate": config["copied"], "vocabulary": vocabulary}

    def nvidia_weights(self, state):
        return {name.removeprefix("theirs."): value for name, value in state.items()}

    def to_nvidia(self):
        if self.rate > 16000:
            raise ExportError(f"rate={self.rate} is more than NVIDIA NeMo can do", hint="--set rate=16000")
        files = {}
        path = reference("vocab.txt", self.vocabulary.content, files)
        return NvidiaModel(
            "nemo.collections.asr.models.DemoModel",
            {"size": self.w0.numel(), "copied": self.rate, "tokenizer": {"path": path}},
            {"theirs.w0": self.w0},
            files,
        )


def write_names(model, path, *, overwrite=False):
    """A format of a plugin's own: the names of the weights."""
    path.write_text("\n".join(model.state_dict()))
    return path
