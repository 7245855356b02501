"""What a text encoder has to be for images to be made from texts."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nemo_core import types as nt
from nemo_core.errors import ConfigError, DataError
from nemo_core.modules import NeuralModule

__all__ = ["CharacterEncoder", "TextEncoder"]


@runtime_checkable
class TextEncoder(Protocol):
    """Turns texts into a vector for each of their tokens.

    Attributes:
        text_width: Length of the vectors.
    """

    text_width: int

    def encode_texts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the encodings (B, S, D), and which of the S positions hold a token (B, S)."""
        ...


class CharacterEncoder(NeuralModule):
    """A vector for each character, and a recurrent network over them: trained along with what it conditions.

    Enough for captions of a small world; it needs no vocabulary, and no weights from elsewhere.

    Args:
        text_width: Of the encodings; even.
        max_length: Most bytes (UTF-8) of a text.

    Raises:
        ConfigError: The width is odd.

    Example:
        >>> encoded, mask = CharacterEncoder(8).encode_texts(["a red square", "a disc"])
        >>> encoded.shape, mask.sum(1)
        (torch.Size([2, 12, 8]), tensor([12, 6]))
    """

    def __init__(self, text_width: int = 64, max_length: int = 128) -> None:
        super().__init__()
        if text_width % 2 or text_width < 2:
            raise ConfigError(f"CharacterEncoder: text_width {text_width} is not even", hint="it reads both ways")
        self.text_width, self.max_length = text_width, max_length
        self.embedding = nn.Embedding(256, text_width)
        self.network = nn.GRU(text_width, text_width // 2, batch_first=True, bidirectional=True)

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``tokens`` (B, S), bytes, and how many of them there are, ``lengths`` (B,)."""
        return {
            "tokens": nt.NeuralType(("B", "SEQ"), nt.TokenIndex()),
            "lengths": nt.NeuralType(("B",), nt.Lengths()),
        }

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``text`` (B, S, D), and which positions hold a byte, ``text_mask`` (B, S)."""
        return {
            "text": nt.NeuralType(("B", "SEQ", f"D:{self.text_width}"), nt.EncodedRepresentation()),
            "text_mask": nt.NeuralType(("B", "SEQ"), nt.Mask()),
        }

    @nt.typed
    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encodings (B, S, D) of bytes (B, S), and which positions hold one (B, S)."""
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(tokens), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        text, _ = nn.utils.rnn.pad_packed_sequence(
            self.network(packed)[0], batch_first=True, total_length=tokens.shape[1]
        )
        return text, torch.arange(tokens.shape[1], device=tokens.device) < lengths.unsqueeze(1)

    def encode_texts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the encodings (B, S, D), and which positions hold a byte (B, S).

        Raises:
            DataError: A text is empty or too long.
        """
        pieces = [text.encode() for text in texts]
        for text, piece in zip(texts, pieces, strict=True):
            if not 0 < len(piece) <= self.max_length:
                raise DataError(f"a text of {len(piece)} bytes: {text[:40]!r}", hint=f"1 to {self.max_length} will do")
        device = self.embedding.weight.device
        tokens = nn.utils.rnn.pad_sequence([torch.tensor(list(each)) for each in pieces], batch_first=True)
        lengths = torch.tensor([len(each) for each in pieces])
        encoded: tuple[Tensor, Tensor] = self(tokens=tokens.to(device), lengths=lengths.to(device))
        return encoded
