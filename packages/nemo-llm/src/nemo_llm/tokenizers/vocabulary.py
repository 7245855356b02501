"""Whether a tokenizer and a model belong together."""

from __future__ import annotations

from nemo_core.errors import ConfigError
from nemo_llm.tokenizers.base import Tokenizer

__all__ = ["check_vocab"]


def check_vocab(tokenizer: Tokenizer, vocab_size: int) -> None:
    """Refuse a tokenizer of another vocabulary than a model's.

    A model may have some rows more than its tokenizer has tokens: up to a multiple of a power of two, or 1/128 of them,
    as published models do.

    Args:
        tokenizer: What makes the tokens.
        vocab_size: Tokens that the model knows.

    Raises:
        ConfigError: The tokenizer has more tokens than the model, or so few that it is another one's.

    Example:
        >>> from nemo_llm.tokenizers import ByteTokenizer
        >>> check_vocab(ByteTokenizer(), 264)
        >>> check_vocab(ByteTokenizer(), 258)
        Traceback (most recent call last):
        nemo_core.errors.ConfigError: the tokenizer has 259 tokens, and the model knows 258: ...
    """
    tokens = tokenizer.vocab_size
    if tokens == vocab_size or (tokens < vocab_size and _is_padding(tokens, vocab_size)):
        return
    raise ConfigError(
        f"the tokenizer has {tokens} tokens, and the model knows {vocab_size}: they do not belong together",
        hint=f"use the tokenizer that the model was trained with; a new model takes vocab_size={tokens}",
    )


def _is_padding(tokens: int, rows: int) -> bool:
    """Return whether ``rows`` are ``tokens`` and some that fill up."""
    if rows - tokens <= tokens // 128:
        return True
    multiples = (8, 16, 32, 64, 128, 256, 512, 1024)
    return any(-(-tokens // each) * each == rows for each in multiples if each <= max(128, tokens // 64))
