"""The Transformer decoder of attention encoder-decoders."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nemo_asr.modules.transformer_layers import Activation, DecoderLayer, Memory, initialize_linear
from nemo_core import types as nt
from nemo_core.errors import DataError
from nemo_core.modules import NeuralModule

__all__ = ["DecoderState", "TokenEmbedding", "TransformerDecoder"]


@dataclass(frozen=True, slots=True)
class DecoderState:
    """What a decoder knows of a batch when it goes on: nothing is computed twice.

    Attributes:
        position: Tokens read so far.
        past: Keys and values of these tokens, by layer; empty before the first.
        encoded: Keys and values of the encoder's frames, by layer.
        mask: Which frames are no padding (B, 1, 1, T).
    """

    position: int
    past: tuple[Memory, ...]
    encoded: tuple[Memory, ...]
    mask: Tensor

    def select(self, rows: Tensor) -> DecoderState:
        """Return the state of ``rows``: numbers of utterances in the batch, or a mask of them."""
        return replace(
            self,
            past=tuple((keys[rows], values[rows]) for keys, values in self.past),
            encoded=tuple((keys[rows], values[rows]) for keys, values in self.encoded),
            mask=self.mask[rows],
        )


class TokenEmbedding(nn.Module):
    """Vectors of tokens and of their positions, added and normed.

    Args:
        vocab_size: Number of tokens.
        hidden_size: Features per token.
        max_sequence_length: Number of positions.
        dropout: Probability of a dropped feature.
        learned_positions: Whether vectors of positions are weights, or sines and cosines divided by the square root of
            ``hidden_size``.

    Example:
        >>> embedding = TokenEmbedding(10, 4, max_sequence_length=8)
        >>> embedding(torch.tensor([[3, 1]]), start=2).shape
        torch.Size([1, 2, 4])
    """

    position_embedding: nn.Embedding | None
    positions: Tensor

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        max_sequence_length: int = 512,
        dropout: float = 0.0,
        learned_positions: bool = False,
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, hidden_size)
        nn.init.normal_(self.token_embedding.weight, std=hidden_size**-0.5)
        if learned_positions:
            self.position_embedding = nn.Embedding(max_sequence_length, hidden_size)
            nn.init.normal_(self.position_embedding.weight, std=hidden_size**-0.5)
        else:
            self.position_embedding = None
            self.register_buffer("positions", _sinusoids(max_sequence_length, hidden_size), persistent=False)
        self.max_sequence_length = max_sequence_length
        self.layer_norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Return vectors (B, U, D) of ``tokens`` (B, U), the first of which is at position ``start``."""
        end = start + tokens.shape[1]
        if end > self.max_sequence_length:
            raise DataError(
                f"{end} tokens are more than the {self.max_sequence_length} that the decoder has positions for",
                hint="leave out longer texts, or train with a larger decoder.max_sequence_length",
            )
        table = self.positions if self.position_embedding is None else self.position_embedding.weight
        output: Tensor = self.dropout(self.layer_norm(self.token_embedding(tokens) + table[start:end]))
        return output


class TransformerDecoder(NeuralModule):
    """A stack of Transformer layers that read tokens and attend to encoded frames.

    Attention is that of Vaswani et al. (2017, arXiv:1706.03762). Training reads a whole text with :meth:`forward`;
    decoding goes on from where it was, with :meth:`start` and :meth:`step`. Names of arguments and weights are those of
    NVIDIA NeMo.

    Args:
        vocab_size: Number of tokens.
        hidden_size: Features per token, and per frame that is attended to.
        num_layers: Number of layers.
        inner_size: Features inside the feed-forward networks.
        num_attention_heads: Heads of the attentions.
        max_sequence_length: Most tokens that can be read.
        embedding_dropout: Probability of a dropped feature of what goes into the layers.
        learn_positional_encodings: Whether positions are weights, or sines and cosines.
        ffn_dropout: Probability of a dropped feature of what a feed-forward network gives.
        attn_score_dropout: Probability of a dropped attention weight.
        attn_layer_dropout: Probability of a dropped feature of what an attention gives.
        hidden_act: ``relu`` or ``gelu``.
        pre_ln: Whether norms stand before attentions and networks, or after the residual connections.
        pre_ln_final_layer_norm: Whether there is a norm after the last layer; only with ``pre_ln``.

    Example:
        >>> decoder = TransformerDecoder(10, hidden_size=16, num_layers=1, inner_size=32, num_attention_heads=2).eval()
        >>> tokens, frames, length = torch.tensor([[3, 1, 4]]), torch.randn(1, 16, 20), torch.tensor([20])
        >>> whole = decoder(tokens=tokens, encoded=frames, length=length)
        >>> first, state = decoder.step(tokens[:, :2], decoder.start(frames, length))
        >>> last, state = decoder.step(tokens[:, 2:], state)
        >>> torch.allclose(torch.cat((first, last), dim=1), whole, atol=1e-6), state.position
        (True, 3)
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        num_layers: int,
        inner_size: int,
        num_attention_heads: int = 1,
        max_sequence_length: int = 512,
        embedding_dropout: float = 0.0,
        learn_positional_encodings: bool = False,
        ffn_dropout: float = 0.0,
        attn_score_dropout: float = 0.0,
        attn_layer_dropout: float = 0.0,
        hidden_act: Activation = "relu",
        pre_ln: bool = False,
        pre_ln_final_layer_norm: bool = True,
    ) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.max_sequence_length = max_sequence_length
        self.embedding = TokenEmbedding(
            vocab_size, hidden_size, max_sequence_length, embedding_dropout, learn_positional_encodings
        )
        self.layers = nn.ModuleList(
            DecoderLayer(
                hidden_size,
                inner_size,
                num_attention_heads,
                attn_score_dropout,
                attn_layer_dropout,
                ffn_dropout,
                hidden_act,
                pre_ln,
            )
            for _ in range(num_layers)
        )
        self.final_layer_norm = nn.LayerNorm(hidden_size) if pre_ln and pre_ln_final_layer_norm else None
        self.layers.apply(initialize_linear)

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``tokens`` (B, U), ``encoded`` (B, D, T) and ``length`` (B,) in frames."""
        return {
            "tokens": nt.NeuralType(("B", "SEQ"), nt.Labels()),
            "encoded": nt.NeuralType(("B", f"D:{self.hidden_size}", "T"), nt.AcousticEncoded()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``hidden`` (B, U, D)."""
        return {"hidden": nt.NeuralType(("B", "SEQ", f"D:{self.hidden_size}"), nt.EncodedRepresentation())}

    @nt.typed
    def forward(self, tokens: Tensor, encoded: Tensor, length: Tensor) -> Tensor:
        """Return the hidden states (B, U, D) of ``tokens`` (B, U), each of which sees those before it.

        Padding after the last token of an utterance changes nothing before it, so there is no length of tokens.
        """
        return self.step(tokens, self.start(encoded, length))[0]

    def start(self, encoded: Tensor, length: Tensor) -> DecoderState:
        """Return the state before the first token.

        Args:
            encoded: Frames (B, D, T).
            length: Frames of each utterance (B,).
        """
        frames = encoded.transpose(1, 2)
        place = torch.arange(frames.shape[1], device=frames.device)
        mask = (place < length.unsqueeze(1))[:, None, None, :]
        layers = [layer for layer in self.layers if isinstance(layer, DecoderLayer)]
        return DecoderState(0, (), tuple(layer.second_sub_layer.memory(frames) for layer in layers), mask)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read on.

        Args:
            tokens: The next tokens (B, U).
            state: What :meth:`start` or the step before returned.

        Returns:
            The hidden states (B, U, D) of ``tokens``, and the state after them.
        """
        x = self.embedding(tokens, state.position)
        past: list[Memory] = []
        for index, layer in enumerate(self.layers):
            x, memory = layer(x, state.past[index] if state.past else None, state.encoded[index], state.mask)
            past.append(memory)
        if self.final_layer_norm is not None:
            x = self.final_layer_norm(x)
        return x, replace(state, position=state.position + tokens.shape[1], past=tuple(past))


def _sinusoids(length: int, size: int) -> Tensor:
    """Return sines (even features) and cosines (odd ones) of the positions, (length, size)."""
    rate = torch.exp(torch.arange(0.0, size, 2) * (-math.log(10000.0) / size))
    angle = torch.arange(0.0, length).unsqueeze(1) * rate
    table = torch.stack((angle.sin(), angle.cos()), dim=2).flatten(1)[:, :size]
    return table / math.sqrt(size)
