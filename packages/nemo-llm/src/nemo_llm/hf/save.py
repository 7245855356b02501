"""A model of the engine, however it is divided, as a folder that ``transformers`` loads."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from nemo_core.errors import ConfigError, ExportError, NemoError
from nemo_llm.hf.config import config_to_hf
from nemo_llm.hf.families import weights
from nemo_llm.hf.rules import Weight
from nemo_llm.hf.shares import Share, pour, shares
from nemo_llm.hf.writing import WeightWriter, parse_size
from nemo_llm.megatron.checkpoint.agreement import gather
from nemo_llm.models.config import ModelConfig

__all__ = ["COMPANIONS", "copy_companions", "save_hf"]

#: Files of a model folder that are neither weights nor the architecture.
COMPANIONS = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "chat_template.jinja",
    "chat_template.json",
    "*.tiktoken",
)
_Key = tuple[str, int]  # name of a weight and number of a share


def save_hf(
    folder: str | Path,
    chunks: Iterable[nn.Module],
    config: ModelConfig,
    *,
    tokenizer_source: str | Path | None = None,
    extra: Mapping[str, Any] | None = None,
    generation: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
    max_shard_size: int | str = "5GB",
    overwrite: bool = False,
    progress: Callable[[float], Any] | None = None,
) -> None:
    """Write a model as a folder of ``transformers``; to be called in every process that has a part of it.

    Weight after weight goes to the first process, which writes it to its place: no more than one is in memory beside
    the model. The folder appears whole, or not at all.

    Args:
        folder: Where to.
        chunks: This process's parts of the model.
        config: Its architecture.
        tokenizer_source: A folder whose tokenizer files and ``generation_config.json`` are copied.
        extra: More keys of ``config.json``: ``bos_token_id``, ``eos_token_id``, ...
        generation: What ``generation_config.json`` is to say, if that is not copied.
        dtype: Type of the values; that of the model if not given.
        max_shard_size: Bytes of a file at most, such as ``5GB``.
        overwrite: Whether to replace a folder that is there.
        progress: Called, in the first process, with the number of values that were written.

    Raises:
        ConfigError: The architecture of the family cannot say what the model is.
        ExportError: The folder is there already, or no process has some part of the model.
    """
    folder = Path(folder)
    parse_size(max_shard_size)
    values = config_to_hf(config)
    table = weights(config)
    world = _World()
    mine: dict[_Key, Share] = {}
    with world.together():
        if folder.exists() and not overwrite:
            raise ExportError(f"{folder} is there already", hint="choose another name, or overwrite it")
        if tokenizer_source is not None and not Path(tokenizer_source).is_dir():
            raise ConfigError(f"{tokenizer_source} is no folder with a tokenizer")
        mine = {(each.weight.name, each.part): each for each in shares(chunks, table)}
    holders = _holders(world, mine, table)
    types = {name: dtype or holders[(name, 0)].dtype for name in table}
    # Without these, each architecture has numbers of its own, which need not be tokens of this vocabulary.
    unsaid: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    said = {key: value for key, value in (extra or {}).items() if value is not None}
    values = {**unsaid, **values, **said}
    values |= {"dtype": _name(types), "torch_dtype": _name(types)}
    temporary: Path | None = None
    writer: WeightWriter | None = None
    try:
        with world.together():
            if world.rank == 0:
                folder.parent.mkdir(parents=True, exist_ok=True)
                temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
                _write_json(temporary / "config.json", values)
                if generation is not None:
                    _write_json(temporary / "generation_config.json", generation)
                if tokenizer_source is not None:
                    copy_companions(tokenizer_source, temporary)
                writer = WeightWriter(temporary, _announced(table, types), max_shard_size)
        with world.together():
            _write(world, mine, holders, table, types, writer, progress)
            if temporary is not None:
                _put(temporary, folder)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def copy_companions(source: str | Path, target: str | Path) -> list[str]:
    """Copy tokenizer files and the settings of generation from one folder to another; returns their names."""
    found = [path for pattern in COMPANIONS for path in sorted(Path(source).glob(pattern)) if path.is_file()]
    for path in found:
        shutil.copyfile(path, Path(target, path.name))
    return [path.name for path in found]


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


class _World:
    """The processes that take part, and whether all of them are well."""

    def __init__(self) -> None:
        self.several = distributed.is_initialized() and distributed.get_world_size() > 1
        self.rank = distributed.get_rank() if self.several else 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raise in every process what was raised in one of them, so that none waits for ever."""
        mine: Exception | None = None
        try:
            yield
        except Exception as error:
            mine = error
        told = gather(mine if isinstance(mine, NemoError) else None if mine is None else str(mine) or repr(mine))
        if mine is not None:
            raise mine
        for rank, other in enumerate(told):
            if isinstance(other, NemoError):
                raise other
            if other is not None:
                raise ExportError(f"process {rank} could not do its part: {other}")


class _Holder:
    """Who has a share, and what it is like."""

    def __init__(self, rank: int, shape: tuple[int, ...], dtype: torch.dtype, parts: int) -> None:
        self.rank, self.shape, self.dtype, self.parts = rank, shape, dtype, parts


def _holders(world: _World, mine: Mapping[_Key, Share], table: Mapping[str, Weight]) -> dict[_Key, _Holder]:
    """Return who is to send each share: the first process that has it."""
    listing = {
        key: _Holder(world.rank, tuple(share.tensor.shape), share.tensor.dtype, share.parts)
        for key, share in mine.items()
    }
    found: dict[_Key, _Holder] = {}
    for other in gather(listing):
        for key, holder in other.items():
            found.setdefault(key, holder)
    lost = [
        name
        for name in table
        if (name, 0) not in found or any((name, part) not in found for part in range(found[(name, 0)].parts))
    ]
    if lost:
        raise ExportError(
            f"no process has {', '.join(lost[:5])}{' ...' if len(lost) > 5 else ''}",
            hint="save_hf is called in all processes, with all parts of each",
        )
    return found


def _write(
    world: _World,
    mine: Mapping[_Key, Share],
    holders: Mapping[_Key, _Holder],
    table: Mapping[str, Weight],
    types: Mapping[str, torch.dtype],
    writer: WeightWriter | None,
    progress: Callable[[float], Any] | None,
) -> None:
    """Send every share to the first process, which writes it; after a failure there, what comes is dropped."""
    device = torch.device("cpu")
    if world.several and distributed.get_backend() == "nccl":
        device = torch.device("cuda", torch.cuda.current_device())
    failed: Exception | None = None
    for name, weight in table.items():
        whole: dict[str, Tensor] = {}
        for part in range(holders[(name, 0)].parts):
            holder = holders[(name, part)]
            local = _fetch(world, mine.get((name, part)), holder, device)
            if local is None or failed is not None:
                continue
            whole = whole or {piece.tensor: torch.empty(piece.shape, dtype=types[name]) for piece in weight.pieces}
            pour(weight, local, part, holder.parts, whole)
        try:
            if writer is not None and failed is None:
                for tensor, value in whole.items():
                    writer.write(tensor, value)
                    if progress is not None:
                        progress(value.numel())
        except (OSError, NemoError) as error:
            failed = error
    if failed is not None:
        raise failed
    if writer is not None:
        writer.close()


def _fetch(world: _World, share: Share | None, holder: _Holder, device: torch.device) -> Tensor | None:
    """Return a share in the first process, None in all others."""
    if world.rank == holder.rank:
        assert share is not None
        local = share.tensor.detach()
        if world.rank != 0:
            distributed.send(local.to(device).contiguous().view(-1).view(torch.uint8), 0)
            return None
        return local
    if world.rank != 0:
        return None
    received = torch.empty(holder.shape, dtype=holder.dtype, device=device)
    distributed.recv(received.view(-1).view(torch.uint8), holder.rank)
    return received.cpu()


def _announced(
    table: Mapping[str, Weight], types: Mapping[str, torch.dtype]
) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    return {piece.tensor: (types[name], piece.shape) for name, weight in table.items() for piece in weight.pieces}


def _name(types: Mapping[str, torch.dtype]) -> str:
    """Return what ``config.json`` calls the type of most weights."""
    every = [str(dtype).removeprefix("torch.") for dtype in types.values()]
    return max(sorted(set(every)), key=every.count)


def _put(temporary: Path, folder: Path) -> None:
    temporary.chmod(0o755)  # temporary folders are their maker's only
    old = folder.with_name(f".{folder.name}.old")
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    temporary.rename(folder)
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old)
