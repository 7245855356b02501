"""Models of speech synthesis: text to spectrograms, and spectrograms to audio."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.models.loading import restore as restore
    from nemo_tts.models.batches import AcousticBatch as AcousticBatch
    from nemo_tts.models.batches import VocoderBatch as VocoderBatch
    from nemo_tts.models.fastpitch import FastPitch as FastPitch
    from nemo_tts.models.fastpitch import Generated as Generated
    from nemo_tts.models.griffin_lim import GriffinLim as GriffinLim
    from nemo_tts.models.hifigan import HiFiGan as HiFiGan
    from nemo_tts.models.pairing import check_pair as check_pair
    from nemo_tts.models.vocoder import Vocoder as Vocoder

__getattr__, __dir__ = attach(__name__)
