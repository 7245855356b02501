"""Learning tokenizers from texts."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from nemo_core.errors import ConfigError
from nemo_llm.tokenizers.base import Tokenizer

__all__ = ["Kind", "train_tokenizer"]

Kind = Literal["bpe", "unigram", "wordpiece", "byte_level_bpe", "characters"]

_BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_GPT = ("<|endoftext|>",)


def train_tokenizer(
    texts: Iterable[str] | str | Path | Sequence[str | Path],
    *,
    kind: Kind = "byte_level_bpe",
    vocab_size: int = 32_000,
    special_tokens: Sequence[str] = (),
    lowercase: bool = False,
    min_frequency: int = 2,
    character_coverage: float = 1.0,
    byte_fallback: bool = True,
    chat_template: str | None = None,
    key: str = "text",
) -> Tokenizer:
    """Learn a tokenizer; the same texts give the same one.

    Args:
        texts: What to learn from: texts, or paths of files (see :func:`~nemo_llm.tokenizers.texts.read_texts`). A list
            of strings is a list of texts; a list of :class:`~pathlib.Path` is one of files.
        kind: ``byte_level_bpe`` (Radford et al., 2019) merges bytes and loses nothing; ``bpe`` (Sennrich et al., 2016,
            arXiv:1508.07909) and ``unigram`` (Kudo, 2018, arXiv:1804.10959) are SentencePiece's; ``wordpiece`` is
            BERT's; ``characters`` has one token for each.
        vocab_size: Number of tokens, special ones included. Of ``characters`` there are as many as there are; of
            ``byte_level_bpe`` and ``wordpiece`` there may be fewer, if nothing more is to be merged.
        special_tokens: Tokens that no text is cut into, such as ``<|im_start|>``, besides those that the kind has:
            ``<|endoftext|>`` for ``byte_level_bpe``; ``<unk>``, ``<s>`` and ``</s>`` for SentencePiece; ``[PAD]``,
            ``[UNK]``, ``[CLS]``, ``[SEP]`` and ``[MASK]`` for ``wordpiece``; none for ``characters``.
        lowercase: Whether texts are lowercased; only ``wordpiece`` does so when it is used, too.
        min_frequency: How often a pair must occur to be merged (``byte_level_bpe``, ``wordpiece``).
        character_coverage: Share of the characters that get a token of their own (``bpe``, ``unigram``).
        byte_fallback: Spell characters without a token in bytes, which takes 256 tokens (``bpe``, ``unigram``).
        chat_template: How conversations are written: a name (``chatml``), a file, or Jinja.
        key: What texts are called in ``.jsonl`` and ``.parquet`` files.

    Raises:
        ConfigError: There are no texts, too few for so many tokens, or too many characters for so few.
        DataError: A file cannot be read.

    Example:
        >>> tokenizer = train_tokenizer(["to be or not to be"] * 9, vocab_size=264, special_tokens=["<|im_start|>"])
        >>> tokenizer.vocab_size, tokenizer.decode(tokenizer.encode("to bé"))
        (264, 'to bé')
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"kind is {kind!r}", hint=f"one of {', '.join(get_args(Kind))}")
    found = _not_empty(_read(texts, key, whole=kind == "characters"))
    if lowercase:
        found = (text.lower() for text in found)
    if kind == "characters":
        from nemo_llm.tokenizers.characters import CharacterTokenizer

        return CharacterTokenizer.learn(found, special_tokens=special_tokens, chat_template=chat_template)
    if kind in ("bpe", "unigram"):
        return _sentence_piece(
            found, kind, vocab_size, special_tokens, character_coverage, byte_fallback, chat_template
        )
    if kind == "wordpiece":
        return _word_pieces(found, vocab_size, special_tokens, lowercase, min_frequency, chat_template)
    return _byte_level(found, vocab_size, special_tokens, min_frequency, chat_template)


def _read(texts: Any, key: str, *, whole: bool) -> Iterator[str]:
    from nemo_llm.tokenizers.texts import read_texts

    if isinstance(texts, (str, Path)):
        yield from read_texts([Path(texts)], key=key, whole=whole)
        return
    for each in texts:
        if isinstance(each, Path):
            yield from read_texts([each], key=key, whole=whole)
        else:
            yield each


def _not_empty(texts: Iterator[str]) -> Iterator[str]:
    first = next(texts, None)
    if first is None:
        raise ConfigError("there are no texts to learn a tokenizer from")
    return itertools.chain([first], texts)


def _byte_level(
    texts: Iterator[str], vocab_size: int, special: Sequence[str], min_frequency: int, chat_template: str | None
) -> Tokenizer:
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    from nemo_llm.tokenizers.hugging_face import HFTokenizer

    names = list(dict.fromkeys([*_GPT, *special]))
    if vocab_size < 256 + len(names):
        raise ConfigError(
            f"vocab_size is {vocab_size}, and there are 256 bytes and {len(names)} special tokens",
            hint=f"set vocab_size to {256 + len(names)} or more",
        )
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=names,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    end = names[0]
    return HFTokenizer.of(tokenizer, bos_token=end, eos_token=end, pad_token=end, chat_template=chat_template)


def _word_pieces(
    texts: Iterator[str],
    vocab_size: int,
    special: Sequence[str],
    lowercase: bool,
    min_frequency: int,
    chat_template: str | None,
) -> Tokenizer:
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    from nemo_llm.tokenizers.hugging_face import HFTokenizer

    names = list(dict.fromkeys([*_BERT, *special]))
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=names, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() > vocab_size:
        raise _too_few(vocab_size, tokenizer.get_vocab_size())
    roles = {"unk_token": "[UNK]", "pad_token": "[PAD]", "bos_token": "[CLS]", "eos_token": "[SEP]"}
    return HFTokenizer.of(tokenizer, **roles, chat_template=chat_template)


def _sentence_piece(
    texts: Iterator[str],
    kind: str,
    vocab_size: int,
    special: Sequence[str],
    coverage: float,
    byte_fallback: bool,
    chat_template: str | None,
) -> Tokenizer:
    import sentencepiece

    from nemo_llm.tokenizers.sentence_piece import SentencePieceTokenizer

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=texts,
            model_writer=model,
            model_type=kind,
            vocab_size=vocab_size,
            character_coverage=coverage,
            byte_fallback=byte_fallback,
            control_symbols=[token for token in special if token not in ("<unk>", "<s>", "</s>")],
            normalization_rule_name="identity",  # texts are to come back as they were
            remove_extra_whitespaces=False,
            max_sentence_length=1 << 20,
            num_threads=1,  # with more, ties can fall either way
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _explain(str(error), vocab_size) from None
    return SentencePieceTokenizer.of(model.getvalue(), chat_template=chat_template)


def _explain(problem: str, vocab_size: int) -> ConfigError:
    if most := re.search(r"Vocabulary size too high.*<= (\d+)", problem):
        return ConfigError(
            f"the texts are too few for {vocab_size} tokens: {most[1]} at most",
            hint="lower vocab_size, or learn from more texts",
        )
    if least := re.search(r"smaller than required_chars\. \d+ vs (\d+)", problem):
        return _too_few(vocab_size, int(least[1]) + 1)
    if "sentences_.empty()" in problem:
        return ConfigError("there are no texts to learn a tokenizer from")
    return ConfigError(f"no tokenizer could be learned: {problem}")


def _too_few(vocab_size: int, least: int | None) -> ConfigError:
    return ConfigError(
        f"{vocab_size} tokens are too few for the characters of the texts",
        hint=f"set vocab_size to {least} or more, or learn byte_level_bpe" if least else "raise vocab_size",
    )
