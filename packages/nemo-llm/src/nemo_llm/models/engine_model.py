"""The base of models whose parts Megatron-core runs: built when the processes are laid out, fed by a schedule."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nemo_core.errors import ConfigError, TrainingError
from nemo_core.models import Model

if TYPE_CHECKING:
    from nemo_llm.megatron.layout import Layout
    from nemo_llm.megatron.schedule import Batch, LossSums
    from nemo_llm.megatron.strategy import MegatronStrategy
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["EngineModel"]


class EngineModel(Model):
    """A model of Megatron-core's parts.

    It has no weights until :meth:`build` is called, which a trainer does when the processes are there: each process
    then makes its own parts of the model, already divided. Weights depend on the seed only, not on the layout.

    A subclass says how its parts are made (:meth:`make_chunks`) and run (:meth:`token_losses`).

    Args:
        architecture: What the model is made of: a configuration of its kind, or the values of one; None: that of the
            weights it starts from (``init_from``).
        tokenizer: Text to tokens and back; kept in checkpoints. Says the size of the vocabulary, where the architecture
            does not.
        peft: Train a small addition instead of the weights: ``lora``, ``dora``, or a mapping with ``name`` and options.
        seed: Of new weights.

    Attributes:
        config: The architecture.
        chunks: This process's parts; one, or more with an interleaved pipeline.
    """

    source_on_resume = True  # init_from says the architecture, where none is given

    def __init__(
        self,
        architecture: Any = None,
        tokenizer: Tokenizer | None = None,
        peft: str | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.tokenizer, self.peft, self.seed = tokenizer, peft, seed
        self.chunks = nn.ModuleList()
        self._config = None if architecture is None else self.read_config(architecture, tokenizer)
        self._source: Path | None = None
        self._sums: dict[tuple[str, int], Tensor] = {}
        if peft is not None:
            from nemo_llm.peft import parse_spec

            parse_spec(peft)

    @staticmethod
    @abstractmethod
    def read_config(architecture: Any, tokenizer: Tokenizer | None) -> Any:
        """Return the configuration that ``architecture`` describes, with the tokenizer's vocabulary."""

    @classmethod
    def preview_config(cls, architecture: Mapping[str, Any]) -> Any:
        """Return the configuration that a recipe describes, before there is a tokenizer to say the vocabulary."""
        return cls.read_config({**architecture, "vocab_size": architecture.get("vocab_size") or 1}, None)

    @abstractmethod
    def make_chunks(self, layout: Layout, dtype: torch.dtype, options: Mapping[str, Any]) -> list[nn.Module]:
        """Make this process's parts of the model.

        Args:
            layout: How the processes are laid out; the engine runs.
            dtype: What weights are stored in.
            options: Fields of Megatron-core's ``TransformerConfig``.
        """

    @abstractmethod
    def token_losses(self, chunk: nn.Module, batch: Batch) -> Tensor:
        """Run a part of the model on a micro-batch; of the last part, return the loss of each token (B, S)."""

    def hidden_length(self, batch: Batch) -> int:
        """Return the length of the sequences that pipeline stages exchange."""
        return int(batch["tokens"].shape[1])

    def prepare(self, batch: Batch) -> Batch:
        """Return what the parts of the model are given of this process's share of a batch, sequences still whole."""
        return batch

    @property
    def whole_entries(self) -> Collection[str]:
        """Names of a batch's entries that are no sequences of tokens: context parallelism does not divide them."""
        return ()

    @property
    def config(self) -> Any:
        """The architecture.

        Raises:
            ConfigError: There is none yet.
        """
        if self._config is None:
            raise ConfigError(
                "model.architecture is not given, and no weights say it", hint="give it, or init_from=FOLDER"
            )
        return self._config

    def init_from(self, spec: Any) -> str:
        """Start from the weights of a model folder, or of a Hugging Face model, when the model is built.

        Args:
            spec: Path of the folder; its architecture is taken where none was given.

        Returns:
            A line that says so.

        Raises:
            ConfigError: There is no such folder, or its architecture is another.
        """
        from nemo_llm.models.sources import read_source

        if not isinstance(spec, (str, Path)):
            raise ConfigError("init_from: give the path of one model folder", hint="init_from=model.dist")
        source = read_source(Path(spec))
        if self._config is None:
            self._config = self.read_config(source.config, None)
        elif source.config != self._config:
            different = _differences(source.config.to_dict(), self._config.to_dict())
            raise ConfigError(
                f"init_from: {spec} has another architecture than model.architecture: {different}",
                hint="leave model.architecture out: it is then taken from there",
            )
        if self.tokenizer is not None:
            from nemo_llm.tokenizers import check_vocab

            check_vocab(self.tokenizer, self._config.vocab_size)
        self._source = source.path
        return f"weights of {source.path} ({source.config.family}, {source.config.num_parameters:,} weights)"

    # ------------------------------------------------------------------------------------------------------- building

    def build(
        self,
        layout: Layout | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Make this process's parts of the model, with new weights or those of ``init_from``; the engine runs.

        Args:
            layout: How the processes are laid out; one process alone if not given.
            dtype: What weights are stored in.
            options: Fields of Megatron-core's ``TransformerConfig``.
        """
        from nemo_llm.megatron import Layout, engine_running

        if not engine_running():
            raise TrainingError("the engine does not run", hint="with nemo_llm.megatron.engine(): ...")
        layout = layout or Layout()
        self.chunks.extend(self.make_chunks(layout, dtype, options or {}))
        self.load_sources()
        if self.peft is not None:
            from nemo_llm.peft import apply_peft

            apply_peft(list(self.chunks), self.peft, seed=self.seed, base=self._source)
        self.choose_trained()

    def load_sources(self) -> None:
        """Put the weights of ``init_from`` into the parts."""
        if self._source is not None:
            from nemo_llm.models.sources import load_source

            load_source(self._source, list(self.chunks), self.config)

    def choose_trained(self) -> None:
        """Say of which weights ``requires_grad`` is to be otherwise than it is; called last when the model is built."""

    def configure_model(self) -> None:
        """Build the parts, as the strategy lays the processes out."""
        if len(self.chunks):
            return
        strategy = self.strategy
        virtual = strategy.layout.virtual_pipeline > 1
        options = {
            **strategy.options.transformer(strategy.precision, virtual),
            "cp_comm_type": "p2p" if strategy.options.context_mode == "ring" else "all_gather",
        }
        self.build(strategy.layout, dtype=strategy.dtype, options=options)

    def configure_optimizers(self) -> Any:
        """Return the engine's optimizer, and the recipe's schedule of its rate."""
        from nemo_core.training.optimization import build_scheduler

        if not self.optim:
            raise TrainingError(f"{type(self).__name__} has no optimiser", hint="train with `nemo train`")
        configured: dict[str, Any] = {"optimizer": self.strategy.build_optimizer(self.optim)}
        settings = self.optim.get("scheduler")
        if settings:
            steps = self.trainer.estimated_stepping_batches
            max_steps = int(steps) if steps not in (float("inf"), -1) else None
            configured["lr_scheduler"] = build_scheduler(configured["optimizer"], settings, max_steps=max_steps)
        return configured

    def configure_callbacks(self) -> list[Any]:
        """Return what logs tokens per second."""
        from nemo_llm.training.throughput import Throughput

        return [Throughput()]

    @property
    def description(self) -> str:
        """What the log says of the model before it has weights."""
        config = self.config
        text = f"{type(self).__name__}: {config.family}, {config.num_parameters:,} weights"
        return text if self.peft is None else f"{text}, of which an adapter of {self.peft} is trained"

    def whole(self) -> Any:
        """Return the model, if it is whole in this process.

        Raises:
            TrainingError: It is not built, or divided among pipeline stages.
        """
        if not len(self.chunks):
            raise TrainingError("the model has no weights yet", hint="with nemo_llm.megatron.engine(): model.build()")
        chunk: Any = self.chunks[0]
        if len(self.chunks) > 1 or not (chunk.pre_process and chunk.post_process):
            raise TrainingError("the model is divided among pipeline stages", hint="load it in one process")
        return self.chunks[0]

    @property
    def strategy(self) -> MegatronStrategy:
        """What trains this model.

        Raises:
            ConfigError: It is none of Megatron-core's.
        """
        from nemo_llm.megatron.strategy import strategy_of

        return strategy_of(self)

    # ---------------------------------------------------------------------------------------------------------- steps

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Run forward and backward on a batch; return the mean loss per token over all processes."""
        sums = self._run(batch)
        self.log("train_loss", sums.mean, prog_bar=True, batch_size=1)
        return sums.mean

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Log the norm of the gradients before clipping."""
        norm = optimizer.prepare()
        if math.isfinite(norm):
            self.log("grad_norm", norm, batch_size=1)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        """Do nothing: each step of the engine begins with empty gradients."""

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add up the loss of a batch."""
        self._evaluate("val", batch, dataloader_idx)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add up the loss of a batch."""
        self._evaluate("test", batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Log ``val_loss``, per token and, where the data knows its characters, per character."""
        self._log_sums("val")

    def on_test_epoch_end(self) -> None:
        """Log ``test_loss`` likewise."""
        self._log_sums("test")

    def _run(self, batch: Batch, *, forward_only: bool = False) -> LossSums:
        return self.strategy.forward_backward(
            self.prepare(batch),
            self.token_losses,
            forward_only=forward_only,
            hidden_length=self.hidden_length,
            whole=self.whole_entries,
        )

    def _evaluate(self, stage: str, batch: Batch, index: int) -> None:
        sums = self._run(batch, forward_only=True)
        both = torch.stack([sums.loss.double(), sums.tokens.double()])
        self._sums[stage, index] = self._sums.get((stage, index), torch.zeros_like(both)) + both

    def _log_sums(self, stage: str) -> None:
        for (which, index), sums in list(self._sums.items()):
            if which != stage:
                continue
            suffix = f"_{index}" if index else ""
            mean = float(sums[0] / sums[1].clamp(min=1))
            self.log(f"{stage}_loss{suffix}", mean, prog_bar=not index)
            ratio = self._characters_per_token(stage)
            if ratio and not index:
                self.log(f"{stage}_loss_per_character", mean / ratio)
            del self._sums[which, index]

    def _characters_per_token(self, stage: str) -> float | None:
        data: Any = getattr(self.trainer, "datamodule", None)
        count = getattr(data, "characters_per_token", None)
        return count("validation" if stage == "val" else "test") if count is not None else None

    # --------------------------------------------------------------------------------------------------------- archive

    def archive(self, stem: Path) -> Path:
        """Write the model's folder (``model.dist``): weights, architecture, tokenizer; all processes take part.

        With ``peft`` the adapter alone is written (``adapter``), beside a note of what it belongs to.
        """
        from nemo_llm.megatron.checkpoint import save_model_folder

        strategy = self.strategy
        if self.peft is not None:
            from nemo_llm.peft import save_adapter

            return save_adapter(stem.with_name("adapter"), list(self.chunks), base=self._source, config=self.config)
        path = stem.with_suffix(".dist")
        save_model_folder(
            path, list(self.chunks), self.config, layout=strategy.layout, tokenizer=self.tokenizer, overwrite=True
        )
        return path


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return ", ".join(f"{key} {one.get(key)!r} there and {other.get(key)!r} here" for key in keys[:4])
