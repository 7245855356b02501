"""Text to tokens and back."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.tokenizers.aggregate import AggregateTokenizer as AggregateTokenizer
    from nemo_asr.tokenizers.base import Tokenizer as Tokenizer
    from nemo_asr.tokenizers.canary import CanaryBPETokenizer as CanaryBPETokenizer
    from nemo_asr.tokenizers.canary import CanaryTokenizer as CanaryTokenizer
    from nemo_asr.tokenizers.canary import PromptTokenizer as PromptTokenizer
    from nemo_asr.tokenizers.char import CharTokenizer as CharTokenizer
    from nemo_asr.tokenizers.sentence_piece import SentencePieceTokenizer as SentencePieceTokenizer
    from nemo_asr.tokenizers.sentence_piece import train_sentence_piece as train_sentence_piece
    from nemo_asr.tokenizers.special_tokens import SpecialTokens as SpecialTokens
    from nemo_asr.tokenizers.word_piece import WordPieceTokenizer as WordPieceTokenizer
    from nemo_asr.tokenizers.word_piece_training import train_word_piece as train_word_piece

__getattr__, __dir__ = attach(__name__)
