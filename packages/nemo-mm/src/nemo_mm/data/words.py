"""A tokenizer learned from captions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nemo_mm.data.tiled_pictures import IMAGE

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["caption_tokenizer", "caption_words"]

#: What stands around captions: nothing but the end.
_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<end>"
    "{% endgeneration %}{% else %}{{ message.content }}{% endif %}{% endfor %}"
)


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


def caption_words(pairs: Any, prompts: str | Sequence[str] = "Describe the picture.", least: int = 1) -> Tokenizer:
    """Return the tokenizer of the words of captions, for conversations about pictures from nothing: each word a token.

    Args:
        pairs: A data set of :class:`~nemo_mm.data.Pair` whose second half is texts: that of training.
        prompts: Texts whose words are known too.
        least: How often a word must be there to be known.

    Example:
        >>> from nemo_mm.data import Pair
        >>> tokenizer = caption_words([Pair(None, ["A cat.", "the cat"])])
        >>> tokenizer.decode(tokenizer.encode("the cat sleeps")), sorted(tokenizer.special_tokens)
        ('the cat <unk>', ['<end>', '<image>'])
    """
    from nemo_mm.data.word_tokenizer import word_tokenizer

    counted = Counter(word for caption in _captions(pairs) for word in re.findall(r"\w+|[^\w\s]+", caption.lower()))
    texts = [prompts] if isinstance(prompts, str) else prompts
    known = [word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text.lower())]
    words = [*known, *sorted(word for word, count in counted.items() if count >= least)]
    return word_tokenizer(words, ["<end>", IMAGE], eos_token="<end>", pad_token="<end>", chat_template=_TEMPLATE)


def _captions(pairs: Any) -> Iterable[str]:
    for index in range(len(pairs)):
        second = pairs[index].second
        yield from [second] if isinstance(second, str) else second
