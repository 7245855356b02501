"""Decoder-only language models: what is pre-trained, fine-tuned and generated with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nemo_core import types as nt
from nemo_core.errors import ConfigError, TrainingError
from nemo_llm.models.config import ModelConfig
from nemo_llm.models.engine_model import EngineModel

if TYPE_CHECKING:
    from nemo_llm.megatron.layout import Layout
    from nemo_llm.megatron.schedule import Batch
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["LanguageModel"]


class LanguageModel(EngineModel):
    """A causal language model of any family of :mod:`nemo_llm.models.families`.

    Args:
        architecture: A :class:`~nemo_llm.models.config.ModelConfig`, or its values; without ``vocab_size`` that of the
            tokenizer is taken. None: that of the weights it starts from.
        tokenizer: Text to tokens and back.
        peft: Train a small addition instead of the weights; see :mod:`nemo_llm.peft`.
        seed: Of new weights.

    Example:
        >>> from nemo_llm.megatron import engine
        >>> model = LanguageModel({"vocab_size": 65, "hidden_size": 32, "num_layers": 1, "num_heads": 2})
        >>> with engine(), torch.no_grad():
        ...     model.build()
        ...     model(tokens=torch.zeros(1, 8, dtype=torch.long)).shape
        torch.Size([1, 8, 65])
    """

    def __init__(
        self,
        architecture: ModelConfig | Mapping[str, Any] | None = None,
        tokenizer: Tokenizer | None = None,
        peft: str | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(architecture, tokenizer, peft, seed)

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``tokens`` (B, T); optional ``position_ids`` and ``segment_ids`` (B, T)."""
        return {
            "tokens": nt.NeuralType(("B", "T"), nt.TokenIndex()),
            "position_ids": nt.NeuralType(("B", "T"), nt.Index(), optional=True),
            "segment_ids": nt.NeuralType(("B", "T"), nt.Index(), optional=True),
        }

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``logits`` (B, T, V)."""
        return {"logits": nt.NeuralType(("B", "T", "D"), nt.Logits())}

    @nt.typed
    def forward(self, tokens: Tensor, position_ids: Tensor | None = None, segment_ids: Tensor | None = None) -> Tensor:
        """Return the logits (B, T, V) of the token after each; for a model that is whole in this process."""
        if not len(self.chunks):
            raise TrainingError("the model has no weights yet", hint="with nemo_llm.megatron.engine(): model.build()")
        if len(self.chunks) > 1 or not (self.chunks[0].pre_process and self.chunks[0].post_process):
            raise TrainingError("the model is divided among pipeline stages", hint="use nemo_llm.generation")
        logits: Tensor = self.chunks[0](tokens, position_ids, segment_ids)
        return logits[..., : self.config.vocab_size]

    @staticmethod
    def read_config(architecture: Any, tokenizer: Tokenizer | None) -> ModelConfig:
        """Return the configuration that ``architecture`` describes, with the tokenizer's vocabulary.

        Raises:
            ConfigError: It is no architecture, or has fewer tokens than the tokenizer.
        """
        if isinstance(architecture, Mapping):
            values = dict(architecture)
            if values.get("vocab_size") is None:
                if tokenizer is None:
                    raise ConfigError("model.architecture.vocab_size is not given, and there is no tokenizer")
                values["vocab_size"] = tokenizer.vocab_size
            architecture = ModelConfig.from_dict(values)
        if not isinstance(architecture, ModelConfig):
            raise ConfigError(
                f"model.architecture is {type(architecture).__name__}",
                hint="give the values of a ModelConfig, or one of the builders: `nemo components list model_builder`",
            )
        if tokenizer is not None:
            from nemo_llm.tokenizers import check_vocab

            check_vocab(tokenizer, architecture.vocab_size)
        return architecture

    def make_chunks(self, layout: Layout, dtype: torch.dtype, options: Mapping[str, Any]) -> list[nn.Module]:
        """Make this process's parts of the model."""
        from nemo_llm.models.gpt import build_chunks

        return list(build_chunks(self.config, layout, dtype, seed=self.seed, **options))

    def flops_per_token(self, sequence_length: int) -> float:
        """Return the arithmetic of forward and backward pass, per token of a sequence."""
        from nemo_llm.models.counting import flops_per_token

        return flops_per_token(self.config, sequence_length)

    def token_losses(self, chunk: nn.Module, batch: Batch) -> Tensor:
        """Run a part of the model; of the last one, return cross-entropies (B, S) in nats where they count."""
        losses: Tensor = chunk(
            batch["tokens"],
            batch.get("position_ids"),
            batch.get("segment_ids"),
            labels=batch["labels"],
            loss_mask=batch["loss_mask"],
        )
        return losses
