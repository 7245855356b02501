"""What all vocoders share: spectrograms of a batch to audio, whatever their lengths."""

from __future__ import annotations

import abc
from collections.abc import Mapping

import torch
from torch import Tensor

from nemo_core import types as nt
from nemo_core.audio.mel import MelSpectrogram
from nemo_core.errors import ConfigError, DataError
from nemo_core.models import Model

__all__ = ["Vocoder", "check_element"]


class Vocoder(Model, abc.ABC):
    """Base of the models that turn spectrograms into audio.

    Attributes:
        preprocessor: How the spectrograms are made that it understands.
    """

    preprocessor: MelSpectrogram

    @property
    def sample_rate(self) -> int:
        """Rate of the audio that comes out, Hz."""
        return self.preprocessor.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples for each frame."""
        return self.preprocessor.hop_length

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``spectrogram`` (B, D, M), made as this vocoder understands it."""
        mel = self.preprocessor
        return {"spectrogram": nt.NeuralType(("B", f"D:{mel.n_mels}", "T"), mel.element)}

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``audio`` (B, T)."""
        return {"audio": nt.NeuralType(("B", "T"), nt.AudioSignal(freq=self.sample_rate))}

    @abc.abstractmethod
    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return audio (B, T) of ``spectrogram`` (B, D, M), all of one length."""

    @torch.no_grad()
    def vocode(self, spectrogram: Tensor, length: Tensor | None = None) -> Tensor:
        """Return the audio of spectrograms.

        Those of one length are computed together, and others apart: audio does not depend on the company it is in.

        Args:
            spectrogram: (B, D, M), or one spectrogram (D, M).
            length: Frames of each (B,); all if not given.

        Returns:
            Samples (B, T), or (T,), zero beyond the ends; an utterance has :attr:`hop_length` for each of its frames.

        Raises:
            DataError: A length is beyond the spectrogram, or not positive.
            NeuralTypeError: The spectrogram has another number of bins than the vocoder understands.

        Example:
            >>> from nemo_tts.models import GriffinLim
            >>> mel = MelSpectrogram(8000, features=20, normalize=None, preemph=None, n_window_stride=64)
            >>> GriffinLim(mel, iterations=2).vocode(torch.zeros(2, 20, 9), torch.tensor([9, 4])).shape
            torch.Size([2, 576])
        """
        single = spectrogram.ndim == 2
        spectrogram = spectrogram.unsqueeze(0) if single else spectrogram
        frames = spectrogram.shape[2]
        lengths = [frames] * len(spectrogram) if length is None else [int(each) for each in length]
        if len(lengths) != len(spectrogram) or not all(1 <= each <= frames for each in lengths):
            raise DataError(f"lengths {lengths} do not fit {len(spectrogram)} spectrograms of {frames} frames")
        audio = spectrogram.new_zeros(len(spectrogram), max(lengths) * self.hop_length)
        training = self.training
        self.eval()
        try:
            for each in sorted(set(lengths)):
                rows = [row for row, other in enumerate(lengths) if other == each]
                whole = len(rows) == len(lengths)
                given = spectrogram[:, :, :each] if whole else spectrogram[rows, :, :each]
                made = self(spectrogram=given)
                if whole:
                    audio = made.to(audio.dtype)
                else:
                    audio[rows, : made.shape[1]] = made.to(audio.dtype)
        finally:
            self.train(training)
        return audio[0] if single else audio


def check_element(mel: MelSpectrogram, hop_length: int, n_mels: int) -> None:
    """Refuse a generator that does not fit the spectrograms it is given.

    Raises:
        ConfigError: Its hop or its number of mel bins is another one.
    """
    if hop_length != mel.hop_length:
        raise ConfigError(
            f"the generator makes {hop_length} samples of a frame, but frames are {mel.hop_length} samples apart",
            hint="the product of upsample_rates has to be n_window_stride",
        )
    if n_mels != mel.n_mels:
        raise ConfigError(
            f"the generator takes {n_mels} mel bins, but the spectrogram has {mel.n_mels}",
            hint="set generator.initial_input_size to preprocessor.features",
        )
