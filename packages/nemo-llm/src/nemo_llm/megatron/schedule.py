"""One batch through the engine's schedule: micro-batches, pipeline stages, losses and their sums."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed

from nemo_core.errors import DataError, TrainingError
from nemo_llm.megatron.layout import Layout

if TYPE_CHECKING:
    from nemo_llm.megatron.optimizer import EngineOptimizer
    from nemo_llm.megatron.options import Options

__all__ = ["LossSums", "connect_schedule", "forward_backward", "micro_batches", "share_of_context"]

Batch = Mapping[str, Tensor]
TokenLosses = Callable[[Any, Batch], Tensor]
"""(part of the model, micro-batch) -> the output of the part; of the last part, losses (B, S) of all tokens."""


@dataclass(frozen=True)
class LossSums:
    """Sums over all tokens of a batch on all processes; the same on each of them.

    Attributes:
        loss: Sum of the losses of the tokens that count.
        tokens: How many count.
    """

    loss: Tensor
    tokens: Tensor

    @property
    def mean(self) -> Tensor:
        """Loss per token; 0 where no token counts."""
        return self.loss / self.tokens.clamp(min=1.0)


def forward_backward(
    chunks: Sequence[Any],
    batch: Batch,
    token_losses: TokenLosses,
    layout: Layout,
    *,
    micro_batch_size: int | None = None,
    forward_only: bool = False,
    hidden_length: Callable[[Batch], int] | None = None,
    whole: Collection[str] = (),
) -> LossSums:
    """Run a batch through the model and, unless ``forward_only``, its gradients back.

    Gradients are those of the mean over all tokens that count, of all micro-batches and all data-parallel processes, so
    that they do not depend on how a batch is divided.

    Args:
        chunks: This process's parts of the model, wrapped for data parallelism.
        batch: This process's share of the batch: ``tokens``, ``labels``, ``loss_mask`` (B, S) and more.
        token_losses: Runs a part of the model on a micro-batch.
        layout: Of the processes.
        micro_batch_size: Sequences of a micro-batch; see :class:`~nemo_llm.megatron.options.Options`.
        forward_only: No gradients.
        hidden_length: Length of the sequences that stages exchange, where it is not that of ``tokens``.
        whole: Names of what is no sequence of tokens, which context parallelism does not divide.

    Raises:
        DataError: The batch does not divide into micro-batches.
    """
    from megatron.core import parallel_state
    from megatron.core.pipeline_parallel import get_forward_backward_func

    parts = micro_batches(batch, layout, micro_batch_size)
    length = hidden_length(parts[0]) if hidden_length else parts[0]["tokens"].shape[1]
    if layout.context > 1:
        rank = parallel_state.get_context_parallel_rank()
        parts = [share_of_context(part, layout.context, rank, whole) for part in parts]

    def step(source: Iterator[Batch], chunk: Any) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]]:
        part = next(source)

        def sums(losses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mask = part["loss_mask"].to(losses.dtype)
            # Where the mask is 0 the loss may be anything, infinite too; a product would let that through.
            total = torch.where(mask != 0, losses * mask, torch.zeros_like(losses)).sum()
            count = mask.sum()
            return total, count.to(torch.int), torch.stack([total.detach().float(), count.float()])

        return token_losses(chunk, part), sums

    sources: Any = [iter(parts) for _ in chunks]
    found = get_forward_backward_func()(
        forward_step_func=step,
        data_iterator=sources if len(chunks) > 1 else sources[0],
        model=list(chunks) if len(chunks) > 1 else chunks[0],
        num_microbatches=len(parts),
        seq_length=length,
        micro_batch_size=len(parts[0]["tokens"]),
        forward_only=forward_only,
    )
    _forget_dispatched(chunks)
    sums = torch.stack(found).sum(0) if found else torch.zeros(2, device=batch["tokens"].device)
    return LossSums(*_over_all(sums, layout))


def _forget_dispatched(chunks: Sequence[Any]) -> None:
    """Let dispatchers of tokens to experts forget the tensors of the pass.

    They keep them until the next pass, and with them the graph of this one, whose hooks hold the model: memory that is
    needed elsewhere, and a circle through C++ in which no process group would ever be freed.
    """
    if not getattr(chunks[0].config, "num_moe_experts", None):
        return
    for module in (module for chunk in chunks for module in chunk.modules()):
        dispatcher = getattr(module, "token_dispatcher", None)
        for name, value in list(vars(dispatcher).items()) if dispatcher is not None else ():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                setattr(dispatcher, name, None)


def connect_schedule(chunks: Sequence[Any], optimizer: EngineOptimizer, options: Options) -> None:
    """Tell the schedule what to call between its steps: reduce gradients, scale losses, overlap communication.

    Args:
        chunks: This process's parts of the model, wrapped for data parallelism.
        optimizer: Theirs.
        options: What overlaps.
    """
    from megatron.core.distributed import finalize_model_grads

    for chunk in chunks:
        chunk.config.finalize_model_grads_func = finalize_model_grads
        chunk.config.grad_scale_func = optimizer.scale_loss if optimizer.scales_loss else None
    config, several = chunks[0].config, len(chunks) > 1
    if options.overlap_grad_reduce:
        no_sync, sync = [chunk.no_sync for chunk in chunks], [chunk.start_grad_sync for chunk in chunks]
        config.no_sync_func = no_sync if several else no_sync[0]
        if several:
            config.grad_sync_func = sync
    if options.overlap_param_gather:
        gather = [chunk.start_param_sync for chunk in chunks]
        config.param_sync_func = gather if several else gather[0]


def _over_all(sums: Tensor, layout: Layout) -> Tensor:
    """Add up over data and context parallelism, and tell the stages that have no loss."""
    from megatron.core import parallel_state

    if distributed.get_world_size() == 1:
        return sums
    group = parallel_state.get_data_parallel_group(with_context_parallel=True)
    if group.size() > 1:
        distributed.all_reduce(sums, group=group)
    if layout.pipeline > 1:
        last = parallel_state.get_pipeline_model_parallel_last_rank()
        distributed.broadcast(sums, src=last, group=parallel_state.get_pipeline_model_parallel_group())
    return sums


def micro_batches(batch: Batch, layout: Layout, size: int | None = None) -> list[dict[str, Tensor]]:
    """Divide a process's share of a batch into micro-batches of equal size.

    >>> batch = {"tokens": torch.zeros(4, 8)}
    >>> [len(part["tokens"]) for part in micro_batches(batch, Layout(pipeline=2))]
    [2, 2]
    """
    rows = len(batch["tokens"])
    if rows == 0:
        raise DataError("a batch has no sequences")
    if size is None:
        # As few as keep every stage of a pipeline at work, and divide the rows.
        count = next((n for n in range(min(layout.pipeline, rows), 0, -1) if rows % n == 0), 1)
        if layout.virtual_pipeline > 1:
            count = layout.pipeline
        size = max(1, rows // count)
    if rows % size or (layout.virtual_pipeline > 1 and (rows // size) % layout.pipeline):
        raise DataError(
            f"{rows} sequences do not divide into micro-batches of {size}"
            + (f" and those into groups of {layout.pipeline} stages" if layout.virtual_pipeline > 1 else ""),
            hint="change data.global_batch_size or strategy.micro_batch_size, or set data.drop_last=true",
        )
    return [{name: value[start : start + size] for name, value in batch.items()} for start in range(0, rows, size)]


def share_of_context(batch: Batch, size: int, rank: int, whole: Collection[str] = ()) -> dict[str, Tensor]:
    """Return one process's share of each sequence: two of ``2 * size`` chunks, one from either end.

    With a causal mask late positions see more than early ones; a chunk from either end gives all the same work. What
    is named in ``whole``, or has one dimension only, stays as it is.

    >>> share_of_context({"tokens": torch.arange(8)[None]}, 2, 0)["tokens"].tolist()
    [[0, 1, 6, 7]]

    Raises:
        TrainingError: A sequence does not divide.
    """
    found = {}
    for name, value in batch.items():
        if value.dim() < 2 or name in whole:
            found[name] = value
            continue
        if value.shape[1] % (2 * size):
            raise TrainingError(
                f"sequences of {value.shape[1]} tokens do not divide into {2 * size} chunks (2 x context {size})",
                hint="pad them: data.pad_to_multiple_of, or change data.sequence_length",
            )
        chunks = value.chunk(2 * size, dim=1)
        found[name] = torch.cat([chunks[rank], chunks[2 * size - 1 - rank]], dim=1)
    return found
