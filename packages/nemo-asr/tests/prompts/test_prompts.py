"""Formats of prompts."""

from __future__ import annotations

import pytest

from nemo_asr.prompts import Canary2Prompt, CanaryPrompt, PromptFormat, Slot
from nemo_asr.prompts.base import as_choice, as_language
from nemo_asr.tokenizers import CanaryTokenizer, CharTokenizer, SpecialTokens
from nemo_core.errors import ConfigError, DataError
from nemo_core.testing.modules import check_config

TOKENIZER = CanaryTokenizer(
    {"spl_tokens": SpecialTokens(["en", "de"]), "en": CharTokenizer(" abc"), "de": CharTokenizer(" abc")}
)


class Loudness(PromptFormat):
    """A format of someone else's."""

    template = (
        "<|startoftranscript|>",
        Slot("volume", as_choice({"angry": frozenset({"loud"}), "sad": frozenset({"quiet"})}), "loud"),
        Slot("target_lang", as_language, "en"),
    )


def test_prompts_of_canary():
    fields = {"source_lang": "de", "target_lang": "en", "taskname": "ast", "pnc": "no", "duration": 3}
    prompt = CanaryPrompt()
    assert prompt.parts(fields) == ["<|startoftranscript|>", "<|de|>", "<|translate|>", "<|en|>", "<|nopnc|>"]
    assert prompt.parts({}) == ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|en|>", "<|pnc|>"]
    assert prompt.parts({"lang": "de"})[1:4] == ["<|de|>", "<|transcribe|>", "<|de|>"]
    tokens = prompt.encode(fields, TOKENIZER)
    assert TOKENIZER.decode(tokens) == "".join(prompt.parts(fields))


def test_prompts_of_canary_2():
    fields = {"decodercontext": "a cab", "target_lang": "de", "itn": True, "timestamp": 1, "emotion": "happy"}
    tokens = Canary2Prompt().encode(fields, TOKENIZER)
    assert TOKENIZER.decode(tokens) == (
        "<|startofcontext|>a cab<|startoftranscript|><|emo:happy|><|en|><|de|><|pnc|><|itn|><|timestamp|><|nodiarize|>"
    )
    assert {TOKENIZER.language(token) for token in tokens[1:6]} == {"de"}


def test_answers_are_in_the_target_language():
    tokens = CanaryPrompt().encode_answer("cab", {"target_lang": "de"}, TOKENIZER)
    assert [TOKENIZER.language(token) for token in tokens] == ["de"] * 3 + ["spl_tokens"]
    assert tokens[-1] == TOKENIZER.end


SAID = [(True, False), (1, 0), ("yes", "no"), ("Yes", "No"), ("true", "false"), ("1", "0"), ("pnc", "nopnc")]


@pytest.mark.parametrize(("yes", "no"), [*SAID, ("<|pnc|>", "<|nopnc|>")])
def test_yes_and_no_can_be_said_in_many_ways(yes, no):
    assert CanaryPrompt().parts({"pnc": yes})[-1] == "<|pnc|>"
    assert CanaryPrompt().parts({"pnc": no})[-1] == "<|nopnc|>"


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="no field 'targt_lang'") as caught:
        CanaryPrompt().check({"targt_lang": "de"})
    assert "did you mean target_lang" in caught.value.hint
    with pytest.raises(ConfigError, match="pnc is 'maybe'"):
        CanaryPrompt(defaults={"pnc": "maybe"})
    with pytest.raises(DataError, match="task is 'sing'") as found:
        CanaryPrompt().parts({"task": "sing"})
    assert "translate" in found.value.hint
    with pytest.raises(DataError, match=r"no special token <\|fr\|>"):
        CanaryPrompt().encode({"target_lang": "fr"}, TOKENIZER)


def test_a_format_of_ones_own_needs_a_template_only():
    prompt = Loudness(defaults={"volume": "quiet"})
    assert prompt.parts({"target_lang": "de"}) == ["<|startoftranscript|>", "<|sad|>", "<|de|>"]
    assert prompt.parts({"volume": "loud"})[1] == "<|angry|>"


@pytest.mark.parametrize("cls", [CanaryPrompt, Canary2Prompt])
def test_what_a_format_writes_builds_its_like(cls):
    check_config(lambda: cls(defaults={"source_lang": "de"}))
