"""Whether what an acoustic model makes is what a vocoder understands."""

from __future__ import annotations

from typing import Any

from nemo_core.graph.matching import check_types
from nemo_core.modules import Ports

__all__ = ["check_pair"]


def check_pair(acoustic: Any, vocoder: Any) -> None:
    """Refuse a vocoder that would turn the acoustic model's spectrograms into something else than they are.

    Their types say sample rate, bins, hop, window, edges, power and logarithm.

    Args:
        acoustic: A model with an output ``spectrogram``.
        vocoder: A model with an input ``spectrogram``.

    Raises:
        NeuralTypeError: They disagree; the message names both types and what differs.

    Example:
        >>> from types import SimpleNamespace as Model
        >>> from nemo_core.types import MelSpectrogram, NeuralType
        >>> mel = lambda rate: {"spectrogram": NeuralType(("B", "D", "T"), MelSpectrogram(80, sample_rate=rate))}
        >>> check_pair(Model(output_types=mel(22050)), Model(input_types=mel(22050)))
        >>> check_pair(Model(output_types=mel(22050)), Model(input_types=mel(44100)))
        Traceback (most recent call last):
        nemo_core.errors.NeuralTypeError: ...
    """
    given = Ports(acoustic, "outputs", acoustic.output_types)["spectrogram"]
    wanted = Ports(vocoder, "inputs", vocoder.input_types)["spectrogram"]
    check_types(given, wanted)
