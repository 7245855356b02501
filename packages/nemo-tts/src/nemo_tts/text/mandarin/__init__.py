"""Mandarin: words for digits and signs, and pinyin, phonemes or IPA for words. Needs ``nemo-tts[zh]``."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_tts.text.mandarin.g2p import ChineseG2p as ChineseG2p
    from nemo_tts.text.mandarin.normalizer import MandarinNormalizer as MandarinNormalizer
    from nemo_tts.text.mandarin.polyphones import PolyphoneModel as PolyphoneModel
    from nemo_tts.text.mandarin.syllables import split_syllable as split_syllable
    from nemo_tts.text.mandarin.syllables import syllable_to_ipa as syllable_to_ipa

__getattr__, __dir__ = attach(__name__)
