"""Lightning's view of Megatron-core: the engine does the work, the strategy says when."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, distributed

from nemo_core.errors import ConfigError
from nemo_llm.megatron.layout import Layout
from nemo_llm.megatron.memory import keep_freed_memory
from nemo_llm.megatron.options import Options, dtype_of
from nemo_llm.megatron.precision import MegatronPrecision
from nemo_llm.megatron.schedule import Batch, LossSums, TokenLosses, connect_schedule, forward_backward

if TYPE_CHECKING:
    from nemo_llm.megatron.checkpoint import ModelParts
    from nemo_llm.megatron.optimizer import EngineOptimizer
    from nemo_llm.models.engine_model import EngineModel

__all__ = ["MegatronStrategy"]

# Fields of the engine's configuration that spread layers over pipeline stages by hand.
_UNEVEN = (
    "num_layers_in_first_pipeline_stage",
    "num_layers_in_last_pipeline_stage",
    "pipeline_model_parallel_layout",
    "account_for_embedding_in_pipeline_split",
    "account_for_loss_in_pipeline_split",
)


class MegatronStrategy(DDPStrategy):
    """Tensor, sequence, pipeline, context, expert and data parallelism on Megatron-core, on GPUs or CPU processes.

    A batch of the data module is one optimiser step; what is not divided by the other dimensions is data parallelism.
    A layout that cannot work is refused before any process starts.

    Args:
        tensor_parallel: Processes that each weight matrix is divided among.
        pipeline_parallel: Processes that the layers are divided among.
        virtual_pipeline: Pieces of the model that each of those has (interleaved schedule).
        context_parallel: Processes that each sequence is divided among.
        expert_parallel: Processes that the experts of a layer are divided among.
        expert_tensor_parallel: Processes that each expert is divided among; as ``tensor_parallel`` if not given.
        sequence_parallel: Divide norms and dropout along the sequence, among the processes of tensor parallelism.
        sharding: See :class:`~nemo_llm.megatron.options.Options`, as for all that follow.
        micro_batch_size: Sequences that go through the model at a time.
        context_mode: ``all_gather`` or ``ring``.
        grad_reduce_in_fp32: Add gradients up in float32.
        recompute: ``full``, ``selective``, or a number of layers.
        overlap_grad_reduce: Reduce gradients while computing others.
        overlap_param_gather: Gather weights while computing.
        overlap_p2p: Pass activations between stages while computing.
        overlap_tensor: Communicate in tensor parallelism while computing.
        cpu_offload_layers: Layers whose activations wait in the host's memory.
        cpu_offload_optimizer: Part of the optimiser in the host's memory.
        fp8_recipe: delayed, tensorwise, mxfp8 or blockwise.
        fp16_loss_scale: Fixed loss scale.
        timeout_minutes: How long processes wait for one another.
        background_save: Write checkpoints while training goes on.
        engine: Further fields of Megatron-core's ``TransformerConfig``.
        ddp: Further fields of its ``DistributedDataParallelConfig``.
        optimizer: Further fields of its ``OptimizerConfig``.

    Example:
        >>> strategy = MegatronStrategy(tensor_parallel=2, sequence_parallel=True)
        >>> str(strategy.layout)
        'TP2 SP'
    """

    restore_checkpoint_after_setup = True  # the engine's weights exist only then

    def __init__(
        self,
        tensor_parallel: int = 1,
        pipeline_parallel: int = 1,
        virtual_pipeline: int = 1,
        context_parallel: int = 1,
        expert_parallel: int = 1,
        expert_tensor_parallel: int | None = None,
        sequence_parallel: bool = False,
        sharding: Literal["none", "optimizer", "fsdp2", "megatron_fsdp"] = "optimizer",
        micro_batch_size: int | None = None,
        context_mode: Literal["all_gather", "ring"] = "all_gather",
        grad_reduce_in_fp32: bool = True,
        recompute: str | int | None = None,
        overlap_grad_reduce: bool = False,
        overlap_param_gather: bool = False,
        overlap_p2p: bool = False,
        overlap_tensor: bool = False,
        cpu_offload_layers: int = 0,
        cpu_offload_optimizer: float = 0.0,
        fp8_recipe: str = "delayed",
        fp16_loss_scale: float | None = None,
        timeout_minutes: float = 30.0,
        background_save: bool = True,
        engine: Mapping[str, Any] | None = None,
        ddp: Mapping[str, Any] | None = None,
        optimizer: Mapping[str, Any] | None = None,
    ) -> None:
        self.layout = Layout(
            tensor=tensor_parallel,
            pipeline=pipeline_parallel,
            virtual_pipeline=virtual_pipeline,
            context=context_parallel,
            expert=expert_parallel,
            expert_tensor=expert_tensor_parallel,
            sequence_parallel=sequence_parallel,
        )
        self.options = Options(
            sharding=sharding,
            micro_batch_size=micro_batch_size,
            context_mode=context_mode,
            grad_reduce_in_fp32=grad_reduce_in_fp32,
            recompute=recompute,
            overlap_grad_reduce=overlap_grad_reduce,
            overlap_param_gather=overlap_param_gather,
            overlap_p2p=overlap_p2p,
            overlap_tensor=overlap_tensor,
            cpu_offload_layers=cpu_offload_layers,
            cpu_offload_optimizer=cpu_offload_optimizer,
            fp8_recipe=fp8_recipe,
            fp16_loss_scale=fp16_loss_scale,
            timeout_minutes=timeout_minutes,
            background_save=background_save,
            engine=engine or {},
            ddp=ddp or {},
            optimizer=optimizer or {},
        )
        super().__init__(timeout=timedelta(minutes=timeout_minutes))
        self.chunks: list[Any] = []  # this process's parts of the model, wrapped for data parallelism
        self._started = False
        self._owns_processes = False

    # ------------------------------------------------------------------------------------------------ before launch

    def preflight(self, config: Mapping[str, Any], processes: int, instantiate: Callable[[Any, str], Any]) -> None:
        """Refuse what cannot work, from the configuration alone; called before processes are started.

        Args:
            config: The whole configuration.
            processes: How many there will be.
            instantiate: (node, where) -> what it describes, within the trust of the configuration.

        Raises:
            ConfigError: The layout is not possible, with the arithmetic.
        """
        if ((config.get("experiment") or {}).get("ema") or {}).get("enable"):
            raise ConfigError(
                "experiment.ema: weights that the engine divides among processes are not averaged",
                hint="set experiment.ema.enable=false",
            )
        model, data = config.get("model") or {}, config.get("data") or {}
        found = _architecture(model, instantiate)
        self.layout.check(
            processes,
            found,
            sequence_length=data.get("sequence_length"),
            global_batch_size=data.get("global_batch_size"),
            micro_batch_size=self.options.micro_batch_size,
            uneven=any(key in self.options.engine for key in _UNEVEN),
        )
        if found is not None and self.options.sharding == "fsdp2" and self.layout.pipeline * self.layout.tensor > 1:
            raise ConfigError(
                f"strategy.sharding: fsdp2 divides whole models, and the layout is {self.layout}",
                hint="use sharding=optimizer with tensor and pipeline parallelism",
            )

    # ------------------------------------------------------------------------------------------- processes and engine

    def setup_environment(self) -> None:
        """Join the other processes and start the engine."""
        from nemo_llm.megatron.runtime import engine_running, start_engine, stop_engine

        before = distributed.is_initialized()
        super().setup_environment()
        if self._started:
            return  # a test after a training: the engine, and the model in it, are still there
        if engine_running():
            stop_engine()  # of a strategy that nobody closed
        self._owns_processes = not before
        seed = int(torch.initial_seed() % 2**31)
        start_engine(self.layout, seed=seed, timeout=timedelta(minutes=self.options.timeout_minutes))
        self._started = True

    def teardown(self) -> None:
        """End a fit or a test; the engine stays until :meth:`close`, since a test may follow."""
        super().teardown()

    def close(self) -> None:
        """Stop the engine; the model's weights are of no use after that."""
        from nemo_llm.megatron.runtime import stop_engine

        self.checkpoint_io.teardown()
        if self._started:
            stop_engine()
            self._started = False
        if self._owns_processes and distributed.is_initialized():
            distributed.destroy_process_group()
            self._owns_processes = False
        self.chunks = []

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        """Which part of the data this process has: only data parallelism divides it."""
        from megatron.core import parallel_state

        return {
            "num_replicas": parallel_state.get_data_parallel_world_size(),
            "rank": parallel_state.get_data_parallel_rank(),
        }

    # ------------------------------------------------------------------------------------------------------ precision

    @property
    def precision_plugin(self) -> Any:
        """The engine's; of whatever Lightning sets only the name of the precision is taken."""
        return self._precision_plugin or MegatronPrecision()

    @precision_plugin.setter
    def precision_plugin(self, plugin: Any) -> None:
        self._precision_plugin = None if plugin is None else MegatronPrecision(str(plugin.precision))

    @property
    def precision(self) -> str:
        """Lightning's name of the precision."""
        return str(self.precision_plugin.precision)

    @property
    def dtype(self) -> torch.dtype:
        """What weights and activations are stored in."""
        return dtype_of(self.precision)

    # ---------------------------------------------------------------------------------------------- model, optimizer

    def setup(self, trainer: Trainer) -> None:
        """Wrap the model for data parallelism, and make its optimizer."""
        from nemo_llm.megatron.wrapping import wrap

        assert self.accelerator is not None
        self.accelerator.setup(trainer)
        model = self.engine_model
        fitting = trainer.state.fn == TrainerFn.FITTING
        if fitting:
            _refuse_what_the_engine_does(trainer)
        model.to(self.root_device)
        if not self.chunks or (fitting and not hasattr(self.chunks[0], "ddp_config")):
            self.chunks = wrap(list(model.chunks), self.options, training=fitting)
        if fitting:
            if self.root_device.type == "cpu":
                keep_freed_memory()
            self.setup_optimizers(trainer)
            optimizer: Any = self.optimizers[0]
            connect_schedule(self.chunks, optimizer, self.options)
        self.setup_precision_plugin()

    @property
    def engine_model(self) -> EngineModel:
        """The model, if it is one that the engine can run.

        Raises:
            ConfigError: It is not.
        """
        from nemo_llm.models.engine_model import EngineModel

        model = self.lightning_module
        if not isinstance(model, EngineModel):
            raise ConfigError(
                f"trainer.strategy: {type(model).__name__} is not made of Megatron-core's parts",
                hint="use it with models of nemo-llm, or train with trainer.strategy=ddp",
            )
        return model

    def build_optimizer(self, optim: Mapping[str, Any]) -> EngineOptimizer:
        """Build the engine's optimizer of a recipe's ``optim`` section."""
        from nemo_llm.megatron.optimizer import build_optimizer

        assert self.lightning_module is not None
        clip = self.lightning_module.trainer.gradient_clip_val
        return build_optimizer(
            optim,
            self.chunks,
            dtype=self.dtype,
            sharding=self.options.sharding,
            clip=float(clip or 0.0),
            options=self.options,
        )

    # ---------------------------------------------------------------------------------------------------------- steps

    def forward_backward(
        self,
        batch: Batch,
        token_losses: TokenLosses,
        *,
        forward_only: bool = False,
        hidden_length: Callable[[Batch], int] | None = None,
        whole: Collection[str] = (),
    ) -> LossSums:
        """Run this process's share of a batch through the model, and its gradients back; see ``schedule``."""
        if not forward_only:
            self.optimizers[0].clear()  # type: ignore[attr-defined]
        return forward_backward(
            self.chunks,
            batch,
            token_losses,
            self.layout,
            micro_batch_size=None if forward_only and self.layout.pipeline == 1 else self.options.micro_batch_size,
            forward_only=forward_only,
            hidden_length=hidden_length,
            whole=whole,
        )

    def backward(self, closure_loss: Tensor, optimizer: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Call Lightning's hooks; the schedule has run the backward pass already."""
        return closure_loss

    def model_to_device(self) -> None:
        """Done in :meth:`setup`."""

    # ---------------------------------------------------------------------------------------------------- checkpoints

    @property
    def checkpoint_io(self) -> Any:
        """Reads and writes checkpoints; made when it is first asked for, since that loads the engine."""
        if self._checkpoint_io is None:
            from nemo_llm.megatron.cpu import import_engine

            import_engine()  # before anything else imports parts of it, with all its warnings
            from nemo_llm.megatron.checkpoint import MegatronCheckpointIO

            self._checkpoint_io = MegatronCheckpointIO(self.parts, background=self.options.background_save)
        return self._checkpoint_io

    @checkpoint_io.setter
    def checkpoint_io(self, io: Any) -> None:
        self._checkpoint_io = io

    def parts(self) -> ModelParts:
        """Return what a checkpoint is made of."""
        from nemo_llm.megatron.checkpoint import ModelParts

        model = self.engine_model
        optimizer: Any = self.optimizers[0] if self.optimizers else None
        return ModelParts(
            chunks=self.chunks or list(model.chunks),
            config=model.config,
            layout=self.layout,
            optimizer=None if optimizer is None else optimizer.inner,
            tokenizer=model.tokenizer,
        )

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Write weights, optimizer and what Lightning keeps; all processes take part."""
        checkpoint["engine_rng"] = self._rng_states()
        self.checkpoint_io.save_checkpoint(checkpoint, filepath)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read what Lightning keeps; the engine's state is read when model and optimizer are there."""
        found: dict[str, Any] = self.checkpoint_io.load_checkpoint(checkpoint_path)
        return found

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Nothing: the engine writes the weights."""
        return {}

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """Nothing: the engine writes it."""
        return {}

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Read the weights, where no optimizer will ask for them."""
        if not self.optimizers:
            self.checkpoint_io.restore(optimizer=False)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Read weights and optimizer state, and the engine's random numbers."""
        self.checkpoint_io.restore(optimizer=True)
        states = checkpoint.get("engine_rng")
        if states and len(states) == self.world_size:
            from megatron.core.tensor_parallel.random import get_cuda_rng_tracker

            get_cuda_rng_tracker().set_states(states[self.global_rank])

    def _rng_states(self) -> list[dict[str, Tensor]]:
        from megatron.core.tensor_parallel.random import get_cuda_rng_tracker

        states: list[Any] = [get_cuda_rng_tracker().get_states()]
        if self.world_size > 1:
            states = [None] * self.world_size
            distributed.all_gather_object(states, get_cuda_rng_tracker().get_states())
        return states


def _architecture(model: Mapping[str, Any], instantiate: Callable[[Any, str], Any]) -> Any:
    """Return the architecture that a recipe's ``model`` section says, None where it says none."""
    from nemo_core.plugins import registry
    from nemo_llm.models.engine_model import EngineModel

    architecture = model.get("architecture")
    if isinstance(architecture, Mapping) and "_target_" in architecture:
        architecture = instantiate(architecture, "model.architecture")
        return architecture if hasattr(architecture, "num_layers") else None
    component = registry().find(str(model.get("_target_")))
    kind = None if component is None else component.load()
    if not isinstance(architecture, Mapping) or not (isinstance(kind, type) and issubclass(kind, EngineModel)):
        return None
    return kind.preview_config(architecture)


def _refuse_what_the_engine_does(trainer: Trainer) -> None:
    """Refuse settings of Lightning's loop that would be silently without effect, or wrong."""
    if trainer.accumulate_grad_batches != 1:
        raise ConfigError(
            "trainer.accumulate_grad_batches: a batch is one step of the engine, which divides it into micro-batches",
            hint="raise data.global_batch_size and set strategy.micro_batch_size",
        )
    if (
        trainer.gradient_clip_val
        and str(trainer.gradient_clip_algorithm or "norm").rpartition(".")[2].lower() == "value"
    ):
        raise ConfigError("trainer.gradient_clip_algorithm: the engine clips by norm only", hint="set it to norm")


def strategy_of(model: LightningModule) -> MegatronStrategy:
    """Return the strategy that trains ``model``.

    Raises:
        ConfigError: It is another one.
    """
    strategy = model.trainer.strategy
    if not isinstance(strategy, MegatronStrategy):
        raise ConfigError(
            f"{type(model).__name__} is trained with {type(strategy).__name__}",
            hint="set trainer.strategy={_target_: llm.MegatronStrategy}, as the recipes of nemo-llm do",
        )
    return strategy
