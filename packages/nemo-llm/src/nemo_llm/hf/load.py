"""Weights of ``transformers`` into a model of the engine, however it is divided."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nemo_llm.hf.config import architecture_of, config_from_hf, read_config_json
from nemo_llm.hf.families import repeated, weights
from nemo_llm.hf.files import WeightFiles
from nemo_llm.hf.rules import Weight
from nemo_llm.hf.shares import fill, shares
from nemo_llm.models.config import ModelConfig

__all__ = ["check_hf", "load_hf"]


def check_hf(folder: str | Path, config: ModelConfig | None = None) -> tuple[ModelConfig, torch.dtype]:
    """Check that a folder holds a whole model; reads headers only, and runs nothing.

    Args:
        folder: As ``save_pretrained`` writes it.
        config: The architecture, if it is known already.

    Returns:
        The architecture, and the type of its embedding's values.

    Raises:
        ConfigError: ``config.json`` is not there, or of an architecture that nemo-llm does not have.
        ArchiveError: Weights are missing, unexpected, of other shapes, damaged or cut short.
    """
    with _checked(folder, config) as (config, table, files):
        return config, files.dtype(next(iter(table.values())).pieces[0].tensor)


def load_hf(
    folder: str | Path,
    chunks: Iterable[nn.Module],
    config: ModelConfig | None = None,
    *,
    values: Mapping[str, Any] | None = None,
    names: Callable[[str], str | None] | None = None,
    progress: Callable[[float], Any] | None = None,
) -> None:
    """Load a model folder of ``transformers`` into this process's parts of a model.

    Each process reads its own shares from the files, and no more than a tensor at a time is in memory. Everything is
    checked first, from the headers of all files, in every process alike; no process waits for another.

    Args:
        folder: With ``config.json`` and safetensors files.
        chunks: The process's parts of the model (:func:`nemo_llm.models.build_chunks`).
        config: The architecture that they were built from; that of ``config.json`` if not given.
        values: What ``config.json`` says of the language model, where that is a part of another.
        names: What a tensor of the files is called in a language model's, likewise; None: it is no part of it.
        progress: Called with the number of values that were loaded.

    Raises:
        ConfigError: The architecture is none of ours, or not that of the parts.
        ArchiveError: Weights are missing, unexpected, of other shapes, damaged or cut short.
    """
    with _checked(folder, config, values, names) as (_, table, files):
        for share in shares(chunks, table):
            fill(share, files.view)
            if progress is not None:
                progress(share.tensor.numel())


@contextlib.contextmanager
def _checked(
    folder: str | Path,
    config: ModelConfig | None,
    values: Mapping[str, Any] | None = None,
    names: Callable[[str], str | None] | None = None,
) -> Iterator[tuple[ModelConfig, dict[str, Weight], WeightFiles]]:
    where = str(Path(folder, "config.json"))
    values = read_config_json(folder) if values is None else values
    architecture = architecture_of(values, where)
    config = config_from_hf(values, where) if config is None else config
    table = weights(config)
    with WeightFiles(folder, architecture.prefix, architecture.heads, names) as files:
        files.check(table.values(), tied=repeated(config, table), layers=config.num_layers)
        yield config, table, files
