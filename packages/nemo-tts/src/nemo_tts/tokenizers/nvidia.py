"""The tokenizers in configurations of NVIDIA NeMo, in our words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nemo_core.errors import ConfigError

__all__ = ["nvidia_tokenizer_config"]

_TOKENIZERS = "nemo.collections.common.tokenizers.text_to_speech.tts_tokenizers"
_CHARS = {
    f"{language}CharsTokenizer": f"tts.{language}CharsTokenizer"
    for language in ("English", "German", "Spanish", "French", "Italian", "Vietnamese")
} | {"GermanPhonemesTokenizer": "tts.GermanPhonemesTokenizer"}
_OTHERS = {
    "EnglishPhonemesTokenizer": "tts.EnglishPhonemesTokenizer",
    "IPATokenizer": "tts.IPATokenizer",
    "ChinesePhonemesTokenizer": "tts.ChinesePhonemesTokenizer",
}
_COMMON = ("punct", "apostrophe", "add_blank_at", "pad_with_space", "non_default_punct_list")
_SYMBOLS = ("space", "silence", "oov", "sep")
_IPA = (
    *("locale", "use_chars", "phoneme_probability", "use_stresses"),
    *("grapheme_case", "grapheme_prefix", "ignore_ambiguous_words"),
)
_KEPT = {
    "EnglishPhonemesTokenizer": (*_COMMON, *_SYMBOLS, "stresses", "chars"),
    "IPATokenizer": (*_COMMON, *_SYMBOLS, "locale", "fixed_vocab"),
    "ChinesePhonemesTokenizer": (*_COMMON, "space", "silence", "sep"),
}


def nvidia_tokenizer_config(
    node: Mapping[str, Any], artifact: Callable[[str], Path] = Path, normalizer: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return our configuration of the tokenizer that NVIDIA NeMo's ``text_tokenizer`` describes.

    Symbols without a token are skipped with a warning, as they are there.

    Args:
        node: ``text_tokenizer`` of a model's configuration.
        artifact: Where a file lies that the node names, such as ``nemo:..._cmudict`` of an archive.
        normalizer: Configuration of a normaliser to put before the tokenizer.

    Raises:
        ConfigError: The tokenizer is not known, or takes its tokens from a dictionary in IPA that is not there.

    Example:
        >>> target = "nemo.collections.common.tokenizers.text_to_speech.tts_tokenizers.EnglishCharsTokenizer"
        >>> nvidia_tokenizer_config({"_target_": target, "punct": True, "pad_with_space": True})
        {'_target_': 'tts.EnglishCharsTokenizer', 'punct': True, 'pad_with_space': True, 'unknown': 'skip'}
    """
    name = str(node.get("_target_", "")).rpartition(".")[2]
    if name in _CHARS:
        config: dict[str, Any] = {"_target_": _CHARS[name]}
        keep: tuple[str, ...] = (*_COMMON, *(("chars",) if name != "GermanPhonemesTokenizer" else ()))
    elif name in _OTHERS:
        config = {"_target_": _OTHERS[name]}
        keep = _KEPT[name]
    else:
        known = ", ".join([*_CHARS, *_OTHERS])
        raise ConfigError(f"text_tokenizer: {node.get('_target_')} is not known", hint=f"known are {known}")
    if name == "IPATokenizer" and node.get("fixed_vocab") is None and not _dictionary(node):
        raise ConfigError(
            "text_tokenizer: an IPATokenizer without fixed_vocab needs a dictionary in IPA, which gives its tokens",
            hint="name it in text_tokenizer.g2p.phoneme_dict, or write the tokens into text_tokenizer.fixed_vocab",
        )
    config |= {key: _plain(node[key]) for key in keep if node.get(key) is not None}
    if name in _OTHERS and node.get("g2p") is not None:
        config["g2p"] = _g2p(name, node["g2p"], artifact)
    if normalizer is not None:
        config["normalizer"] = dict(normalizer)
    return config | {"unknown": "skip"}


def _g2p(tokenizer: str, node: Mapping[str, Any], artifact: Callable[[str], Path]) -> dict[str, Any]:
    config: dict[str, Any] = {"_target_": "tts.ChineseG2p" if tokenizer.startswith("Chinese") else "tts.EnglishG2p"}
    if tokenizer == "IPATokenizer" and node.get("phoneme_dict") is not None:
        files = {key: str(artifact(str(node[key]))) for key in ("phoneme_dict", "heteronyms") if node.get(key)}
        return {"_target_": "tts.IpaG2p", **files, **{key: node[key] for key in _IPA if node.get(key) is not None}}
    if tokenizer == "IPATokenizer":
        config["notation"] = "ipa"
    elif node.get("phoneme_dict") is not None:
        config["phoneme_dict"] = str(artifact(str(node["phoneme_dict"])))
    if tokenizer.startswith("Chinese"):
        config |= {key: node[key] or "" for key in ("phoneme_prefix", "tone_prefix") if key in node}
    elif node.get("phoneme_probability") is not None:
        config["phoneme_probability"] = node["phoneme_probability"]
    return config


def _dictionary(node: Mapping[str, Any]) -> bool:
    return isinstance(node.get("g2p"), Mapping) and node["g2p"].get("phoneme_dict") is not None


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else list(value)
