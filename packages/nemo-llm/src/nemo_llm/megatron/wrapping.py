"""Wrapping the parts of a model for data parallelism, as Megatron-core or torch does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nemo_llm.megatron.options import Options

__all__ = ["unwrap", "wrap"]


def wrap(chunks: Sequence[Any], options: Options, *, training: bool = True) -> list[Any]:
    """Return ``chunks`` wrapped for data parallelism, so that their gradients are reduced over its processes.

    Args:
        chunks: This process's parts of the model, as :func:`nemo_llm.models.gpt.build_chunks` returns them.
        options: ``sharding`` says how.
        training: Whether gradients are needed; without them nothing is wrapped but what divides the weights.
    """
    if options.sharding == "fsdp2":
        return [_fsdp2(chunk, options) for chunk in chunks]
    if not training:
        return list(chunks)
    if options.sharding == "megatron_fsdp":
        from megatron.core.distributed import FullyShardedDataParallel as Wrapper
    else:
        from megatron.core.distributed import DistributedDataParallel as Wrapper

    settings = options.data_parallel()
    if options.sharding == "optimizer" and not options.overlap_param_gather and _alone():
        # There is nobody to share the optimizer's state with; the engine would send weights and gradients to itself.
        settings.use_distributed_optimizer = False
    return [
        # The engine overlaps communication in the first part of an interleaved pipeline only.
        Wrapper(config=chunk.config, ddp_config=settings, module=chunk, disable_bucketing=index > 0)
        for index, chunk in enumerate(chunks)
    ]


def _alone() -> bool:
    """Whether no other process has the same part of the model."""
    from megatron.core import parallel_state

    return bool(parallel_state.get_data_parallel_world_size(with_context_parallel=True) == 1)


def _fsdp2(chunk: Any, options: Options) -> Any:
    from megatron.core.distributed.torch_fully_sharded_data_parallel import TorchFullyShardedDataParallel
    from megatron.core.models.common.embeddings.language_model_embedding import LanguageModelEmbedding
    from megatron.core.transformer.transformer_layer import TransformerLayer

    class Wrapped(TorchFullyShardedDataParallel):
        """Adds what the engine's schedule asks of a wrapper and torch's does not have."""

        def scale_gradients(self, scaling_factor: float) -> None:
            # torch has averaged over the processes that share the data; a sum over tokens is asked for.
            factor = scaling_factor * self.process_group.size()
            for parameter in self.module.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)

        def zero_grad_buffer(self) -> None:
            for parameter in self.module.parameters():
                parameter.grad = None

        def start_grad_sync(self, *unused: Any) -> None: ...

        def finish_grad_sync(self, force_all_reduce: bool = False) -> None: ...

    parts = {TransformerLayer}
    if not getattr(chunk, "share_embeddings_and_output_weights", False):
        parts.add(LanguageModelEmbedding)  # a shared one is needed again at the end: it stays with the whole
    return Wrapped(config=chunk.config, ddp_config=options.data_parallel(), module=chunk, sub_modules_to_wrap=parts)


def unwrap(chunks: Sequence[Any]) -> list[Any]:
    """Return the parts of the model themselves."""
    found = []
    for chunk in chunks:
        while hasattr(chunk, "module"):
            chunk = chunk.module
        found.append(chunk)
    return found
