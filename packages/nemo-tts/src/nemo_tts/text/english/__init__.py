"""English: words for what is written in digits and signs, and sounds for words."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_tts.text.english.g2p import EnglishG2p as EnglishG2p
    from nemo_tts.text.english.letter_to_sound import LetterToSound as LetterToSound
    from nemo_tts.text.english.lexicon import Lexicon as Lexicon
    from nemo_tts.text.english.lexicon import read_cmudict as read_cmudict
    from nemo_tts.text.english.normalizer import EnglishNormalizer as EnglishNormalizer
    from nemo_tts.text.english.phones import to_ipa as to_ipa

__getattr__, __dir__ = attach(__name__)
