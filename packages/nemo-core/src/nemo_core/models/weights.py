"""Weights between models and files: written as safetensors, read without running anything."""

from __future__ import annotations

import io
import itertools
import math
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from nemo_core.errors import ArchiveError, UnsafeArchiveError
from nemo_core.models.pickle_scan import ViewIO, unsafe_globals
from nemo_core.models.report import LoadReport
from nemo_core.models.safetensors_format import DTYPES, read_header

__all__ = ["load_into", "read_checkpoint", "read_safetensors", "write_safetensors"]


def write_safetensors(state: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Write a state dict to a safetensors file.

    Tensors that are one and the same (tied weights) are stored once, since the format has no way to share.

    Returns:
        Of the others, the name that each is stored under.

    Raises:
        ArchiveError: An entry is no tensor, or one that has no plain values (meta, sparse, quantised, sharded).
    """
    from safetensors.torch import save_file

    stored: dict[str, torch.Tensor] = {}
    tied: dict[str, str] = {}
    owners: dict[tuple[Any, ...], str] = {}
    for name, value in state.items():
        tensor = _plain_tensor(name, value)
        storage = tensor.untyped_storage()
        place = (storage.data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in owners:
            tied[name] = owners[place]
            continue
        owners[place] = name
        # A view into a larger storage, transposed or sliced, gets a storage of its own.
        whole = tensor.is_contiguous() and storage.nbytes() == tensor.numel() * tensor.element_size()
        stored[name] = tensor if whole else tensor.clone(memory_format=torch.contiguous_format)
    try:
        save_file(stored, path)
    except (ValueError, RuntimeError, KeyError) as error:
        raise ArchiveError(f"the weights cannot be archived: {error}") from error
    return tied


def read_safetensors(view: memoryview, where: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file, as views of its bytes.

    Raises:
        ArchiveError: The file is damaged, or has a type of values that this torch does not know.
    """
    return {
        name: _tensor_at(view, info.dtype, info.shape, info.start, where)
        for name, info in read_header(view, where).items()
    }


def read_checkpoint(view: memoryview, where: str) -> dict[str, Any]:
    """Return what ``torch.save`` wrote, provided that it is tensors and plain containers; nothing is executed.

    Raises:
        UnsafeArchiveError: The pickle asks for anything else; the message names it.
        ArchiveError: The file is damaged, or holds no mapping.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(io.BufferedReader(ViewIO(view)), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = unsafe_globals(view, where)
        reason = f"calls {', '.join(found)}" if found else f"is refused by torch: {str(error).splitlines()[0]}"
        raise UnsafeArchiveError(
            f"{where} is a pickle that {reason}", hint="nothing of it was executed; do not trust its source"
        ) from error
    except Exception as error:  # a damaged file surfaces as whatever the parser stumbled over
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArchiveError(f"{where} is damaged or no checkpoint: {problem}") from error
    if not isinstance(content, Mapping):
        raise ArchiveError(f"{where} holds no state dict but {type(content).__name__}")
    return dict(content)


def load_into(
    model: torch.nn.Module,
    state: Mapping[str, Any],
    source: str,
    *,
    wanted: Callable[[str], bool] | None = None,
    keep_dtype: bool = False,
) -> LoadReport:
    """Copy weights into a model, as far as names and shapes agree, and report the rest.

    Args:
        model: Receives the weights.
        state: Weights by name.
        source: Where they came from, for the report.
        wanted: Which names to take; all if not given.
        keep_dtype: Give each weight the type it was stored in, instead of converting it to the model's.

    Raises:
        ArchiveError: An entry is no tensor, or the model itself refuses one.
    """
    skipped = [name for name in state if wanted is not None and not wanted(name)]
    own = model.state_dict()
    taken = {name: value for name, value in state.items() if wanted is None or wanted(name)}
    for name, value in taken.items():
        if not isinstance(value, torch.Tensor):
            raise ArchiveError(f"{source}: {name} is no tensor but {type(value).__name__}")
    mismatched = {
        name: (tuple(own[name].shape), tuple(value.shape))
        for name, value in taken.items()
        if isinstance(own.get(name), torch.Tensor) and own[name].shape != value.shape
    }
    taken = OrderedDict((name, value) for name, value in taken.items() if name not in mismatched)
    # Without the versions of the modules' layouts, some (batch norm) invent what is missing instead of reporting it.
    taken._metadata = getattr(own, "_metadata", None)  # type: ignore[attr-defined]
    if keep_dtype:
        _adopt_dtypes(model, taken)
    try:
        result = model.load_state_dict(taken, strict=False)
    except RuntimeError as error:
        raise ArchiveError(f"{source} does not fit {type(model).__qualname__}: {error}") from error
    missing = [name for name in result.missing_keys if name not in mismatched]
    absent = {*missing, *mismatched}
    return LoadReport(
        source=source,
        loaded=[name for name in own if name not in absent],
        missing=missing,
        unexpected=list(result.unexpected_keys),
        mismatched=mismatched,
        skipped=skipped,
    )


def _plain_tensor(name: str, value: Any) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        raise ArchiveError(
            f"{name} in the state dict is no tensor but {type(value).__name__}",
            hint="keep such state in a buffer, or out of get_extra_state",
        )
    if type(value) not in (torch.Tensor, torch.nn.Parameter) or value.layout is not torch.strided or value.is_quantized:
        raise ArchiveError(
            f"{name} is a {type(value).__name__} of layout {value.layout}", hint="make it dense and local first"
        )
    if value.is_meta:
        raise ArchiveError(f"{name} is on the meta device: it has no values yet")
    tensor = value.detach().cpu().resolve_conj().resolve_neg()
    if all(dtype != str(tensor.dtype).removeprefix("torch.") for dtype, _ in DTYPES.values()):
        raise ArchiveError(f"{name} is of the type {tensor.dtype}, which safetensors cannot store")
    return tensor


def _tensor_at(view: memoryview, dtype_name: str, shape: tuple[int, ...], start: int, where: str) -> torch.Tensor:
    dtype = getattr(torch, DTYPES[dtype_name][0], None)
    if dtype is None:
        raise ArchiveError(f"{where} holds {dtype_name} values, which torch {torch.__version__} does not know")
    count = math.prod(shape)
    if not count:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(view, dtype=dtype, count=count, offset=start).view(shape)


def _adopt_dtypes(model: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in itertools.chain(
        model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
    ):
        stored = state.get(name)
        if stored is not None and stored.dtype != tensor.dtype:
            tensor.data = tensor.data.to(stored.dtype)
