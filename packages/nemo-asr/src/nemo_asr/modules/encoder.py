"""What all acoustic encoders have in common."""

from __future__ import annotations

from nemo_core import types as nt
from nemo_core.modules import NeuralModule

__all__ = ["AcousticEncoder"]


class AcousticEncoder(NeuralModule):
    """Base of the modules that turn features into encoded frames, of which there may be fewer.

    Attributes:
        feat_in: Features per frame that come in.
        feat_out: Features per frame that go out.
        stride: How many frames come in for each that goes out.
    """

    feat_in: int
    feat_out: int
    stride: int

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``features`` (B, D, T) and ``length`` (B,) in frames."""
        return {
            "features": nt.NeuralType(("B", "D", "T"), nt.Spectrogram()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``encoded`` (B, D, T') and ``length`` (B,) in encoder frames."""
        return {
            "encoded": nt.NeuralType(("B", "D", "T"), nt.AcousticEncoded()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }
