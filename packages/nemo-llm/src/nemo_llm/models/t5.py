"""Encoder-decoder models: T5, T5 1.1 and Flan-T5 (Raffel et al., 2020, arXiv:1910.10683)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
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

__all__ = ["EncoderDecoderModel", "T5Config"]


@dataclass(frozen=True)
class T5Config(ConfigValues):
    """The architecture of a T5: relative positions, root-mean-square norms, scores that are not scaled.

    Attributes:
        family: ``t5``.
        vocab_size: Tokens that the tokenizer knows, sentinels included.
        hidden_size, num_heads: Of both stacks.
        num_layers: Of the encoder.
        num_decoder_layers: Of the decoder; as many if not given.
        head_dim: Size of a head; ``hidden_size / num_heads`` if not given.
        ffn_size: Inner size of the feed-forward parts.
        activation: Of the feed-forward parts; ``gelu_tanh`` is the approximation of GELU.
        gated: Whether the activation gates a second projection (T5 1.1).
        norm_eps: Added to the variance.
        buckets: Distances that the relative positions tell apart; half of them are exact.
        max_distance: From there on all distances are one.
        tied_embeddings: Whether the output layer is the embedding, its logits then scaled by ``1 / sqrt(hidden_size)``
            (the first T5).
        start_id: Token that the decoder starts with.
        end_id: Token that ends a text.
        dropout: Of embeddings, attention and all parts of a layer, in training.
        init_scale: What the standard deviations of new weights, which depend on sizes, are multiplied by.

    Example:
        >>> small = T5Config(vocab_size=32128, hidden_size=512, num_layers=8, num_heads=6, head_dim=64, ffn_size=1024)
        >>> small.num_parameters
        76961152
        >>> T5Config.from_dict(small.to_dict()) == small
        True
    """

    family: str = "t5"
    vocab_size: int = 256
    hidden_size: int = 256
    num_layers: int = 4
    num_decoder_layers: int | None = None
    num_heads: int = 4
    head_dim: int | None = None
    ffn_size: int = 512
    activation: Literal["silu", "gelu", "gelu_tanh", "relu"] = "gelu_tanh"
    gated: bool = True
    norm_eps: float = 1e-6
    buckets: int = 32
    max_distance: int = 128
    tied_embeddings: bool = False
    start_id: int = 0
    end_id: int = 1
    dropout: float = 0.1
    init_scale: float = 1.0

    def __post_init__(self) -> None:
        self.check_sizes("vocab_size", "hidden_size", "num_layers", "num_heads", "ffn_size")
        if self.head_dim is None and self.hidden_size % self.num_heads:
            raise ConfigError(
                f"hidden_size {self.hidden_size} is no multiple of num_heads {self.num_heads}", hint="give head_dim"
            )
        if self.buckets < 4 or self.buckets % 4 or self.max_distance <= self.buckets // 2:
            raise ConfigError(
                f"buckets {self.buckets} and max_distance {self.max_distance} do not fit each other",
                hint="buckets is a multiple of 4, and max_distance more than half of it",
            )

    @property
    def decoder_layers(self) -> int:
        """Layers of the decoder."""
        return self.num_decoder_layers or self.num_layers

    @property
    def head_size(self) -> int:
        """Dimensions of a head."""
        return self.head_dim or self.hidden_size // self.num_heads

    def stack(self, layers: int | None = None) -> ModelConfig:
        """Return the layers in the words of a decoder-only model, which the engine's configuration is made of."""
        return ModelConfig(
            family=self.family,
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            num_layers=layers or self.num_layers,
            num_heads=self.num_heads,
            head_dim=self.head_size,
            ffn_size=self.ffn_size,
            activation=self.activation,
            gated=self.gated,
            norm_eps=self.norm_eps,
            positions="none",
            query_scale=1.0,
            tied_embeddings=self.tied_embeddings,
            dropout=self.dropout,
        )

    def layout_problems(self, layout: Layout) -> list[str]:
        """Return why a layout cannot be, beyond what sizes say."""
        found = []
        if layout.pipeline > 1:
            found.append(f"pipeline {layout.pipeline} divides one stack of layers, and this model has two: set it to 1")
        if layout.context > 1:
            found.append(f"context {layout.context} divides sequences without relative positions only: set it to 1")
        return found

    def canonical(self) -> T5Config:
        """Return the same architecture without what follows from the rest."""
        whole = self.hidden_size % self.num_heads == 0
        usual = self.hidden_size // self.num_heads if whole else None
        return dataclasses.replace(
            self,
            head_dim=None if self.head_dim == usual else self.head_dim,
            num_decoder_layers=None if self.num_decoder_layers == self.num_layers else self.num_decoder_layers,
        )

    @property
    def num_parameters(self) -> int:
        """Number of weights."""
        H, V, inner = self.hidden_size, self.vocab_size, self.num_heads * self.head_size
        attention = 4 * H * inner
        layer = attention + (3 if self.gated else 2) * H * self.ffn_size + 2 * H
        layers = self.num_layers * layer + self.decoder_layers * (layer + attention + H)
        return layers + V * H * (1 if self.tied_embeddings else 2) + 2 * self.buckets * self.num_heads + 2 * H


class EncoderDecoderModel(EngineModel):
    """A T5, trained on :class:`~nemo_llm.data.spans.SpanCorruptionData` or pairs of texts.

    A batch has ``tokens`` (B, S) and optionally ``segment_ids`` (B, S), 0 where they are padding, for the encoder;
    ``decoder_tokens``, ``labels`` and ``loss_mask`` (B, T) for the decoder.

    Args:
        architecture: A :class:`T5Config`, or its values; without ``vocab_size`` that of the tokenizer is taken. None:
            that of the weights it starts from.
        tokenizer: Text to tokens and back.
        peft: Train a small addition instead of the weights; see :mod:`nemo_llm.peft`.
        seed: Of new weights.

    Example:
        >>> from nemo_llm.megatron import engine
        >>> model = EncoderDecoderModel({"vocab_size": 65, "hidden_size": 32, "num_layers": 1, "num_heads": 2})
        >>> with engine(), torch.no_grad():
        ...     model.build()
        ...     logits = model(tokens=torch.zeros(1, 8, dtype=torch.long), decoder_tokens=torch.zeros(1, 3).long())
        ...     logits.shape, len(model.generate([[5, 6, 7]], max_tokens=4)[0]) <= 4
        (torch.Size([1, 3, 65]), True)
    """

    def __init__(
        self,
        architecture: T5Config | Mapping[str, Any] | None = None,
        tokenizer: Tokenizer | None = None,
        peft: str | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(architecture, tokenizer, peft, seed)

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``tokens`` (B, S), ``decoder_tokens`` (B, T); optional ``segment_ids`` (B, S)."""
        return {
            "tokens": nt.NeuralType(("B", "T"), nt.TokenIndex()),
            "decoder_tokens": nt.NeuralType(("B", "T"), nt.TokenIndex()),
            "segment_ids": nt.NeuralType(("B", "T"), nt.Index(), optional=True),
        }

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``logits`` (B, T, V)."""
        return {"logits": nt.NeuralType(("B", "T", "D"), nt.Logits())}

    @nt.typed
    def forward(self, tokens: Tensor, decoder_tokens: Tensor, segment_ids: Tensor | None = None) -> Tensor:
        """Return the logits (B, T, V) of the token after each of the decoder's."""
        logits: Tensor = self.whole()(tokens, decoder_tokens, segment_ids)
        return logits[..., : self.config.vocab_size]

    @torch.no_grad()
    def generate(self, texts: Sequence[Sequence[int]], max_tokens: int = 64) -> list[list[int]]:
        """Return the most likely next token after token, for several texts at once; the encoder runs once.

        All processes of tensor parallelism call.

        Args:
            texts: Tokens of each text to encode.
            max_tokens: Tokens of an answer at most.

        Returns:
            The answer to each, up to the token for its end.
        """
        if not texts or not all(texts):
            raise ConfigError("there is nothing to encode", hint="give at least one token for each text")
        model, config = self.whole(), self.config
        device = next(model.parameters()).device
        length = max(map(len, texts))
        multiple = model.config.tensor_model_parallel_size if model.config.sequence_parallel else 1
        length = -(-length // multiple) * multiple
        tokens = torch.zeros(len(texts), length, dtype=torch.long)
        segments = torch.zeros(len(texts), length, dtype=torch.int32)
        for row, text in enumerate(texts):
            tokens[row, : len(text)] = torch.tensor(list(text))
            segments[row, : len(text)] = 1
        tokens, segments = tokens.to(device), segments.to(device)
        training = model.training
        model.eval()
        try:
            encoded = model.encode(tokens, segments)
            given = torch.full((len(texts), 1), config.start_id, device=device)
            ended = torch.zeros(len(texts), dtype=torch.bool, device=device)
            while given.shape[1] <= max_tokens and not bool(ended.all()):
                padding = given.new_zeros(len(texts), -given.shape[1] % multiple)  # causal: nothing sees it
                logits = model.decode(torch.cat([given, padding], 1), encoded, segments, runtime_gather_output=True)
                best = logits[:, given.shape[1] - 1, : config.vocab_size].argmax(-1)
                best = torch.where(ended, config.end_id, best)
                given = torch.cat([given, best[:, None]], 1)
                ended |= best == config.end_id
        finally:
            model.train(training)
        answers = given[:, 1:].tolist()
        return [each[: each.index(config.end_id)] if config.end_id in each else each for each in answers]

    @staticmethod
    def read_config(architecture: Any, tokenizer: Tokenizer | None) -> T5Config:
        """Return the configuration that ``architecture`` describes, with the tokenizer's vocabulary.

        Raises:
            ConfigError: It is no architecture of a T5, or has fewer tokens than the tokenizer.
        """
        return config_of(T5Config, architecture, tokenizer)

    def make_chunks(self, layout: Layout, dtype: torch.dtype, options: Mapping[str, Any]) -> list[nn.Module]:
        """Make this process's part of the model."""
        from nemo_llm.models.t5_network import build_chunks

        return list(build_chunks(self.config, layout, dtype, seed=self.seed, **options))

    def token_losses(self, chunk: nn.Module, batch: Batch) -> Tensor:
        """Run the model; return cross-entropies (B, T) in nats."""
        losses: Tensor = chunk(
            batch["tokens"], batch["decoder_tokens"], batch.get("segment_ids"), labels=batch["labels"]
        )
        return losses
