"""What a process has of each weight, and how it is put in and taken out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nemo_core.errors import ConfigError
from nemo_llm.hf.rules import Weight

__all__ = ["Share", "fill", "pour", "shares"]


@dataclass(frozen=True)
class Share:
    """A process's share of one weight.

    Attributes:
        weight: The weight of the undivided model.
        tensor: What this process has of it.
        part, parts: Which share it is, and how many there are.
    """

    weight: Weight
    tensor: Tensor
    part: int
    parts: int


def shares(chunks: Iterable[nn.Module], weights: Mapping[str, Weight]) -> Iterator[Share]:
    """Yield what this process has of a model's weights.

    Args:
        chunks: Its parts of the model.
        weights: Of the undivided model.

    Raises:
        ConfigError: It has a weight that is not among them, or whose shape is no share of theirs.
    """
    from nemo_llm.models.initialisation import global_names

    for chunk in chunks:
        parameters = {id(parameter) for parameter in _bare(chunk).parameters()}
        for name, tensor in global_names(_bare(chunk), buffers=True):
            weight = weights.get(name)
            if weight is not None:
                yield _share(weight, tensor)
            elif id(tensor) in parameters:
                raise ConfigError(
                    f"the model has a weight {name}, which its family has no name for in transformers",
                    hint="an adapter is to be merged first (nemo llm merge), or the model is of another family",
                )


def _bare(model: Any) -> nn.Module:
    while isinstance(getattr(model, "module", None), nn.Module):
        model = model.module
    return model


def _share(weight: Weight, tensor: Tensor) -> Share:
    from megatron.core import parallel_state

    if weight.expert is not None:
        parts = parallel_state.get_expert_tensor_parallel_world_size()
        part = parallel_state.get_expert_tensor_parallel_rank()
    else:
        parts = parallel_state.get_tensor_model_parallel_world_size()
        part = parallel_state.get_tensor_model_parallel_rank()
    shape = tuple(tensor.shape)
    if weight.padded:
        fits = shape[0] * parts >= weight.rows and shape[1:] == weight.local_shape(parts)[1:]
    else:
        if shape == weight.local_shape(1):  # as a whole in each process
            part, parts = 0, 1
        fits = shape == weight.local_shape(parts)
    if not fits:
        raise ConfigError(
            f"{weight.name} is {list(shape)} in this process, and its configuration makes it "
            f"{list(weight.local_shape(parts))} ({parts} shares)"
        )
    return Share(weight, tensor, part, parts)


def fill(share: Share, view: Any) -> None:
    """Put values in a process's share.

    Args:
        share: To put them in.
        view: A function from the name of a tensor to its values, as they lie in the file.
    """
    weight, target = share.weight, share.tensor
    position = 0
    columns = weight.columns_of(share.part, share.parts)
    with torch.no_grad():
        for run in weight.runs(share.part, share.parts, target.shape[0]):
            piece = weight.pieces[run.piece]
            source = view(piece.tensor)
            source = source.t() if piece.transposed else source
            source = source[piece.start + run.start : piece.start + run.stop]
            size = run.stop - run.start
            target[position : position + size].copy_(source if weight.columns is None else source[:, columns])
            position += size
        target[position:].zero_()


def pour(weight: Weight, local: Tensor, part: int, parts: int, whole: Mapping[str, Tensor]) -> None:
    """Put a share in its place in the whole tensors.

    Args:
        weight: The weight.
        local: A share of it; rows that are padding are left.
        part: Which share it is.
        parts: How many there are.
        whole: The tensors by name, as they will lie in the file.
    """
    position = 0
    columns = weight.columns_of(part, parts)
    for run in weight.runs(part, parts, local.shape[0]):
        piece = weight.pieces[run.piece]
        target = whole[piece.tensor]
        target = target.t() if piece.transposed else target
        target = target[piece.start + run.start : piece.start + run.stop]
        size = run.stop - run.start
        (target if weight.columns is None else target[:, columns]).copy_(local[position : position + size])
        position += size
