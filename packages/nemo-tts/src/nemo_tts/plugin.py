"""What nemo-tts registers with nemo-core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_core.plugins import hookimpl

if TYPE_CHECKING:
    from nemo_core.plugins import Registry

# NVIDIA's import paths are aliases, so that configurations that name them work unchanged.
_NVIDIA_TOKENIZERS = "nemo.collections.common.tokenizers.text_to_speech.tts_tokenizers"


@hookimpl
def nemo_components(registry: Registry) -> None:
    """Register the text front ends, tokenizers and commands of speech synthesis."""
    registry.command("tts", summary="Tools for speech synthesis")
    _text(registry)


def _text(registry: Registry) -> None:
    """Register what turns text into words, sounds and tokens."""
    for name, target, summary in (
        ("EnglishNormalizer", "english.normalizer", "English text the way it is spoken"),
        ("MandarinNormalizer", "mandarin.normalizer", "Mandarin text the way it is spoken"),
        ("EnglishG2p", "english.g2p", "English text to ARPABET or IPA"),
        ("ChineseG2p", "mandarin.g2p", "Mandarin text to initials, finals and tones, pinyin or IPA"),
    ):
        registry.text_processor(f"tts.{name}", f"nemo_tts.text.{target}:{name}", summary=summary)
    registry.tokenizer(
        "tts.CharsTokenizer", "nemo_tts.tokenizers.chars:CharsTokenizer", summary="Letters of a language as tokens"
    )
    for language in ("English", "German", "Spanish", "French", "Italian", "Vietnamese"):
        registry.tokenizer(
            f"tts.{language}CharsTokenizer",
            f"nemo_tts.tokenizers.chars:{language}CharsTokenizer",
            aliases=(f"{_NVIDIA_TOKENIZERS}.{language}CharsTokenizer",),
            summary=f"{language} letters as tokens",
        )
    for name, module, summary in (
        ("GermanPhonemesTokenizer", "chars", "German in IPA, one character a token"),
        ("EnglishPhonemesTokenizer", "phonemes", "English sounds as tokens: ARPABET"),
        ("IPATokenizer", "ipa", "Sounds of any language as tokens: IPA"),
        ("ChinesePhonemesTokenizer", "chinese", "Mandarin initials, finals and tones as tokens"),
    ):
        registry.tokenizer(
            f"tts.{name}",
            f"nemo_tts.tokenizers.{module}:{name}",
            aliases=(f"{_NVIDIA_TOKENIZERS}.{name}",),
            summary=summary,
        )
    registry.command("tts normalize", "nemo_tts.cli.text:normalize", summary="Write texts the way they are spoken")
    registry.command("tts phonemes", "nemo_tts.cli.text:phonemes", summary="Show the sounds that texts are read with")
    registry.command("tts g2p", summary="Learn how letters sound")
    registry.command("tts g2p train", "nemo_tts.cli.g2p:train", summary="Learn how letters sound from a dictionary")
