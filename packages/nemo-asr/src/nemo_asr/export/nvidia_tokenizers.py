"""Tokenizers in NVIDIA NeMo's words; the other direction is :mod:`nemo_asr.models.nvidia_tokenizers`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from nemo_asr.tokenizers.aggregate import AggregateTokenizer
from nemo_asr.tokenizers.base import Tokenizer
from nemo_asr.tokenizers.canary import CanaryBPETokenizer, CanaryTokenizer
from nemo_asr.tokenizers.char import CharTokenizer
from nemo_asr.tokenizers.sentence_piece import SentencePieceTokenizer
from nemo_asr.tokenizers.special_tokens import SpecialTokens
from nemo_asr.tokenizers.word_piece import WordPieceTokenizer
from nemo_core.errors import ExportError
from nemo_core.models.nvidia_export import reference

__all__ = ["special_tokens_model", "tokenizer_sections"]

_CANARY = "nemo.collections.common.tokenizers.canary_tokenizer"


def tokenizer_sections(tokenizer: Tokenizer, artifacts: dict[str, bytes]) -> dict[str, Any]:
    """Return the sections about tokens: ``labels``, and for all but characters ``tokenizer``.

    Args:
        tokenizer: The model's.
        artifacts: Receives the files that the sections refer to.

    Raises:
        ExportError: NVIDIA NeMo has no such tokenizer.
    """
    labels = {"labels": list(tokenizer.vocabulary)}
    # How text is spelt for training (lowercase, unknown) is a matter of NeMo's data sections.
    if isinstance(tokenizer, CharTokenizer):
        return labels
    return {**labels, "tokenizer": _section(tokenizer, "tokenizer", artifacts)}


def special_tokens_model(tokens: Sequence[str]) -> bytes:
    """Return a SentencePiece model that has ``tokens`` and no others.

    NVIDIA NeMo looks special tokens up by name, but wants a SentencePiece model to find the names in. One that is
    trained would have more tokens than these, and the weights of a model are for these.

    Example:
        >>> import sentencepiece
        >>> content = special_tokens_model(["<|nospeech|>", "<pad>"])
        >>> processor = sentencepiece.SentencePieceProcessor(model_proto=content)
        >>> [processor.id_to_piece(index) for index in range(len(processor))]
        ['<|nospeech|>', '<pad>']
    """
    unknown, user_defined = 2, 4  # every model has one unknown token
    pieces = [
        _message(1, _message(1, token.encode()) + _score(0.0) + _number(3, user_defined if index else unknown))
        for index, token in enumerate(tokens)
    ]
    trainer = _number(3, 2) + _number(40, 0)  # byte pairs; the first is the unknown one
    return b"".join(pieces) + _message(2, trainer) + _message(3, _message(1, b"identity"))


def _section(tokenizer: Tokenizer, where: str, artifacts: dict[str, bytes]) -> dict[str, Any]:
    if isinstance(tokenizer, CanaryBPETokenizer):
        custom = {"_target_": f"{_CANARY}.CanaryBPETokenizer"}
        return {**_sentence_piece(tokenizer, artifacts), "custom_tokenizer": custom}
    if isinstance(tokenizer, SentencePieceTokenizer):
        return _sentence_piece(tokenizer, artifacts)
    if isinstance(tokenizer, SpecialTokens):
        tokens = tokenizer.vocabulary
        return _sentence_piece_files(special_tokens_model(tokens), tokens, artifacts)
    if isinstance(tokenizer, WordPieceTokenizer) and not tokenizer.lowercase:
        (vocabulary,) = tokenizer.artifacts().values()
        return {"dir": None, "type": "wpe", "vocab_path": reference("vocab.txt", _bytes(vocabulary), artifacts)}
    if isinstance(tokenizer, AggregateTokenizer):
        languages = {
            language: _section(each, f"{where}.tokenizers.{language}", artifacts)
            for language, each in tokenizer.tokenizers.items()
        }
        section: dict[str, Any] = {"dir": None, "type": "agg", "langs": languages}
        if isinstance(tokenizer, CanaryTokenizer):
            section["custom_tokenizer"] = {"_target_": f"{_CANARY}.CanaryTokenizer", "tokenizers": None}
        return section
    how = ".lowercase=True" if isinstance(tokenizer, WordPieceTokenizer) else f": {type(tokenizer).__qualname__}"
    raise ExportError(f"{where}{how} has no counterpart in NVIDIA NeMo")


def _sentence_piece(tokenizer: SentencePieceTokenizer, artifacts: dict[str, bytes]) -> dict[str, Any]:
    (model,) = tokenizer.artifacts().values()
    return _sentence_piece_files(_bytes(model), tokenizer.vocabulary, artifacts)


def _sentence_piece_files(model: bytes, pieces: Sequence[str], artifacts: dict[str, bytes]) -> dict[str, Any]:
    # Two lists for people to read; NeMo wants the files to be there, and reads neither.
    words = [piece.removeprefix("▁") or piece if piece.startswith("▁") else f"##{piece}" for piece in pieces]
    return {
        "dir": None,
        "type": "bpe",
        "model_path": reference("tokenizer.model", model, artifacts),
        "vocab_path": reference("vocab.txt", _lines(words), artifacts),
        "spe_tokenizer_vocab": reference("tokenizer.vocab", _lines(pieces), artifacts),
    }


def _lines(items: Sequence[str]) -> bytes:
    return "".join(f"{item}\n" for item in items).encode()


def _bytes(content: Any) -> bytes:
    return content if isinstance(content, bytes) else bytes(content.read_bytes())


# What it takes of the wire format of protocol buffers.


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _score(value: float) -> bytes:
    return _varint(2 << 3 | 5) + struct.pack("<f", value)


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
