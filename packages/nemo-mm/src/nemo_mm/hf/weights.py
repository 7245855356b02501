"""Names of weights, ours and those of transformers, as a table that is read in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from nemo_core.errors import ArchiveError
from nemo_llm.hf.files import WeightFiles
from nemo_llm.hf.writing import WeightWriter

__all__ = ["Rule", "layers", "load", "named", "save"]

_SHOWN = 5


@dataclass(frozen=True)
class Rule:
    """Weights that are the same values under other names.

    Attributes:
        ours: Names of ours; several are parts of one, one behind the other.
        theirs: Likewise.
        shape: What each of theirs is shaped like, where that is not the shape of ours; -1 for what follows.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    shape: tuple[int, ...] | None = None


def rule(ours: str, theirs: str, shape: tuple[int, ...] | None = None) -> Rule:
    """Return the rule for one weight.

    >>> rule("norm.weight", "post_layernorm.weight").theirs
    ('post_layernorm.weight',)
    """
    return Rule((ours,), (theirs,), shape)


def both(ours: str, theirs: str) -> list[Rule]:
    """Return the rules for weight and bias of a layer."""
    return [rule(f"{ours}.{part}", f"{theirs}.{part}") for part in ("weight", "bias")]


def layers(ours: str, theirs: str, count: int) -> list[Rule]:
    """Return the rules for the layers of a transformer, which CLIP and SigLIP name alike."""
    found = []
    for number in range(count):
        here, there = f"{ours}.layers.{number}", f"{theirs}.layers.{number}"
        for part in ("weight", "bias"):
            qkv = tuple(f"{there}.self_attn.{name}_proj.{part}" for name in "qkv")
            found.append(Rule((f"{here}.attention.qkv.{part}",), qkv))
        found += both(f"{here}.attention.out", f"{there}.self_attn.out_proj")
        found += both(f"{here}.norm1", f"{there}.layer_norm1") + both(f"{here}.norm2", f"{there}.layer_norm2")
        found += both(f"{here}.fc1", f"{there}.mlp.fc1") + both(f"{here}.fc2", f"{there}.mlp.fc2")
    return found


@torch.no_grad()
def load(
    model: nn.Module,
    folder: Path,
    rules: Iterable[Rule],
    ignored: tuple[str, ...] = (),
    rename: Callable[[str], str | None] | None = None,
) -> None:
    """Fill a model with the weights of a folder, in the precision of the model.

    Args:
        model: The model.
        folder: With safetensors files.
        rules: Of all its weights.
        ignored: How names end of what is not looked at.
        rename: From the names of the files to those of the rules; None for what is none of theirs.

    Raises:
        ArchiveError: Weights are missing, unexpected, or of other shapes; names them.
    """
    rules = list(rules)
    state: Mapping[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with WeightFiles(folder, "", (), *(() if rename is None else (rename,))) as files:
        wanted = {name for each in rules for name in each.theirs}
        there = {name for name in files.names() if not name.endswith(ignored)} if ignored else set(files.names())
        problems = [
            f"{word}: {', '.join(sorted(names)[:_SHOWN])}"
            + (f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN))
            for word, names in (("missing", wanted - there), ("unexpected", there - wanted))
            if names
        ]
        for each in rules if not problems else []:
            views = [files.view(name) for name in each.theirs]
            parts = [state[name] for name in each.ours]
            if sum(view.numel() for view in views) != sum(part.numel() for part in parts):
                shapes = " + ".join(str(list(files.shape(name))) for name in each.theirs)
                sizes = " + ".join(str(list(part.shape)) for part in parts)
                problems.append(f"{each.theirs[0]}: {shapes} does not make {sizes}")
                continue
            # One behind the other along the first axis, which is to say in memory.
            value = torch.cat([view.flatten() for view in views])
            for part, piece in zip(parts, value.split([part.numel() for part in parts]), strict=True):
                part.copy_(piece.view(part.shape))
    if problems:
        raise ArchiveError(
            "\n  ".join([f"the weights in {folder} are not those of its config.json:", *problems[:_SHOWN]]),
            hint="is the folder complete, and the config.json its own?",
        )


def named(model: nn.Module, rules: Iterable[Rule]) -> dict[str, Tensor]:
    """Return the weights of a model under the names of transformers."""
    state: Mapping[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    found: dict[str, Tensor] = {}
    for each in rules:
        parts = [state[name].detach() for name in each.ours]
        value = torch.cat(parts) if len(parts) > 1 else parts[0]
        for name, piece in zip(each.theirs, value.chunk(len(each.theirs)) if value.ndim else [value], strict=True):
            found[name] = piece if each.shape is None else piece.reshape(each.shape)
    return found


def save(model: nn.Module, folder: Path, rules: Iterable[Rule]) -> None:
    """Write the weights of a model to a folder, under the names of transformers."""
    found = named(model, rules)
    tensors = {name: (value.dtype, tuple(value.shape)) for name, value in found.items()}
    with WeightWriter(folder, tensors) as writer:
        for name, value in found.items():
            writer.write(name, value)
