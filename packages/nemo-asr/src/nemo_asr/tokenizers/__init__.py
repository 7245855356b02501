"""Text to tokens and back."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.tokenizers.base import Tokenizer as Tokenizer
    from nemo_asr.tokenizers.char import CharTokenizer as CharTokenizer
    from nemo_asr.tokenizers.sentence_piece import SentencePieceTokenizer as SentencePieceTokenizer
    from nemo_asr.tokenizers.sentence_piece import train_sentence_piece as train_sentence_piece

__getattr__, __dir__ = attach(__name__)
