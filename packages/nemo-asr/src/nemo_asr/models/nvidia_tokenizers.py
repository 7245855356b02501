"""Reading NVIDIA's configurations of tokenizers: WordPiece, and those made of others or of special tokens too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nemo_core.errors import ArchiveError

__all__ = ["aggregate_config", "prompt_tokenizer_config", "word_piece_config"]


def aggregate_config(section: Mapping[str, Any], target: str = "asr.AggregateTokenizer") -> dict[str, Any]:
    """Return the node of a tokenizer of several languages for a section ``tokenizer`` of the type ``agg``.

    Example:
        >>> node = aggregate_config({"type": "agg", "langs": {"en": {"type": "bpe", "model_path": "en.model"}}})
        >>> node["tokenizers"]["en"]["_target_"]
        'asr.SentencePieceTokenizer'
    """
    from nemo_asr.models.nvidia import tokenizer_config  # which comes back here for a section of this type

    languages = section.get("langs")
    if not isinstance(languages, Mapping) or not languages:
        raise ArchiveError("the configuration has no tokenizer.langs, so the archive has no tokenizer")
    tokenizers = {str(language): tokenizer_config({"tokenizer": one}) for language, one in languages.items()}
    return {"_target_": target, "tokenizers": tokenizers}


def prompt_tokenizer_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of the tokenizer of a model with prompts."""
    section = config.get("tokenizer") or {}
    kind = str(section.get("type", "")).lower()
    if kind == "agg":
        return aggregate_config(section, "asr.CanaryTokenizer")
    if kind != "bpe" or not section.get("model_path"):
        raise ArchiveError(f"the configuration has a tokenizer of type {kind!r} without special tokens, or no model")
    return {"_target_": "asr.CanaryBPETokenizer", "model_path": str(section["model_path"])}


def word_piece_config(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of the tokenizer for a section ``tokenizer`` of the type ``wpe``.

    NeMo sets it up as that of bert-base-cased, which leaves the case of text as it is.

    Example:
        >>> word_piece_config({"type": "wpe", "vocab_path": "vocab.txt"})["_target_"]
        'asr.WordPieceTokenizer'
    """
    if not section.get("vocab_path"):
        raise ArchiveError("the configuration has no tokenizer.vocab_path, so the archive has no tokenizer")
    given = {key for key, value in (section.get("hf_kwargs") or {}).items() if value is not None}
    if others := sorted(given - {"use_fast"}):
        raise ArchiveError(f"the tokenizer has special tokens of its own: {', '.join(others)}, which are not offered")
    return {"_target_": "asr.WordPieceTokenizer", "vocab_path": str(section["vocab_path"])}
