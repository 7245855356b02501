"""Tokenizers in NVIDIA NeMo's words; the other direction is :func:`nemo_asr.models.nvidia.tokenizer_config`."""

from __future__ import annotations

from typing import Any

from nemo_asr.tokenizers.base import Tokenizer
from nemo_asr.tokenizers.char import CharTokenizer
from nemo_asr.tokenizers.sentence_piece import SentencePieceTokenizer
from nemo_asr.tokenizers.word_piece import WordPieceTokenizer
from nemo_core.errors import ExportError
from nemo_core.models.nvidia_export import reference

__all__ = ["tokenizer_sections"]


def tokenizer_sections(tokenizer: Tokenizer, artifacts: dict[str, bytes]) -> dict[str, Any]:
    """Return the sections about tokens: ``labels`` for characters, ``tokenizer`` for subwords.

    Args:
        tokenizer: The model's.
        artifacts: Receives the files that the sections refer to.

    Raises:
        ExportError: NVIDIA NeMo has no such tokenizer.
    """
    # How text is spelt for training (lowercase, unknown) is a matter of NeMo's data sections.
    if isinstance(tokenizer, CharTokenizer):
        return {"labels": tokenizer.vocabulary}
    if isinstance(tokenizer, SentencePieceTokenizer):
        return {"labels": tokenizer.vocabulary, "tokenizer": _sentence_piece(tokenizer, artifacts)}
    if isinstance(tokenizer, WordPieceTokenizer):
        (vocabulary,) = tokenizer.artifacts().values()
        assert isinstance(vocabulary, bytes)
        section = {"dir": None, "type": "wpe", "vocab_path": reference("vocab.txt", vocabulary, artifacts)}
        return {"labels": tokenizer.vocabulary, "tokenizer": section}
    raise ExportError(f"tokenizer: {type(tokenizer).__qualname__} has no counterpart in NVIDIA NeMo")


def _sentence_piece(tokenizer: SentencePieceTokenizer, artifacts: dict[str, bytes]) -> dict[str, Any]:
    (model,) = tokenizer.artifacts().values()
    assert isinstance(model, bytes)
    pieces = tokenizer.vocabulary
    # Two lists for people to read; NeMo wants the files to be there, and reads neither.
    words = [piece.removeprefix("▁") or piece if piece.startswith("▁") else f"##{piece}" for piece in pieces]
    return {
        "dir": None,
        "type": "bpe",
        "model_path": reference("tokenizer.model", model, artifacts),
        "vocab_path": reference("vocab.txt", _lines(words), artifacts),
        "spe_tokenizer_vocab": reference("tokenizer.vocab", _lines(pieces), artifacts),
    }


def _lines(items: list[str]) -> bytes:
    return "".join(f"{item}\n" for item in items).encode()
