"""The prompts of NVIDIA's Canary models."""

from __future__ import annotations

from nemo_asr.prompts.base import PromptFormat, Slot, as_choice, as_language, as_switch, as_text

__all__ = ["Canary2Prompt", "CanaryPrompt"]

_TASKS = {
    "transcribe": frozenset({"asr"}),
    "translate": frozenset({"ast", "s2t_translation"}),
}
_EMOTIONS = {f"emo:{name}": frozenset({name}) for name in ("undefined", "neutral", "angry", "happy", "sad")}


class CanaryPrompt(PromptFormat):
    """The prompt of Canary-1B (Puvvada et al., 2024, arXiv:2406.19674).

    Fields: ``source_lang``, what is spoken; ``task`` (or ``taskname``), ``transcribe`` or ``translate``;
    ``target_lang``, what is written; ``pnc``, whether with punctuation and capitals.

    Args:
        defaults: What fields say where they are not given; else English is transcribed, with punctuation.

    Example:
        >>> CanaryPrompt().parts({"target_lang": "de", "task": "translate", "pnc": False})
        ['<|startoftranscript|>', '<|en|>', '<|translate|>', '<|de|>', '<|nopnc|>']
    """

    template = (
        "<|startoftranscript|>",
        Slot("source_lang", as_language, "en", aliases=("lang",)),
        Slot("task", as_choice(_TASKS), "transcribe", aliases=("taskname",)),
        Slot("target_lang", as_language, "en", aliases=("lang",)),
        Slot("pnc", as_switch("pnc"), "yes"),
    )


class Canary2Prompt(PromptFormat):
    """The prompt of Canary-1B-flash and Canary-1B-v2.

    Fields: ``decodercontext``, what was said before or what helps to understand; ``emotion`` of the speaker;
    ``source_lang``, what is spoken; ``target_lang``, what is written; ``pnc``, whether with punctuation and capitals;
    ``itn``, whether with numbers in digits; ``timestamp``, whether with the times of words; ``diarize``, whether with
    who speaks. A translation is asked for by two languages that differ.

    Args:
        defaults: What fields say where they are not given; else English is transcribed, with punctuation.

    Example:
        >>> Canary2Prompt().parts({"timestamp": "yes"})[-3:]
        ['<|noitn|>', '<|timestamp|>', '<|nodiarize|>']
    """

    timestamps = "timestamp"
    template = (
        "<|startofcontext|>",
        Slot("decodercontext", as_text, ""),
        "<|startoftranscript|>",
        Slot("emotion", as_choice(_EMOTIONS), "undefined"),
        Slot("source_lang", as_language, "en", aliases=("lang",)),
        Slot("target_lang", as_language, "en", aliases=("lang",)),
        Slot("pnc", as_switch("pnc"), "yes"),
        Slot("itn", as_switch("itn"), "no"),
        Slot("timestamp", as_switch("timestamp"), "no"),
        Slot("diarize", as_switch("diarize"), "no"),
    )
