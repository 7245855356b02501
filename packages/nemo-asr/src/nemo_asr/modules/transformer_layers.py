"""What Transformer encoders and decoders are made of."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core.errors import ConfigError

__all__ = ["Activation", "Attention", "DecoderLayer", "EncoderLayer", "FeedForward", "Memory", "initialize_linear"]

Activation = Literal["relu", "gelu"]
Memory = tuple[Tensor, Tensor]
"""Keys and values of an attention, each (B, H, T, D / H)."""


class Attention(nn.Module):
    """Scaled dot-product attention of several heads (Vaswani et al., 2017, arXiv:1706.03762).

    Args:
        hidden_size: Features per position.
        heads: Number of heads.
        dropout: Probability of a dropped attention weight.
        output_dropout: Probability of a dropped feature of what comes out.

    Example:
        >>> attention, x = Attention(8, 2), torch.randn(1, 5, 8)
        >>> attention(x, attention.memory(x), causal=True).shape
        torch.Size([1, 5, 8])
    """

    def __init__(self, hidden_size: int, heads: int, dropout: float = 0.0, output_dropout: float = 0.0) -> None:
        super().__init__()
        if hidden_size % heads:
            raise ConfigError(f"transformer: hidden_size {hidden_size} cannot be divided among {heads} heads")
        self.heads = heads
        self.dropout = dropout
        self.query_net = nn.Linear(hidden_size, hidden_size)
        self.key_net = nn.Linear(hidden_size, hidden_size)
        self.value_net = nn.Linear(hidden_size, hidden_size)
        self.out_projection = nn.Linear(hidden_size, hidden_size)
        self.output_dropout = nn.Dropout(output_dropout)

    def memory(self, x: Tensor) -> Memory:
        """Return keys and values of ``x`` (B, T, D)."""
        return self._split(self.key_net(x)), self._split(self.value_net(x))

    def forward(self, x: Tensor, memory: Memory, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Return what each position of ``x`` (B, U, D) gathers from ``memory``.

        Args:
            x: Positions that ask.
            memory: Keys and values of T positions.
            mask: Where a position may attend to another; can be broadcast to (B, H, U, T).
            causal: Position u may attend to the first u + 1; in place of a mask.
        """
        keys, values = memory
        gathered = F.scaled_dot_product_attention(
            self._split(self.query_net(x)),
            keys,
            values,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        output: Tensor = self.output_dropout(self.out_projection(gathered.transpose(1, 2).flatten(2)))
        return output

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with an activation between them.

    Args:
        hidden_size: Features that come in and go out.
        inner_size: Features between the layers.
        dropout: Probability of a dropped feature of what comes out.
        activation: ``relu`` or ``gelu``.
    """

    def __init__(
        self, hidden_size: int, inner_size: int, dropout: float = 0.0, activation: Activation = "relu"
    ) -> None:
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ConfigError(f"transformer: hidden_act {activation!r} is not offered", hint="relu or gelu")
        self.activation = activation
        self.dense_in = nn.Linear(hidden_size, inner_size)
        self.dense_out = nn.Linear(inner_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, D) for ``x`` (B, T, D)."""
        inner = F.relu(self.dense_in(x)) if self.activation == "relu" else F.gelu(self.dense_in(x))
        output: Tensor = self.dropout(self.dense_out(inner))
        return output


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each with a residual connection and a norm.

    Args:
        hidden_size: Features per position.
        inner_size: Features inside the feed-forward network.
        heads: Heads of the attention.
        attention_dropout: Probability of a dropped attention weight.
        output_dropout: Probability of a dropped feature of what the attention gives.
        ffn_dropout: The same for the feed-forward network.
        activation: ``relu`` or ``gelu``.
        pre_ln: Whether norms stand before attention and network (Xiong et al., 2020, arXiv:2002.04745), or after the
            residual connections, as first published.
    """

    def __init__(
        self,
        hidden_size: int,
        inner_size: int,
        heads: int,
        attention_dropout: float,
        output_dropout: float,
        ffn_dropout: float,
        activation: Activation,
        pre_ln: bool,
    ) -> None:
        super().__init__()
        self.pre_ln = pre_ln
        self.layer_norm_1 = nn.LayerNorm(hidden_size)
        self.first_sub_layer = Attention(hidden_size, heads, attention_dropout, output_dropout)
        self.layer_norm_2 = nn.LayerNorm(hidden_size)
        self.second_sub_layer = FeedForward(hidden_size, inner_size, ffn_dropout, activation)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return (B, T, D) for ``x`` (B, T, D); ``mask`` (B, 1, 1 or T, T) says where a position may attend to."""
        if self.pre_ln:
            normed = self.layer_norm_1(x)
            x = x + self.first_sub_layer(normed, self.first_sub_layer.memory(normed), mask)
            return x + self.second_sub_layer(self.layer_norm_2(x))
        x = self.layer_norm_1(x + self.first_sub_layer(x, self.first_sub_layer.memory(x), mask))
        x = self.layer_norm_2(x + self.second_sub_layer(x))
        return x


class DecoderLayer(nn.Module):
    """Self-attention over what was decoded, attention to the encoder, and a feed-forward network.

    Args:
        hidden_size: Features per position.
        inner_size: Features inside the feed-forward network.
        heads: Heads of the attentions.
        attention_dropout: Probability of a dropped attention weight.
        output_dropout: Probability of a dropped feature of what an attention gives.
        ffn_dropout: The same for the feed-forward network.
        activation: ``relu`` or ``gelu``.
        pre_ln: Where the norms stand; see :class:`EncoderLayer`.
    """

    def __init__(
        self,
        hidden_size: int,
        inner_size: int,
        heads: int,
        attention_dropout: float,
        output_dropout: float,
        ffn_dropout: float,
        activation: Activation,
        pre_ln: bool,
    ) -> None:
        super().__init__()
        self.pre_ln = pre_ln
        self.layer_norm_1 = nn.LayerNorm(hidden_size)
        self.first_sub_layer = Attention(hidden_size, heads, attention_dropout, output_dropout)
        self.layer_norm_2 = nn.LayerNorm(hidden_size)
        self.second_sub_layer = Attention(hidden_size, heads, attention_dropout, output_dropout)
        self.layer_norm_3 = nn.LayerNorm(hidden_size)
        self.third_sub_layer = FeedForward(hidden_size, inner_size, ffn_dropout, activation)

    def forward(self, x: Tensor, past: Memory | None, encoded: Memory, encoded_mask: Tensor) -> tuple[Tensor, Memory]:
        """Return the positions (B, U, D) that follow on those of ``past``, and the memory of all.

        Args:
            x: The new positions (B, U, D).
            past: Keys and values of the positions before them; None where there are none.
            encoded: Keys and values of the encoder's frames.
            encoded_mask: Which frames are no padding (B, 1, 1, T).
        """
        normed = self.layer_norm_1(x) if self.pre_ln else x
        memory = self.first_sub_layer.memory(normed)
        if past is not None:
            memory = (torch.cat((past[0], memory[0]), dim=2), torch.cat((past[1], memory[1]), dim=2))
        x = x + self._attend_to_past(normed, memory)
        if self.pre_ln:
            x = x + self.second_sub_layer(self.layer_norm_2(x), encoded, encoded_mask)
            return x + self.third_sub_layer(self.layer_norm_3(x)), memory
        x = self.layer_norm_1(x)
        x = self.layer_norm_2(x + self.second_sub_layer(x, encoded, encoded_mask))
        return self.layer_norm_3(x + self.third_sub_layer(x)), memory

    def _attend_to_past(self, x: Tensor, memory: Memory) -> Tensor:
        new, every = x.shape[1], memory[0].shape[2]
        attention = self.first_sub_layer
        if new == 1:
            output: Tensor = attention(x, memory)
        elif new == every:
            output = attention(x, memory, causal=True)
        else:
            allowed = torch.ones(new, every, dtype=torch.bool, device=x.device).tril(every - new)
            output = attention(x, memory, allowed)
        return output


def initialize_linear(module: nn.Module) -> None:
    """Draw linear layers from Xavier's uniform distribution, with biases of zero; for ``Module.apply``."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
