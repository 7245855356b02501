"""How a training is laid out over processes, and which layouts are possible: checked before anything is launched."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean

if TYPE_CHECKING:
    from nemo_llm.models.bert import BertConfig
    from nemo_llm.models.config import ModelConfig
    from nemo_llm.models.t5 import T5Config

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """Over how many processes each dimension of the work is divided; what is left over is data parallelism.

    Attributes:
        tensor: Each weight matrix is divided among so many processes.
        pipeline: The layers are divided among so many.
        virtual_pipeline: Each of those has so many separate pieces of the model (interleaved schedule).
        context: Each sequence is divided among so many.
        expert: The experts of a layer are divided among so many; taken out of data and context parallelism.
        expert_tensor: Each expert's matrices are divided among so many; ``tensor`` if not given.
        sequence_parallel: Whether norms and dropout between matrices are divided along the sequence (needs
            ``tensor > 1``).

    Example:
        >>> layout = Layout(tensor=2, pipeline=2)
        >>> layout.model_processes, layout.data_parallel(8), str(layout)
        (4, 2, 'TP2 PP2')
        >>> layout.check(6)
        Traceback (most recent call last):
        nemo_core.errors.ConfigError: this layout is not possible:
          6 processes cannot be divided into models of 4 (tensor 2 x pipeline 2 x context 1)
          start a multiple of 4 processes, or change strategy.tensor_parallel, pipeline_parallel, ...
    """

    tensor: int = 1
    pipeline: int = 1
    virtual_pipeline: int = 1
    context: int = 1
    expert: int = 1
    expert_tensor: int | None = None
    sequence_parallel: bool = False

    @property
    def model_processes(self) -> int:
        """Processes that share one copy of the model and one sequence."""
        return self.tensor * self.pipeline * self.context

    def data_parallel(self, processes: int) -> int:
        """Return how many parts the sequences of a step are divided into."""
        return processes // self.model_processes

    def __str__(self) -> str:
        sizes = (
            ("TP", self.tensor),
            ("PP", self.pipeline),
            ("VP", self.virtual_pipeline),
            ("CP", self.context),
            ("EP", self.expert),
        )
        parts = [f"{name}{size}" for name, size in sizes if size > 1]
        if self.expert_tensor not in (None, self.tensor):
            parts.append(f"ETP{self.expert_tensor}")
        if self.sequence_parallel:
            parts.append("SP")
        return " ".join(parts) or "one process"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Layout:
        """Build a layout of plain values.

        Raises:
            ConfigError: A key is not known.
        """
        known = [each.name for each in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise ConfigError(f"{key} is not a dimension of a layout", hint=did_you_mean(str(key), known))
        return cls(**values)

    def check(
        self,
        processes: int,
        config: ModelConfig | BertConfig | T5Config | None = None,
        *,
        sequence_length: int | None = None,
        global_batch_size: int | None = None,
        micro_batch_size: int | None = None,
        uneven: bool = False,
    ) -> None:
        """Refuse a layout that cannot work, with the arithmetic that says so.

        Args:
            processes: How many there are.
            config: The model, if it is known.
            sequence_length: Tokens of a training sequence, if known.
            global_batch_size: Sequences of a step over all processes, if known.
            micro_batch_size: Sequences that pass through the pipeline at a time.
            uneven: Whether the engine is told how layers that do not divide are spread over the stages.

        Raises:
            ConfigError: It is not possible; all reasons are listed.
        """
        problems = [*self._sizes(processes)]
        if not problems:
            if config is not None:
                if hasattr(config, "layout_problems"):
                    problems += config.layout_problems(self)
                problems += self._model(config, uneven)
            problems += self._batch(processes, sequence_length, global_batch_size, micro_batch_size)
        if problems:
            raise ConfigError(
                "\n  ".join(["this layout is not possible:", *problems]),
                hint=f"start a multiple of {max(1, self.model_processes)} processes, or change "
                "strategy.tensor_parallel, pipeline_parallel, ...",
            )

    def _sizes(self, processes: int) -> list[str]:
        found = []
        for name in ("tensor", "pipeline", "virtual_pipeline", "context", "expert", "expert_tensor"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                found.append(f"{name} is {value!r}: give a whole number from 1 on")
        if found:
            return found
        each = f"tensor {self.tensor} x pipeline {self.pipeline} x context {self.context}"
        if processes % self.model_processes:
            found.append(f"{processes} processes cannot be divided into models of {self.model_processes} ({each})")
        if self.virtual_pipeline > 1 and self.pipeline == 1:
            found.append(f"virtual_pipeline {self.virtual_pipeline} needs pipeline > 1, and it is 1")
        if self.sequence_parallel and self.tensor == 1:
            found.append("sequence_parallel divides among the processes of tensor parallelism, and tensor is 1")
        experts = (self.expert_tensor or self.tensor) * self.expert * self.pipeline
        if self.expert > 1 and processes % experts:
            found.append(
                f"{processes} processes cannot be divided into {experts} for the experts (expert_tensor "
                f"{self.expert_tensor or self.tensor} x expert {self.expert} x pipeline {self.pipeline})"
            )
        if self.expert > 1 and self.tensor > 1 and not self.sequence_parallel:
            found.append(f"expert {self.expert} with tensor {self.tensor} needs sequence_parallel: true")
        return found

    def _model(self, config: ModelConfig | BertConfig | T5Config, uneven: bool) -> list[str]:
        found = []

        def divides(what: str, size: int, by: str, parts: int) -> None:
            if size % parts:
                found.append(f"{what} {size} cannot be divided by {by} {parts}: {size} = {size // parts} x {parts} + "
                             f"{size % parts}")  # fmt: skip

        divides("num_heads", config.num_heads, "tensor", self.tensor)
        if config.kv_heads % self.tensor and self.tensor % config.kv_heads:
            divides("num_kv_heads", config.kv_heads, "tensor", self.tensor)
        if config.experts is None or config.experts.dense_layers:
            divides("ffn_size", config.ffn_size, "tensor", self.tensor)
        if config.latent is not None:
            divides("latent.kv_rank + rope_dim", config.latent.kv_rank + config.latent.rope_dim, "tensor", self.tensor)
            divides("latent.q_rank", config.latent.q_rank or 0, "tensor", self.tensor)
        if not uneven:
            divides(
                "num_layers", config.num_layers, "pipeline x virtual_pipeline", self.pipeline * self.virtual_pipeline
            )
        if config.experts is None:
            if self.expert > 1:
                found.append(f"expert {self.expert} divides experts, and the model has none (model.experts)")
        else:
            if self.tensor > 1 and not self.sequence_parallel and self.expert == 1:
                found.append(f"the engine trains experts with tensor {self.tensor} only with sequence_parallel: true")
            divides("experts.count", config.experts.count, "expert", self.expert)
            divides("experts.ffn_size", config.experts.ffn_size, "expert_tensor", self.expert_tensor or self.tensor)
            divides("experts.shared_ffn_size", config.experts.shared_ffn_size or 0, "tensor", self.tensor)
        return found

    def _batch(self, processes: int, length: int | None, batch: int | None, micro: int | None) -> list[str]:
        found = []
        parts = 2 * self.context if self.context > 1 else 1
        if length is not None and self.context > 1 and length % parts:
            found.append(
                f"sequence_length {length} cannot be divided into 2 x context = {parts} chunks of equal length"
            )
        if length is not None and self.sequence_parallel and (length // self.context) % self.tensor:
            found.append(
                f"sequence_length {length} / context {self.context} cannot be divided by tensor {self.tensor}, "
                "which sequence_parallel needs"
            )
        if batch is None:
            return found
        replicas = self.data_parallel(processes)
        if batch % replicas:
            return [*found, f"global_batch_size {batch} cannot be divided among {replicas} data-parallel processes"]
        each = batch // replicas
        if micro is not None and each % micro:
            found.append(
                f"{each} sequences of each process (global_batch_size {batch} / {replicas}) cannot be divided into "
                f"micro-batches of {micro}"
            )
        elif self.virtual_pipeline > 1 and (each // (micro or 1)) % self.pipeline:
            found.append(
                f"{each // (micro or 1)} micro-batches cannot be divided by pipeline {self.pipeline}, which the "
                "interleaved schedule needs"
            )
        return found
