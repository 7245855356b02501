"""Starting and stopping Megatron-core: process groups, parallel state, random numbers."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from datetime import timedelta

import torch
from torch import distributed

from nemo_core.errors import TrainingError
from nemo_llm.megatron import cpu
from nemo_llm.megatron.layout import Layout

__all__ = ["engine", "engine_running", "start_engine", "stop_engine"]

_owned: list[bool] = []  # whether the default process group is ours to end
_quiet = contextlib.ExitStack()


@contextlib.contextmanager
def engine(layout: Layout | None = None, *, seed: int = 0) -> Iterator[None]:
    """Run the engine for as long as the block takes; see :func:`start_engine`.

    >>> with engine(seed=1):
    ...     engine_running()
    True
    >>> engine_running()
    False
    """
    start_engine(layout, seed=seed)
    try:
        yield
    finally:
        stop_engine()


def engine_running() -> bool:
    """Whether the engine is started in this process."""
    return bool(_owned)


def start_engine(
    layout: Layout | None = None,
    *,
    seed: int = 0,
    timeout: timedelta = timedelta(minutes=30),
) -> None:
    """Start the engine in this process, and join the others where there are several.

    Without a process group (nobody has launched several processes) one of this process alone is made.

    Args:
        layout: How the processes are laid out; one process alone if not given.
        seed: Of the engine's random numbers; ranks that must differ get different ones of it.
        timeout: How long a collective may take.

    Raises:
        TrainingError: It runs already.
        ConfigError: The layout does not fit the number of processes, or Megatron-core is of another version.
    """
    if _owned:
        raise TrainingError("the engine runs already in this process", hint="stop_engine() first")
    layout = layout or Layout()
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    layout.check(processes)
    cpu.activate()
    alone = not distributed.is_initialized()
    if alone:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, store=distributed.HashStore(), rank=0, world_size=1, timeout=timeout)
    _owned.append(alone)
    _quiet.enter_context(_without_chatter())
    try:
        _lay_out(layout, seed, timeout)
    except BaseException:
        stop_engine()
        raise


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Ignore what the engine and torch say to the engine's authors: packages not there, names that will change."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"megatron\.core")
        warnings.filterwarnings("ignore", message=r"`torch\.distributed\.\w+` is deprecated", category=FutureWarning)
        yield


def _lay_out(layout: Layout, seed: int, timeout: timedelta) -> None:
    from megatron.core import parallel_state, tensor_parallel

    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=layout.tensor,
        pipeline_model_parallel_size=layout.pipeline,
        virtual_pipeline_model_parallel_size=layout.virtual_pipeline if layout.virtual_pipeline > 1 else None,
        context_parallel_size=layout.context,
        expert_model_parallel_size=layout.expert,
        expert_tensor_parallel_size=layout.expert_tensor,
        distributed_timeout_minutes=max(1, int(timeout.total_seconds() // 60)),
        # The groups are gloo's already where there is no GPU; a second one of each would cost three threads more.
        create_gloo_process_groups=torch.cuda.is_available(),
    )
    state = torch.get_rng_state()  # the tracker seeds torch's generator on its way
    tensor_parallel.model_parallel_cuda_manual_seed(seed)
    torch.set_rng_state(state)


def stop_engine() -> None:
    """Stop the engine and end the process groups that it made; does nothing where it does not run."""
    if not _owned:
        return
    from megatron.core import parallel_state
    from megatron.core.num_microbatches_calculator import destroy_num_microbatches_calculator
    from megatron.core.rerun_state_machine import destroy_rerun_state_machine
    from megatron.core.tensor_parallel.random import get_cuda_rng_tracker
    from megatron.core.transformer.moe.moe_utils import MoEAuxLossAutoScaler

    alone = _owned.pop()
    groups = [group for group in parallel_state._global_process_group_list or () if group is not None]
    get_cuda_rng_tracker().reset()
    parallel_state.destroy_model_parallel()
    parallel_state.destroy_global_memory_buffer()
    destroy_num_microbatches_calculator()
    destroy_rerun_state_machine()
    MoEAuxLossAutoScaler.main_loss_backward_scale = None  # of this run's loss; another's may be of another shape
    parallel_state._global_process_group_list = None
    if alone:
        distributed.destroy_process_group()
    elif distributed.is_initialized():
        for group in {id(group): group for group in groups}.values():
            # Each gloo group has three threads that poll; left behind, they would be thousands in a test process.
            with contextlib.suppress(ValueError, RuntimeError):
                distributed.destroy_process_group(group)
    _forget_meshes()
    cpu.deactivate()
    _quiet.close()


def _forget_meshes() -> None:
    """Empty torch's cache of how operators divide tensors: it has the process groups of this engine in it (FSDP2)."""
    module = sys.modules.get("torch.distributed.tensor")
    if module is not None:
        from torch.distributed.tensor.debug import _clear_sharding_prop_cache

        _clear_sharding_prop_cache()
