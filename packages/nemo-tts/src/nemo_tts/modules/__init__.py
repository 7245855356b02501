"""Typed neural modules of speech synthesis."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.audio.mel import MelSpectrogram as MelSpectrogram
    from nemo_tts.modules.aligner import Aligner as Aligner
    from nemo_tts.modules.alignment import beta_binomial_prior as beta_binomial_prior
    from nemo_tts.modules.alignment import durations_of as durations_of
    from nemo_tts.modules.alignment import monotonic_alignment as monotonic_alignment
    from nemo_tts.modules.discriminators import MultiPeriodDiscriminator as MultiPeriodDiscriminator
    from nemo_tts.modules.discriminators import MultiScaleDiscriminator as MultiScaleDiscriminator
    from nemo_tts.modules.fft import FFTransformerDecoder as FFTransformerDecoder
    from nemo_tts.modules.fft import FFTransformerEncoder as FFTransformerEncoder
    from nemo_tts.modules.griffin_lim import GriffinLimInversion as GriffinLimInversion
    from nemo_tts.modules.hifigan import HiFiGanGenerator as HiFiGanGenerator
    from nemo_tts.modules.hifigan import ISTFTGenerator as ISTFTGenerator
    from nemo_tts.modules.predictor import TemporalPredictor as TemporalPredictor
    from nemo_tts.modules.regulation import average_features as average_features
    from nemo_tts.modules.regulation import regulate_length as regulate_length
    from nemo_tts.modules.vocos import VocosGenerator as VocosGenerator

__getattr__, __dir__ = attach(__name__)
