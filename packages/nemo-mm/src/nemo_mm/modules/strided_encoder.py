"""The least acoustic encoder, for readers whose language model is to do the work."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nemo_core import types as nt
from nemo_core.modules import NeuralModule

__all__ = ["StridedEncoder"]


class StridedEncoder(NeuralModule):
    """One strided convolution over the features, and a rectifier; no batch norm, so that rows never see each other.

    Args:
        feat_in: Features per frame that come in.
        feat_out: Features per frame that go out.
        stride: How many frames come in for each that goes out.

    Example:
        >>> encoder = StridedEncoder(16, 8, stride=2)
        >>> encoded, length = encoder(features=torch.randn(1, 16, 9), length=torch.tensor([9]))
        >>> encoded.shape, length.tolist()
        (torch.Size([1, 8, 5]), [5])
    """

    input_types: Any = {
        "features": nt.NeuralType(("B", "D", "T"), nt.Spectrogram()),
        "length": nt.NeuralType(("B",), nt.Lengths()),
    }
    output_types: Any = {
        "encoded": nt.NeuralType(("B", "D", "T"), nt.AcousticEncoded()),
        "length": nt.NeuralType(("B",), nt.Lengths()),
    }

    def __init__(self, feat_in: int, feat_out: int, stride: int = 2) -> None:
        super().__init__()
        self.feat_in, self.feat_out, self.stride = feat_in, feat_out, stride
        self.conv = nn.Conv1d(feat_in, feat_out, 2 * stride + 1, stride=stride, padding=stride)

    @nt.typed
    def forward(self, features: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return encoded frames (B, D, T') and their lengths (B,)."""
        inside = torch.arange(features.shape[2], device=features.device) < length[:, None]
        encoded = torch.relu(self.conv(features * inside[:, None]))
        return encoded, torch.div(length + self.stride - 1, self.stride, rounding_mode="floor")
