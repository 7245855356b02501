"""Chat templates: what transformers makes of them, which part the assistant says, and what they may not do."""

from __future__ import annotations

import json
import pickle
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError, DataError, NemoError, UnsafeArchiveError
from nemo_llm.tokenizers import ByteTokenizer, ChatTemplate, tolls
from nemo_llm.tokenizers.chat import template_names
from nemo_llm.tokenizers.tolls import Budget, OverBudgetError

SPECIAL = ["<bos>", "<eos>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
SPECIAL += [
    "[INST]",
    "[/INST]",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
]
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 6 × 7?"},
    {"role": "assistant", "content": "42"},
    {"role": "user", "content": "And\n in words? "},
    {"role": "assistant", "content": "forty-two"},
]
STYLES = {
    "chatml": ("<|im_start|>user\nAnd\n in words? <|im_end|>\n", ["42<|im_end|>", "forty-two<|im_end|>"]),
    "llama3": (
        "<|start_header_id|>user<|end_header_id|>\n\nAnd\n in words?<|eot_id|>",
        ["42<|eot_id|>", "forty-two<|eot_id|>"],
    ),
    "mistral": ("[INST] Be brief.\n\nAnd\n in words? [/INST]", [" 42<eos>", " forty-two<eos>"]),
    "gemma": ("<start_of_turn>user\nAnd\n in words?<end_of_turn>\n", ["42<end_of_turn>", "forty-two<end_of_turn>"]),
    "phi3": ("<|user|>\nAnd\n in words? <|end|>\n", ["42<|end|>", "forty-two<|end|>"]),
}


@pytest.fixture(scope="module")
def tokenizer():
    from nemo_llm.tokenizers import train_tokenizer

    lines = ["what is forty-two in words", "be brief and user assistant system model"] * 8
    made = train_tokenizer(lines, vocab_size=320, special_tokens=SPECIAL)
    made.bos_id, made.eos_id = made.token_to_id("<bos>"), made.token_to_id("<eos>")
    return made


@pytest.fixture
def theirs(tokenizer):
    transformers = pytest.importorskip("transformers", reason="parity with transformers needs transformers")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<|endoftext|>"
    )


def test_all_styles_are_here():
    assert sorted(STYLES) == template_names()


@pytest.mark.parametrize("style", STYLES)
def test_styles_read_as_published_and_as_transformers_reads_them(style, tokenizer, theirs):
    part, answers = STYLES[style]
    tokenizer.chat_template = style
    theirs.chat_template = tokenizer.chat_template
    text = tokenizer.apply_chat_template(TALK)
    assert part in text
    assert text.startswith("<bos>") == (style in ("llama3", "mistral", "gemma"))
    for messages, prompt in ((TALK, False), (TALK[:4], True), (TALK[1:3], False), (TALK[1:2], True), (TALK[:2], False)):
        ours = tokenizer.apply_chat_template(messages, add_generation_prompt=prompt)
        assert ours == theirs.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=False)
        ids = theirs.apply_chat_template(messages, add_generation_prompt=prompt)["input_ids"]
        assert tokenizer.encode_chat(messages, add_generation_prompt=prompt) == ids
    text, spans = tokenizer.template.render_with_spans(TALK, bos_token="<bos>", eos_token="<eos>")
    assert [text[start:end] for start, end in spans] == answers
    # What comes before an answer in training is what stands there when one is generated.
    assert text[: spans[0][0]] == tokenizer.apply_chat_template(TALK[:2], add_generation_prompt=True).replace(
        "Be brief.\n\n" if style == "mistral" else "\0", ""
    )


@pytest.mark.parametrize("style", STYLES)
def test_without_generation_blocks_the_same_places_are_found(style, tokenizer):
    source = ChatTemplate.of(style).source
    bare = source.replace("{%- generation %}{{", "{{-").replace("{% endgeneration %}", "")
    assert "generation %" not in bare
    talk = TALK[1:]  # Mistral's puts the system message before the last question, so that prompts are no beginnings
    marked, unmarked = ChatTemplate(source), ChatTemplate(bare)
    assert (marked.marks_generation, unmarked.marks_generation) == (True, False)
    known = {"bos_token": "<bos>", "eos_token": "<eos>"}
    assert unmarked.render_with_spans(talk, **known) == marked.render_with_spans(talk, **known)


contents = st.text(st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(contents, contents), min_size=1, max_size=4), st.sampled_from(["chatml", "phi3"]))
def test_places_hold_what_was_said(turns, style):
    talk = [
        {"role": role, "content": content}
        for turn in turns
        for role, content in zip(("user", "assistant"), turn, strict=True)
    ]
    end = {"chatml": "<|im_end|>", "phi3": "<|end|>"}[style]
    text, spans = ChatTemplate.of(style).render_with_spans(talk)
    assert [text[a:b] for a, b in spans] == [answer + end for _, answer in turns]


def test_a_template_that_shortens_earlier_answers():
    """As Qwen3's: only the last answer keeps its thoughts."""
    source = """{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' and loop.last %}<think>
{{ m.thoughts }}
</think>
{% endif %}{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
    talk = [dict(message, thoughts="hm") for message in TALK]
    text, spans = ChatTemplate(source).render_with_spans(talk)
    assert [text[start:end] for start, end in spans] == [
        "42<|im_end|>",
        "<think>\nhm\n</think>\nforty-two<|im_end|>",
    ]


def test_places_that_are_not_clear():
    shuffled = "{% for m in messages %}{{ m.content }}|{% endfor %}{{ messages | length }}"
    with pytest.raises(DataError, match=r"messages\[2\].*not clear"):
        ChatTemplate(shuffled).render_with_spans(TALK)
    wrong = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    with pytest.raises(DataError, match="marks 5 texts of the assistant, and there are 2"):
        ChatTemplate(wrong).render_with_spans(TALK)
    changed = "{% set x %}{% generation %}{{ messages[0].content }}{% endgeneration %}{% endset %}{{ x | length }}"
    with pytest.raises(DataError, match="is changed after"):
        ChatTemplate(changed).render_with_spans(TALK)


def test_what_templates_of_hugging_face_expect():
    def render(source, **known):
        return ChatTemplate(source).render(TALK[:2], **known)

    assert render("{{ messages | tojson }}").startswith('[{"role": "system"')
    assert render("{{ {'a': '<é>'} | tojson }}") == '{"a": "<é>"}'
    assert render("{{ x | tojson(indent=2) }}", x={"a": [1]}) == '{\n  "a": [\n    1\n  ]\n}'
    assert len(render("{{ strftime_now('%Y') }}")) == 4
    assert render("{% for n in range(9) %}{% if n == 3 %}{% break %}{% endif %}{{ n }}{% endfor %}") == "012"
    assert render("{% for n in range(4) %}{% if n == 1 %}{% continue %}{% endif %}{{ n }}{% endfor %}") == "023"
    assert (
        render("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}")
        == "2"
    )
    assert render("{{ undefined_thing }}{{ tools is none }}{{ documents is none }}") == "TrueTrue"
    assert render("{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f('a') ~ f(1) }}{{ 'a' ~ 1 }}") == "[a][1]a1"
    assert (
        render("{{ ['b', 'a'] | sort | join(', ') }}{{ 'x' * 3 }}{{ '%s' % 'y' }}{{ '{}'.format('z') }}") == "a, bxxxyz"
    )
    assert (
        render("{{ '**%s**' % 'y' }}{{ 'in 2024: {}'.format('z') }}{{ 'a\n\nb' | indent(2) }}")
        == "**y**in 2024: za\n\n  b"
    )
    assert render("{{ messages | map(attribute='role') | list | last }}") == "user"
    assert render("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}") == "1"
    assert render("{{ ' a '.strip() + 'a-b'.split('-')[1] + 'ab'.replace('b', 'c') + 'A'.lower() }}") == "abaca"
    assert (
        render("{% for key, value in x.items() %}{{ key }}={{ value }};{% endfor %}", x={"a": 1, "b": 2}) == "a=1;b=2;"
    )
    assert (
        render("{% filter upper %}a{% endfilter %}{{ x | default('d') }}{{ 1 if true else 2 }}{{ 'a' in 'abc' }}")
        == "Ad1True"
    )
    assert render("{% set a, b = 1, 2 %}{{ a + b }}{{ dict(a=1).a }}{{ [1, 2][-1] }}{{ (1, 2) | sum }}") == "3123"
    assert render("{{ x }}", x=None) == "None"
    # OpenAI's messages have keys without a value.
    assert (
        ChatTemplate("{{ messages[0].tool_calls is defined }}").render([{"role": "user", "tool_calls": None}])
        == "False"
    )


ATTACKS = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''|attr('__cla' ~ 'ss__') }}",
    "{{ [''] | map(attribute='__class__') | list }}",
    "{{ messages.__class__ }}",
    "{{ ''.join.__self__ }}",
    "{{ raise_exception.__globals__ }}",
    "{{ raise_exception['__glo' ~ 'bals__'] }}",
    "{{ '{0.__class__}'.format('') }}",
    "{{ '{0.__class__.__mro__}'.format('') }}",
    "{{ ('{x.__class__}').format_map({'x': ''}) }}",
    "{% set f = ''.format %}{{ '{0.__class__}'|attr('format') }}{{ '{0.__class__}'.format(1) }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ joiner.__init__ }}",
    "{{ namespace.__init__ }}",
    "{% set n = namespace(__class__=1) %}",
    "{% set n = namespace() %}{% set n.__class__ = 1 %}{{ n }}",
    "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{% macro f() %}{{ caller.__class__ }}{% endmacro %}{% call f() %}{% endcall %}",
    "{% macro f() %}{% endmacro %}{{ f.__call__ }}",
    "{{ loop.__class__ }}{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update({'role': 'x'}) }}",
    "{{ (messages | groupby('role') | first).__class__ }}",
    "{{ 1.0.__class__ }}",
    "{{ (1).__class__.__base__ }}",
    "{{ range.__class__ }}",
    "{{ dict.__base__ }}",
    "{% for x in messages %}{{ x.__init__ }}{% endfor %}",
]


@pytest.mark.parametrize("source", ATTACKS, ids=range(len(ATTACKS)))
def test_ways_into_python_are_shut(source):
    with pytest.raises(UnsafeArchiveError, match="the chat template of evil is not safe"):
        ChatTemplate(source, "the chat template of evil").render(TALK)


@pytest.mark.parametrize(
    "source",
    [
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% extends 'x' %}",
        "{{ lipsum() }}",
        "{{ get_flashed_messages() }}",
        "{{ x | random }}",
        "{{ 'a'.encode() }}",
        "{{ __import__('os') }}",
        "{% generation %}",
        "{% if %}",
        "{{ 'a' | no_such_filter }}",
        "(" * 5000 + "{{ " + "(" * 5000,
        "{" * 2_000_000,
    ],
    ids=range(13),
)
def test_what_templates_do_not_have(source):
    with pytest.raises((ConfigError, DataError), match="the chat template of x"):
        ChatTemplate(source, "the chat template of x").render(TALK)


def again(start, step, then=""):
    """A template that takes a step ninety-nine times."""
    return f"{{% set n = namespace(x={start}) %}}{{% for i in range(99) %}}{step}{{% endfor %}}{then}"


ENDLESS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    "{{ range(10 ** 9) | list }}",
    "{% for x in range(999999999) %}{% endfor %}",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% for x in [[1]] recursive %}{{ loop([[1], [1]]) }}{% endfor %}",
    again("'a'", "{% set n.x = n.x ~ n.x %}", "{{ n.x }}"),
    again("'a'", "{% set n.x = n.x + n.x %}", "{{ n.x }}"),
    again("[1]", "{% set n.x = n.x + n.x %}", "{{ n.x }}"),
    again("[1]", "{% set n.x = [n.x, n.x] %}", "{{ n.x }}"),
    again("[1]", "{% set n.x = (n.x, n.x) %}", "{{ n.x == n.x }}"),
    again("[1]", "{% set n.x = {'a': n.x, 'b': n.x} %}", "{{ n.x | tojson }}"),
    again("[1]", "{% set n.x = dict(a=n.x, b=n.x) %}", "{{ n.x | string }}"),
    again("'a'", "{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}"),
    again("'a'", "{% set n.x = [n.x, n.x] | join %}"),
    again("'a'", "{% set n.x = '%s%s' % (n.x, n.x) %}"),
    again("'a'", "{% set n.x = '{0}{0}'.format(n.x) %}"),
    again("'a'", "{% set n.x = '{x}{x}'.format_map({'x': n.x}) %}"),
    again("'a'", "{% set n.x = n.x.replace('a', 'aa') %}"),
    again("'a'", "{% set n.x = n.x | replace('a', 'aa') %}"),
    again("'a'", "{% set n.x = n.x.join(['a', 'a', n.x]) %}"),
    again("'a'", "{% set n.x = n.x | urlencode ~ n.x | e %}"),
    "{{ 'a' * 10 ** 9 }}",
    "{{ 10 ** 9 * 'a' }}",
    "{{ [0] * 10 ** 9 }}",
    "{{ 'a' * 999999999 }}",
    "{{ 9 ** 9 ** 9 ** 99 }}",
    "{{ 2 ** -99999999 }}",
    again("99", "{% set n.x = n.x * n.x %}", "{{ n.x > 1 }}"),
    "{{ 'a'.ljust(10 ** 9) }}",
    "{{ 'a'.center(999999999) }}",
    "{{ 'a'.zfill(999999999) }}",
    "{{ '\t'.expandtabs(999999999) }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '%*d' % (999999999, 1) }}",
    "{{ '%(x)999999999s' % {'x': 1} }}",
    "{{ '{:999999999}'.format(1) }}",
    "{{ '{:{}}'.format(1, 999999999) }}",
    "{{ '%999999999d' | format(1) }}",
    "{{ 'a\nb' | indent(999999999) }}",
    "{{ 'a\nb' | indent('x' * 9999999) }}",
    "{{ [[[1]]] | tojson(indent=999999999) }}",
    "{{ (5).to_bytes(999999999, 'big') }}",
    "{{ 5 | round(-999999999) }}",
    "{{ strftime_now('%999999999d') }}",
    "{{ strftime_now('%Y' * 99999) }}",
    "{{ [[1] * 1000] * 1000000 | sum(start=[]) }}",
    "{% set x = ['a' * 100000] %}{% for i in range(99999) %}{% set y = x | tojson %}{% endfor %}",
    "{% set x = range(99999) | list %}{% for i in range(99999) %}{% set y = x | sort | list %}{% endfor %}",
    "{% for i in range(99999) %}{% set y = range(99999) | map('string') | join %}{% endfor %}",
    "{% set x = 'ab' * 100000 %}{{ ('x' * 1000000).strip('y' * 500000 ~ 'x') }}",
]


@pytest.mark.parametrize("source", ENDLESS, ids=range(len(ENDLESS)))
def test_templates_that_never_end_are_stopped(source, monkeypatch):
    monkeypatch.setattr(tolls, "WORK", 400_000)  # less, so that the test takes less
    with pytest.raises(NemoError, match=r"the chat template of x (was stopped|fails)"):
        ChatTemplate(source, "the chat template of x").render(TALK)


def test_time_is_bounded():
    budget = Budget(work=10**12, seconds=0.05)

    def spend():
        for _ in range(10**8):
            budget.spend(1)

    with pytest.raises(OverBudgetError, match="too long"):
        spend()


def test_long_conversations_are_no_attack():
    talk = TALK[1:] * 500
    talk = [dict(message, content=message["content"] * 500) for message in talk]
    for style in STYLES:
        text = ChatTemplate.of(style).render(talk, bos_token="<bos>", eos_token="<eos>")
        assert len(text) > 2_000_000


@pytest.mark.parametrize("style", ["mistral", "gemma"])
@pytest.mark.parametrize(
    "roles", [["assistant"], ["user", "user"], ["system", "assistant"], ["user", "assistant", "assistant"]]
)
def test_mistakes_in_roles_are_said(style, roles):
    with pytest.raises(DataError, match=f"the chat template '{style}' refuses these messages: .*take turns"):
        ChatTemplate.of(style).render([{"role": role, "content": "x"} for role in roles], bos_token="", eos_token="")


def test_messages_that_lack_something():
    with pytest.raises(DataError, match=r"chatml.*'content'"):
        ChatTemplate.of("chatml").render([{"role": "user"}])
    for wrong in (["text"], [{"role": "user", "content": threading.Lock()}]):
        with pytest.raises(DataError, match=r"messages\[0\]"):
            ChatTemplate.of("chatml").render(wrong)


def test_templates_from_files_and_names(tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text("{{ messages[0].content }}!")
    assert ChatTemplate.of(str(path)).render(TALK) == "Be brief.!"
    assert ChatTemplate.of("{{ messages | length }}").render(TALK) == "5"
    with pytest.raises(ConfigError, match="names are chatml, gemma"):
        ChatTemplate.of("chatml2")
    path.write_text("{{ ''.__class__ }}")
    with pytest.raises(UnsafeArchiveError, match=r"mine\.jinja is not safe: line 1"):
        ChatTemplate.of(str(path))
    path.write_text("a\n{% if %}")
    with pytest.raises(ConfigError, match=r"mine\.jinja, line 2"):
        ChatTemplate.of(str(path))


def test_a_tokenizer_with_an_unsafe_template_loads_and_refuses_to_chat(tmp_path):
    from nemo_llm.tokenizers import load_tokenizer

    ByteTokenizer(chat_template="chatml").save(tmp_path)
    config = tmp_path / "tokenizer_config.json"
    config.write_text('{"nemo_tokenizer": "bytes", "chat_template": "{{ self.__init__.__globals__ }}"}')
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.decode(tokenizer.encode("a")) == "a"
    assert tokenizer.fingerprint
    with pytest.raises(UnsafeArchiveError, match=f"the chat template of {tmp_path} is not safe"):
        tokenizer.apply_chat_template(TALK)


def test_a_template_of_a_stranger_names_no_file(tmp_path):
    from nemo_llm.tokenizers import load_tokenizer

    secret = tmp_path / "secret"
    secret.write_text("{{ 'of mine' }}")
    ByteTokenizer().save(tmp_path)
    for named in (str(secret), "chatml", "none", ""):
        config = {"nemo_tokenizer": "bytes", "chat_template": named}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        assert load_tokenizer(tmp_path).chat_template is None
    with pytest.raises(ConfigError, match="no file of one"):
        ByteTokenizer(chat_template=str(secret))


def test_templates_are_pickled():
    template = pickle.loads(pickle.dumps(ChatTemplate.of("chatml")))
    assert template.render(TALK) == ChatTemplate.of("chatml").render(TALK)
