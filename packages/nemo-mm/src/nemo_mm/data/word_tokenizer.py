"""A tokenizer whose tokens are words: for small worlds of few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["word_tokenizer"]


def word_tokenizer(
    words: str | Sequence[str],
    special_tokens: Sequence[str] = (),
    *,
    eos_token: str | None = None,
    pad_token: str | None = None,
    chat_template: str | None = None,
) -> Tokenizer:
    """Return the tokenizer of some words, in lower case; marks such as ``.`` and ``?`` are words of their own.

    Args:
        words: The words, in a list or in a text.
        special_tokens: Special tokens, such as ``<audio>``.
        eos_token: Which of them ends a text.
        pad_token: Which of them pads.
        chat_template: How conversations are written: a name (``chatml``), a file, or Jinja.

    Raises:
        ConfigError: There are no words.

    Example:
        >>> tokenizer = word_tokenizer("how many digits ? one two", ["<end>"], eos_token="<end>")
        >>> tokenizer.encode("How many digits?"), tokenizer.decode([4, 5]), tokenizer.vocab_size
        ([1, 2, 3, 4], '? one', 8)
    """
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

    from nemo_llm.tokenizers.hugging_face import HFTokenizer

    listed = words.split() if isinstance(words, str) else [str(word) for word in words]
    if not listed:
        raise ConfigError("tokenizer.words: there are none")
    vocabulary = {word: place for place, word in enumerate(["<unk>", *dict.fromkeys(map(str.lower, listed))])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens([AddedToken(each, normalized=False) for each in special_tokens])
    return HFTokenizer.of(made, eos_token=eos_token, pad_token=pad_token, chat_template=chat_template)
