"""Texts from prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError, DataError
from nemo_llm.generation import generate, stream
from nemo_llm.megatron import Layout, engine
from nemo_llm.models import ModelConfig, build_chunks, build_gpt
from nemo_llm.testing import Ranks
from nemo_llm.tokenizers import ByteTokenizer, CharacterTokenizer, Tokenizer

SIZES: dict[str, Any] = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "ffn_size": 64, "max_length": 96}


@pytest.fixture(scope="module")
def running() -> Iterator[None]:
    with engine(seed=1):
        yield


@pytest.fixture(scope="module")
def model(running: None) -> Any:
    return sharpened(build_gpt(ModelConfig(vocab_size=259, num_kv_heads=2, **SIZES)))


def sharpened(model: Any) -> Any:
    """Weights that are large enough for tokens to differ in probability."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    return model.eval()


def saying(text: bytes, prompt: int = 1) -> Any:
    """Return a model of bytes that says ``text`` after any prompt of ``prompt`` tokens, and then ends."""
    length = 96
    config = ModelConfig(
        **{**SIZES, "hidden_size": length, "num_layers": 1}, vocab_size=259, positions="learned", norm="layer"
    )
    model = build_gpt(config).eval()
    with torch.no_grad():  # each position is a direction of its own, which the output layer turns into its token
        for parameter in model.decoder.parameters():
            parameter.zero_()
        model.decoder.final_layernorm.weight.fill_(1.0)
        model.embedding.word_embeddings.weight.zero_()
        model.embedding.position_embeddings.weight.copy_(torch.eye(length))
        model.output_layer.weight.zero_()
        for place in range(length):
            said = place - (prompt - 1)
            token = text[said] if 0 <= said < len(text) else ByteTokenizer().eos_id
            model.output_layer.weight[token, place] += 10.0
    return model


def test_greedy_is_what_the_whole_model_says(model: Any) -> None:
    prompts = [[5, 6, 7], [100], list(range(20))]
    for prompt, found in zip(prompts, generate(model, prompts, max_tokens=10, greedy=True), strict=True):
        text = list(prompt)
        for _ in range(10):
            with torch.no_grad():
                text.append(int(model(torch.tensor([text]), None, None)[0, -1].argmax()))
        assert found.tokens == text[len(prompt) :]
        assert found.finish_reason == "length"
        assert found.text == ""  # there is no tokenizer


@given(
    prompts=st.lists(st.lists(st.integers(0, 258), min_size=1, max_size=12), min_size=1, max_size=5),
    seed=st.integers(0, 2**40),
    top_p=st.none() | st.floats(0.3, 1.0),
    penalty=st.sampled_from([1.0, 1.3]),
    batch_size=st.integers(1, 5),
)
@settings(max_examples=12, deadline=None)
def test_a_row_does_not_depend_on_its_company(
    prompts: list[list[int]], seed: int, top_p: float | None, penalty: float, batch_size: int, model: Any
) -> None:
    options: dict[str, Any] = {"max_tokens": 8, "seed": seed, "top_p": top_p, "repetition_penalty": penalty}
    ends = list(range(0, 259, 9))  # so that rows end at different times
    together = generate(model, prompts, eos=ends, batch_size=batch_size, logprobs=True, **options)
    met: set[tuple[int, ...]] = set()
    for prompt, found in zip(prompts, together, strict=True):
        if tuple(prompt) in met:
            continue  # equal prompts get different answers
        met.add(tuple(prompt))
        alone = generate(model, [prompt], eos=ends, logprobs=True, **options)[0]
        assert (alone.tokens, alone.finish_reason) == (found.tokens, found.finish_reason)
        assert found.logprobs == pytest.approx(alone.logprobs, abs=1e-4)


def test_equal_prompts_get_different_answers_and_a_seed_the_same_again(model: Any) -> None:
    first = generate(model, [[1, 2]] * 3, max_tokens=12, seed=5)
    assert len({tuple(each.tokens) for each in first}) == 3
    assert generate(model, [[1, 2]] * 3, max_tokens=12, seed=5) == first
    assert generate(model, [[1, 2]], max_tokens=12, seed=6) != first[:1]


def test_logprobs_are_those_of_the_model(model: Any) -> None:
    found = generate(model, [[3, 4]], max_tokens=5, seed=1, temperature=0.5, top_k=7, logprobs=True)[0]
    text = [3, 4, *found.tokens]
    with torch.no_grad():
        expected = torch.log_softmax(model(torch.tensor([text]), None, None)[0], -1)
    assert found.logprobs == pytest.approx([float(expected[1 + at, token]) for at, token in enumerate(found.tokens)],
                                           abs=1e-4)  # fmt: skip


def test_text_ends_with_the_token_that_says_so(running: None) -> None:
    found = generate(saying(b"Hello"), ["x"], greedy=True, tokenizer=ByteTokenizer())[0]
    assert (found.text, found.finish_reason, len(found.tokens)) == ("Hello", "eos", 6)
    longer = generate(saying(b"Hello"), ["x"], greedy=True, tokenizer=ByteTokenizer(), ignore_eos=True, max_tokens=9)
    assert (longer[0].finish_reason, len(longer[0].tokens)) == ("length", 9)


@pytest.mark.parametrize(
    ("stop", "text"),
    [("\n\n", "To be,\nor not"), (["not", "or"], "To be,\n"), ("é", "To be,\nor not\n\nto b"), ("zzz", None)],
)
def test_stop_strings_are_found_across_tokens(stop: Any, text: str | None, running: None) -> None:
    whole = "To be,\nor not\n\nto bé 😀."
    model, tokenizer = saying(whole.encode()), ByteTokenizer()
    found = generate(model, ["x"], greedy=True, stop=stop, tokenizer=tokenizer)[0]
    assert found.text == (whole if text is None else text)
    assert found.finish_reason == ("eos" if text is None else "stop")
    pieces = list(stream(model, "x", greedy=True, stop=stop, tokenizer=tokenizer))
    assert "".join(pieces) == found.text
    assert len(pieces) > 5


def test_streams_give_out_whole_characters(running: None) -> None:
    whole = "né 😀!"
    pieces = list(stream(saying(whole.encode()), "x", greedy=True, tokenizer=ByteTokenizer()))
    assert pieces == list(whole)
    cut = list(stream(saying(whole.encode()), "x", greedy=True, tokenizer=ByteTokenizer(), max_tokens=6))
    assert "".join(cut) == "né \N{REPLACEMENT CHARACTER}"


def test_a_stop_that_is_a_special_token_ends_a_text(running: None) -> None:
    class Marked(ByteTokenizer):
        def __init__(self) -> None:
            super().__init__()
            self.special_tokens = {**self.special_tokens, "<|end|>": ord("!")}

    found = generate(saying(b"Hi!you"), ["x"], greedy=True, stop="<|end|>", tokenizer=Marked())[0]
    assert (found.text, found.finish_reason) == ("Hi", "eos")


def test_rows_that_no_token_has_are_never_chosen(running: None) -> None:
    """A model may have rows that only fill up its vocabulary."""
    model = sharpened(build_gpt(ModelConfig(vocab_size=264, **SIZES)))
    found = generate(
        model, ["a"] * 8, max_tokens=40, temperature=5.0, seed=1, tokenizer=ByteTokenizer(), ignore_eos=True
    )
    assert max(token for each in found for token in each.tokens) < 259


def test_nothing_is_written_beyond_the_longest_text(model: Any) -> None:
    found = generate(model, [[1] * 90, [2]], max_tokens=50, greedy=True)
    assert [(len(each.tokens), each.finish_reason) for each in found] == [(6, "length"), (50, "length")]


def test_the_model_goes_back_to_what_it_was_doing(model: Any) -> None:
    model.train()
    try:
        generate(model, [[1]], max_tokens=2)
        assert model.training
    finally:
        model.eval()


@pytest.mark.parametrize(
    ("prompts", "options", "kind", "words"),
    [
        ([""], {}, DataError, "prompt 1 is empty"),
        (["a", "x" * 96], {}, DataError, "prompt 2 has 96 tokens; the model takes 96"),
        ([[300]], {}, DataError, "token 300, and the model knows 259"),
        ([[-1]], {}, DataError, "token -1"),
        (["a"], {"max_tokens": 0}, ConfigError, "max_tokens is 0"),
        (["a"], {"top_p": 2.0}, ConfigError, "top_p"),
        (["a"], {"batch_size": 0}, ConfigError, "batch_size"),
        (["a"], {"tokenizer": CharacterTokenizer("abc")}, ConfigError, "do not belong together"),
        (["a"], {"tokenizer": None}, ConfigError, "no tokenizer"),
        ([[1]], {"tokenizer": None, "stop": "x"}, ConfigError, "stop strings need a tokenizer"),
    ],
)
def test_bad_input_is_named(
    prompts: Any, options: dict[str, Any], kind: type[Exception], words: str, model: Any
) -> None:
    tokenizer: Tokenizer | None = options.pop("tokenizer", ByteTokenizer())
    with pytest.raises(kind, match=words):
        generate(model, prompts, tokenizer=tokenizer, **options)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="no language model"):
        generate(torch.nn.Linear(2, 2), [[1]])
    with pytest.raises(ConfigError, match="no weights yet"):
        generate([], [[1]])


def sampled(values: dict[str, Any]) -> list[list[int]]:
    layout = Layout(**values)
    with engine(layout, seed=1):
        chunks = build_chunks(ModelConfig(vocab_size=259, num_kv_heads=2, **SIZES), layout)
        for chunk in chunks:
            sharpened(chunk)
        options: dict[str, Any] = {"max_tokens": 12, "seed": 3, "top_p": 0.9, "eos": list(range(0, 259, 9))}
        return [each.tokens for each in generate(chunks, [[1, 2, 3], [4], [5, 6]], **options)]


def unseeded(values: dict[str, Any]) -> list[list[int]]:
    layout = Layout(**values)
    with engine(layout, seed=1):
        chunks = build_chunks(ModelConfig(vocab_size=259, **SIZES), layout)
        return [each.tokens for each in generate(chunks, [[1, 2, 3]], max_tokens=12)]


@pytest.mark.parametrize("values", [{"tensor": 2}, {"pipeline": 2}])
def test_all_processes_sample_what_one_would(values: dict[str, Any], two_ranks: Ranks) -> None:
    alone = two_ranks.run(sampled, {})[0]
    assert two_ranks.run(sampled, values) == [alone, alone]
    first, second = two_ranks.run(unseeded, values)
    assert first == second
