"""The output layer of utterance classifiers."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from nemo_asr.modules.initialize import initialize
from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule

__all__ = ["ConvClassifier"]


class ConvClassifier(NeuralModule):
    """Encoded frames pooled over time, and a linear layer to the logits of the classes.

    MatchboxNet (Majumdar and Ginsburg, 2020, arXiv:2004.08531) and MarbleNet (Jia et al., 2021, arXiv:2010.13886).

    Args:
        feat_in: Features per frame that come in.
        num_classes: How many classes there are.
        init_mode: How weights are drawn; see :func:`~nemo_asr.modules.initialize.initialize`.
        pooling_type: ``avg`` or ``max`` over time.
        pool_padding: Whether frames beyond the end of an utterance are pooled with the rest, as NVIDIA NeMo does and
            its models are trained; if so, logits depend on the padding.

    Example:
        >>> classifier = ConvClassifier(feat_in=32, num_classes=10)
        >>> classifier(encoded=torch.randn(2, 32, 50), length=torch.tensor([50, 30])).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        feat_in: int,
        num_classes: int,
        init_mode: str | None = "xavier_uniform",
        pooling_type: Literal["avg", "max"] = "avg",
        pool_padding: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ConfigError(f"decoder: num_classes is {num_classes}")
        if pooling_type not in ("avg", "max"):
            raise ConfigError(f"pooling_type {pooling_type!r} is neither 'avg' nor 'max'")
        self.feat_in = feat_in
        self.num_classes = num_classes
        self.pooling_type = pooling_type
        self.pool_padding = pool_padding
        self.decoder_layers = nn.Sequential(nn.Linear(feat_in, num_classes))
        initialize(self, init_mode)

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``encoded`` (B, D, T) and ``length`` (B,) in frames."""
        return {
            "encoded": nt.NeuralType(("B", "D", "T"), nt.AcousticEncoded()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``logits`` (B, C)."""
        return {"logits": nt.NeuralType(("B", "D"), nt.Logits())}

    @nt.typed
    def forward(self, encoded: Tensor, length: Tensor) -> Tensor:
        """Return logits (B, C)."""
        if self.pool_padding:
            length = torch.full_like(length, encoded.shape[2])
        length = length.clamp(min=1).unsqueeze(1)
        beyond = (torch.arange(encoded.shape[2], device=encoded.device) >= length).unsqueeze(1)
        if self.pooling_type == "max":
            pooled = encoded.masked_fill(beyond, -torch.inf).amax(dim=2)
        else:
            pooled = encoded.masked_fill(beyond, 0.0).sum(dim=2) / length
        logits: Tensor = self.decoder_layers(pooled)
        return logits
