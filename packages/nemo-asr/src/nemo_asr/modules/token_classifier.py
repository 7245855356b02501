"""The output layer of Transformers over tokens."""

from __future__ import annotations

from torch import Tensor, nn

from nemo_core import types as nt
from nemo_core.modules import NeuralModule

__all__ = ["TokenClassifier"]


class TokenClassifier(NeuralModule):
    """A linear layer from hidden states to log-probabilities of tokens.

    A decoder's vectors of tokens can be its weights too (Press and Wolf, 2017, arXiv:1608.05859); see :meth:`tie`.

    Args:
        hidden_size: Features per position.
        num_classes: Number of tokens.
        dropout: Probability of a dropped feature of what comes in.

    Example:
        >>> import torch
        >>> classifier = TokenClassifier(16, num_classes=10)
        >>> classifier(hidden=torch.randn(2, 5, 16)).shape
        torch.Size([2, 5, 10])
    """

    def __init__(self, hidden_size: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.num_classes = num_classes
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, num_classes)
        nn.init.normal_(self.output.weight, std=hidden_size**-0.5)
        nn.init.zeros_(self.output.bias)

    def tie(self, embedding: nn.Embedding) -> None:
        """Share the weights of ``embedding`` (C, D) from now on."""
        self.output.weight = embedding.weight

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``hidden`` (B, U, D)."""
        return {"hidden": nt.NeuralType(("B", "SEQ", f"D:{self.hidden_size}"), nt.EncodedRepresentation())}

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``log_probs`` (B, U, C)."""
        return {"log_probs": nt.NeuralType(("B", "SEQ", f"D:{self.num_classes}"), nt.LogProbs())}

    @nt.typed
    def forward(self, hidden: Tensor) -> Tensor:
        """Return log-probabilities (B, U, C) in float32."""
        return self.output(self.dropout(hidden)).float().log_softmax(dim=-1)
