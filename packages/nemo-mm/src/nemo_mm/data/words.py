"""A tokenizer learned from captions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["caption_tokenizer"]


def caption_tokenizer(pairs: Any, vocab_size: int = 1000) -> Tokenizer:
    """Return byte-level BPE of the captions of a data set: that of training, so that nothing of others shows.

    Args:
        pairs: A data set of :class:`~nemo_mm.data.Pair` whose second half is texts.
        vocab_size: Number of tokens at most.

    Example:
        >>> from nemo_mm.data import Pair
        >>> tokenizer = caption_tokenizer([Pair(None, "a cat"), Pair(None, ["a cat", "the cat"])], vocab_size=300)
        >>> tokenizer.decode(tokenizer.encode("a cat"))
        'a cat'
    """
    from nemo_llm.tokenizers import train_tokenizer

    return train_tokenizer(list(_captions(pairs)), kind="byte_level_bpe", vocab_size=vocab_size)


def _captions(pairs: Any) -> Iterable[str]:
    for index in range(len(pairs)):
        second = pairs[index].second
        yield from [second] if isinstance(second, str) else second
