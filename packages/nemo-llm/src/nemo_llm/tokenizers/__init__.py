"""Text to tokens and back, for language models; chat templates."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_llm.tokenizers.base import Tokenizer as Tokenizer
    from nemo_llm.tokenizers.byte import ByteTokenizer as ByteTokenizer
    from nemo_llm.tokenizers.characters import CharacterTokenizer as CharacterTokenizer
    from nemo_llm.tokenizers.chat import ChatTemplate as ChatTemplate
    from nemo_llm.tokenizers.hugging_face import HFTokenizer as HFTokenizer
    from nemo_llm.tokenizers.loading import load_tokenizer as load_tokenizer
    from nemo_llm.tokenizers.sentence_piece import SentencePieceTokenizer as SentencePieceTokenizer
    from nemo_llm.tokenizers.streaming import StreamDecoder as StreamDecoder
    from nemo_llm.tokenizers.tiktoken_ranks import TiktokenTokenizer as TiktokenTokenizer
    from nemo_llm.tokenizers.training import train_tokenizer as train_tokenizer
    from nemo_llm.tokenizers.vocabulary import check_vocab as check_vocab

__getattr__, __dir__ = attach(__name__)
