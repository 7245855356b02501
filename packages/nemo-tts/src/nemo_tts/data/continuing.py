"""Data to train a voice on that is there already: its archive says what tokens and spectrograms are like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nemo_core.errors import ConfigError
from nemo_tts.data.features import SpeechFeatures
from nemo_tts.data.synthesis_data import TextToSpeechData
from nemo_tts.models.continuing import continued_voice, restored_voice

__all__ = ["VoiceData", "VoiceFeatures"]


class VoiceFeatures(SpeechFeatures):
    """Pitch and energy, frame by frame as the voice of an archive has them.

    Args:
        archive: Of a :class:`~nemo_tts.models.FastPitch`.
        pitch_fmin: Lowest pitch looked for, Hz.
        pitch_fmax: Highest pitch looked for, Hz.

    Raises:
        ConfigError: No archive is given.
    """

    def __init__(
        self, archive: str | Path | None, pitch_fmin: float = 65.40639132514966, pitch_fmax: float = 2093.004522404789
    ) -> None:
        super().__init__(restored_voice(archive).preprocessor, pitch_fmin, pitch_fmax)


class VoiceData(TextToSpeechData):
    """Utterances for a voice that is trained on: tokens, speakers and statistics of pitch are its archive's.

    Args:
        train: As for :class:`TextToSpeechData`.
        validation: Likewise.
        test: Likewise.
        archive: What the training starts from.
        features: Finds pitch and energy where a manifest does not have them.
        speaker: A voice that is added to the archive's; lines that name no speaker are its.
        pitch_mean: In the place of the archive's, Hz.
        pitch_std: In the place of the archive's, Hz.
        batches: As for :class:`TextToSpeechData`.

    Raises:
        ConfigError: As :func:`~nemo_tts.models.continuing.continued_voice`.
    """

    def __init__(
        self,
        train: Any = None,
        validation: Any = None,
        test: Any = None,
        *,
        archive: str | Path | None,
        features: SpeechFeatures,
        speaker: str | None = None,
        pitch_mean: float | None = None,
        pitch_std: float | None = None,
        min_duration: float = 0.1,
        max_duration: float | None = None,
        batch_size: int | None = 16,
        batch_length: float | None = None,
        eval_batch_size: int | None = None,
        buckets: int = 1,
        shuffle: bool = True,
        drop_last: bool = False,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        voice = continued_voice(archive, speaker, None, pitch_mean, pitch_std)
        if voice.tokenizer is None:
            raise ConfigError(f"{archive} has no tokenizer, which its texts need", hint="train it with one")
        super().__init__(
            train,
            validation,
            test,
            tokenizer=voice.tokenizer,
            features=features,
            pitch_mean=voice.pitch_mean,
            pitch_std=voice.pitch_std,
            speakers=voice.speakers if voice.n_speakers > 1 else None,
            min_duration=min_duration,
            max_duration=max_duration,
            batch_size=batch_size,
            batch_length=batch_length,
            eval_batch_size=eval_batch_size,
            buckets=buckets,
            shuffle=shuffle,
            drop_last=drop_last,
            num_workers=num_workers,
            prefetch=prefetch,
            pin_memory=pin_memory,
            seed=seed,
        )
        self.usual_speaker = speaker
