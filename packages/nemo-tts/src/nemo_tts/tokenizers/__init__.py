"""Text to the tokens of speech synthesis, and back."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_tts.tokenizers.base import SpeechTokenizer as SpeechTokenizer
    from nemo_tts.tokenizers.chars import CharsTokenizer as CharsTokenizer
    from nemo_tts.tokenizers.chars import EnglishCharsTokenizer as EnglishCharsTokenizer
    from nemo_tts.tokenizers.chars import FrenchCharsTokenizer as FrenchCharsTokenizer
    from nemo_tts.tokenizers.chars import GermanCharsTokenizer as GermanCharsTokenizer
    from nemo_tts.tokenizers.chars import GermanPhonemesTokenizer as GermanPhonemesTokenizer
    from nemo_tts.tokenizers.chars import ItalianCharsTokenizer as ItalianCharsTokenizer
    from nemo_tts.tokenizers.chars import SpanishCharsTokenizer as SpanishCharsTokenizer
    from nemo_tts.tokenizers.chars import VietnameseCharsTokenizer as VietnameseCharsTokenizer
    from nemo_tts.tokenizers.chinese import ChinesePhonemesTokenizer as ChinesePhonemesTokenizer
    from nemo_tts.tokenizers.ipa import IPATokenizer as IPATokenizer
    from nemo_tts.tokenizers.nvidia import nvidia_tokenizer_config as nvidia_tokenizer_config
    from nemo_tts.tokenizers.phonemes import EnglishPhonemesTokenizer as EnglishPhonemesTokenizer

__getattr__, __dir__ = attach(__name__)
