"""What an acoustic model makes of utterances whose durations and pitch it is told: what its vocoder will be given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_tts.data.features import SpeechFeatures
    from nemo_tts.data.spoken import Spoken

__all__ = ["VoiceSpectrograms"]


class VoiceSpectrograms(Configured):
    """The spectrograms of a trained voice, frame by frame beside the recordings.

    Predicted spectrograms are smoother than those of recordings. A vocoder that is tuned to them does not meet them for
    the first time when it is put to work (HiFi-GAN, Kong et al., 2020, section 4.4).

    Args:
        model: Archive or run folder of a :class:`~nemo_tts.models.FastPitch`.

    Raises:
        ArchiveError: There is no such model.
        ConfigError: Its spectrograms are not those of the vocoder.
    """

    def __init__(self, model: str | Path) -> None:
        self.path = Path(model)
        self._loaded: Any = None

    def __call__(self, item: Spoken, features: SpeechFeatures) -> np.ndarray:
        """Return the spectrogram (D, M) of an utterance.

        Args:
            item: The utterance; its pitch is found if it is not there.
            features: How the vocoder's data is made.
        """
        model, data = self._model(features)
        with torch.no_grad():
            spectrogram = model.taught(data.collate([data.prepared(item)]))
        found: np.ndarray = spectrogram[0].numpy()
        return found

    def _model(self, features: SpeechFeatures) -> tuple[Any, Any]:
        if self._loaded is None:
            from nemo_core.models import restore
            from nemo_tts.data.synthesis_data import TextToSpeechData
            from nemo_tts.models.fastpitch import FastPitch

            model = restore(self.path, expect=FastPitch).eval()
            if model.preprocessor.element != features.preprocessor.element:
                raise ConfigError(
                    f"{self.path} makes other spectrograms than the vocoder is to understand: "
                    f"{model.preprocessor.element!r}, {features.preprocessor.element!r}",
                    hint="take the preprocessor of the voice for the vocoder",
                )
            data = TextToSpeechData(
                tokenizer=model.tokenizer,
                features=features,
                pitch_mean=model.pitch_mean,
                pitch_std=model.pitch_std,
                speakers=model.speakers,
            )
            self._loaded = model, data
        return self._loaded

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_loaded": None}
