"""Masked language models: BERT (Devlin et al., 2019, arXiv:1810.04805)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_llm.models.config import ModelConfig
from nemo_llm.models.engine_model import EngineModel
from nemo_llm.models.values import ConfigValues, config_of

if TYPE_CHECKING:
    from nemo_llm.megatron.layout import Layout
    from nemo_llm.megatron.schedule import Batch
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["BertConfig", "MaskedLanguageModel"]


@dataclass(frozen=True)
class BertConfig(ConfigValues):
    """The architecture of a BERT: an encoder with norms behind the residual connections, and a head for masked tokens.

    Attributes:
        family: ``bert``.
        vocab_size: Tokens that the tokenizer knows, the mask included.
        hidden_size, num_layers, num_heads: Of the encoder.
        ffn_size: Inner size of the feed-forward part.
        max_length: Longest sequence, in tokens.
        token_types: Kinds of tokens (first text, second text), each with an embedding; 0: none.
        activation: Of the feed-forward part and the head.
        norm_eps: Added to the variance.
        tied_embeddings: Whether the output layer is the embedding.
        next_sentence: Whether it has the pooler and the classifier of next sentences; they are taken over from
            elsewhere and written again, and not trained.
        dropout: Of embeddings, attention and both parts of a layer, in training.
        init_std: Standard deviation of new weights.

    Example:
        >>> base = BertConfig(vocab_size=30522, hidden_size=768, num_layers=12, num_heads=12, ffn_size=3072)
        >>> base.num_parameters
        109514298
        >>> BertConfig.from_dict(base.to_dict()) == base
        True
    """

    family: str = "bert"
    vocab_size: int = 256
    hidden_size: int = 256
    num_layers: int = 4
    num_heads: int = 4
    ffn_size: int = 1024
    max_length: int = 512
    token_types: int = 2
    activation: Literal["silu", "gelu", "gelu_tanh", "relu"] = "gelu"
    norm_eps: float = 1e-12
    tied_embeddings: bool = True
    next_sentence: bool = False
    dropout: float = 0.1
    init_std: float = 0.02

    def __post_init__(self) -> None:
        self.check_sizes("vocab_size", "hidden_size", "num_layers", "num_heads", "ffn_size", "max_length")
        if self.hidden_size % self.num_heads:
            raise ConfigError(f"hidden_size {self.hidden_size} is no multiple of num_heads {self.num_heads}")

    @property
    def stack(self) -> ModelConfig:
        """The layers, in the words of a decoder-only model; what the engine's configuration is made of."""
        return ModelConfig(
            family=self.family,
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            ffn_size=self.ffn_size,
            max_length=self.max_length,
            activation=self.activation,
            gated=False,
            norm="layer",
            norm_eps=self.norm_eps,
            qkv_bias=True,
            attention_bias=True,
            mlp_bias=True,
            positions="learned",
            tied_embeddings=self.tied_embeddings,
            dropout=self.dropout,
            init_std=self.init_std,
        )

    @property
    def num_parameters(self) -> int:
        """Number of weights."""
        H, V = self.hidden_size, self.vocab_size
        embeddings = (V + self.max_length + self.token_types + 2) * H
        layer = 4 * H * (H + 1) + 2 * H * self.ffn_size + self.ffn_size + H + 4 * H
        head = H * (H + 1) + 2 * H + V + (0 if self.tied_embeddings else V * H)
        pooler = H * (H + 1) + 2 * (H + 1) if self.next_sentence else 0
        return embeddings + self.num_layers * layer + head + pooler

    def flops_per_token(self, sequence_length: int) -> float:
        """Return the arithmetic of training on one token: forwards once, backwards twice; every token sees all."""
        H = self.hidden_size
        weights = self.num_layers * (4 * H * H + 2 * H * self.ffn_size) + H * H + self.vocab_size * H
        return 6.0 * weights + 12.0 * self.num_layers * H * sequence_length


class MaskedLanguageModel(EngineModel):
    """A BERT that predicts masked tokens, trained on :class:`~nemo_llm.data.masked.MaskedTextData`.

    Args:
        architecture: A :class:`BertConfig`, or its values; without ``vocab_size`` that of the tokenizer is taken. None:
            that of the weights it starts from.
        tokenizer: Text to tokens and back.
        peft: Train a small addition instead of the weights; see :mod:`nemo_llm.peft`.
        seed: Of new weights.

    Example:
        >>> from nemo_llm.megatron import engine
        >>> model = MaskedLanguageModel({"vocab_size": 65, "hidden_size": 32, "num_layers": 1, "num_heads": 2})
        >>> with engine(), torch.no_grad():
        ...     model.build()
        ...     model(tokens=torch.zeros(1, 8, dtype=torch.long)).shape
        torch.Size([1, 8, 65])
    """

    def __init__(
        self,
        architecture: BertConfig | Mapping[str, Any] | None = None,
        tokenizer: Tokenizer | None = None,
        peft: str | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(architecture, tokenizer, peft, seed)

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``tokens`` (B, T); optional ``position_ids``, ``segment_ids`` and ``token_types`` (B, T)."""
        places = nt.NeuralType(("B", "T"), nt.Index(), optional=True)
        return {
            "tokens": nt.NeuralType(("B", "T"), nt.TokenIndex()),
            "position_ids": places,
            "segment_ids": places,
            "token_types": places,
        }

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``logits`` (B, T, V)."""
        return {"logits": nt.NeuralType(("B", "T", "D"), nt.Logits())}

    @nt.typed
    def forward(
        self,
        tokens: Tensor,
        position_ids: Tensor | None = None,
        segment_ids: Tensor | None = None,
        token_types: Tensor | None = None,
    ) -> Tensor:
        """Return the logits (B, T, V) of what stands at each place; for a model that is whole in this process."""
        logits: Tensor = self.whole()(tokens, position_ids, segment_ids, token_types)
        return logits[..., : self.config.vocab_size]

    @staticmethod
    def read_config(architecture: Any, tokenizer: Tokenizer | None) -> BertConfig:
        """Return the configuration that ``architecture`` describes, with the tokenizer's vocabulary.

        Raises:
            ConfigError: It is no architecture of a BERT, or has fewer tokens than the tokenizer.
        """
        return config_of(BertConfig, architecture, tokenizer)

    def make_chunks(self, layout: Layout, dtype: torch.dtype, options: Mapping[str, Any]) -> list[nn.Module]:
        """Make this process's parts of the model."""
        from nemo_llm.models.bert_network import build_chunks

        return list(build_chunks(self.config, layout, dtype, seed=self.seed, **options))

    def flops_per_token(self, sequence_length: int) -> float:
        """Return the arithmetic of forward and backward pass, per token of a sequence."""
        return float(self.config.flops_per_token(sequence_length))

    def token_losses(self, chunk: nn.Module, batch: Batch) -> Tensor:
        """Run a part of the model; of the last one, return cross-entropies (B, S) in nats."""
        losses: Tensor = chunk(
            batch["tokens"],
            batch.get("position_ids"),
            batch.get("segment_ids"),
            batch.get("token_types"),
            labels=batch["labels"],
        )
        return losses
