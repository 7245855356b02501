"""Text front ends: text in words, and words in sounds."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_tts.text.base import Dropped as Dropped
    from nemo_tts.text.base import G2p as G2p
    from nemo_tts.text.base import Normalized as Normalized
    from nemo_tts.text.base import Normalizer as Normalizer
    from nemo_tts.text.english.g2p import EnglishG2p as EnglishG2p
    from nemo_tts.text.english.normalizer import EnglishNormalizer as EnglishNormalizer
    from nemo_tts.text.ipa import IpaG2p as IpaG2p
    from nemo_tts.text.mandarin.g2p import ChineseG2p as ChineseG2p
    from nemo_tts.text.mandarin.normalizer import MandarinNormalizer as MandarinNormalizer

__getattr__, __dir__ = attach(__name__)
