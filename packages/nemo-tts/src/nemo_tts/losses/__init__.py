"""Losses of speech synthesis."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_tts.losses.acoustic import DurationLoss as DurationLoss
    from nemo_tts.losses.acoustic import EnergyLoss as EnergyLoss
    from nemo_tts.losses.acoustic import MelLoss as MelLoss
    from nemo_tts.losses.acoustic import PitchLoss as PitchLoss
    from nemo_tts.losses.adversarial import DiscriminatorLoss as DiscriminatorLoss
    from nemo_tts.losses.adversarial import FeatureMatchingLoss as FeatureMatchingLoss
    from nemo_tts.losses.adversarial import GeneratorLoss as GeneratorLoss
    from nemo_tts.losses.alignment import BinarizationLoss as BinarizationLoss
    from nemo_tts.losses.alignment import ForwardSumLoss as ForwardSumLoss
    from nemo_tts.losses.spectral import MultiResolutionSTFTLoss as MultiResolutionSTFTLoss

__getattr__, __dir__ = attach(__name__)
