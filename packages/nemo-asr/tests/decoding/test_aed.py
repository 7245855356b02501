"""Greedy decoding and beam search of attention encoder-decoders."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.decoding import aed_beam_search, aed_greedy_search
from nemo_asr.decoding.aed_greedy import AEDLimits
from nemo_asr.decoding.timed_text import read_times
from nemo_asr.modules import TokenClassifier, TransformerDecoder
from nemo_core.errors import DataError

END, PADDING, VOCABULARY = 2, 1, 9
SETTINGS = settings(max_examples=8, deadline=None)


def make(seed=0):
    torch.manual_seed(seed)
    decoder = TransformerDecoder(12, hidden_size=16, num_layers=2, inner_size=32, max_sequence_length=15, pre_ln=True)
    classifier = TokenClassifier(16, 12)
    classifier.output.weight.data *= 3.0  # so that texts do not collapse to one token, and end
    classifier.output.bias.data[END] += 2.0
    return decoder.eval(), classifier.eval()


def limits(**options):
    return AEDLimits(END, PADDING, VOCABULARY, **options)


def log_probs_of(decoder, classifier, encoded, tokens):
    hidden = decoder(tokens=torch.tensor([tokens]), encoded=encoded, length=torch.tensor([encoded.shape[2]]))
    return classifier(hidden=hidden)[0, :, :VOCABULARY]


def naive_greedy(decoder, classifier, encoded, prompt, most):
    tokens = list(prompt)
    while len(tokens) < most:
        token = int(log_probs_of(decoder, classifier, encoded, tokens)[-1].argmax())
        if token in (END, PADDING):
            break
        tokens.append(token)
    return tuple(tokens[len(prompt) :])


@SETTINGS
@given(
    shapes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 5)), min_size=1, max_size=4),
    delta=st.none() | st.integers(0, 8),
    seed=st.integers(0, 50),
)
def test_batches_with_a_cache_give_what_each_utterance_gives_without(shapes, delta, seed):
    decoder, classifier = make(seed)
    generator = torch.Generator().manual_seed(seed)
    length = torch.tensor([frames for frames, _ in shapes])
    encoded = torch.randn(len(shapes), 16, 8, generator=generator)
    prompts = [torch.randint(3, VOCABULARY, (size,), generator=generator).tolist() for _, size in shapes]
    with torch.no_grad():
        paths = aed_greedy_search(decoder, classifier, encoded, length, prompts, limits(max_delta=delta))
        for row, (frames, _) in enumerate(shapes):
            most = 16 if delta is None else min(16, frames + delta)
            expected = naive_greedy(decoder, classifier, encoded[row : row + 1, :, :frames], prompts[row], most)
            assert paths[row].tokens == expected


def test_the_score_is_that_of_the_text_and_its_end():
    decoder, classifier = make(3)
    encoded = torch.randn(1, 16, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        (path,) = aed_greedy_search(decoder, classifier, encoded, torch.tensor([5]), [[4, 5]], limits())
        log_probs = log_probs_of(decoder, classifier, encoded, [4, 5, *path.tokens])[1:]
    expected = sum(float(row.max()) for row in log_probs[: 16 - 2])
    assert path.score == pytest.approx(expected, abs=1e-4)


@SETTINGS
@given(seed=st.integers(0, 50))
def test_a_beam_of_one_is_greedy(seed):
    decoder, classifier = make(seed)
    encoded, length = torch.randn(2, 16, 6), torch.tensor([6, 4])
    with torch.no_grad():
        greedy = aed_greedy_search(decoder, classifier, encoded, length, [[3], [4, 5]], limits(max_delta=5))
        beam = aed_beam_search(decoder, classifier, encoded, length, [[3], [4, 5]], limits(max_delta=5), beam_size=1)
    assert [path.tokens for path in beam] == [path.tokens for path in greedy]
    assert [path.score for path in beam] == pytest.approx([path.score for path in greedy], abs=1e-4)


@pytest.mark.parametrize("seed", range(2))
def test_a_beam_as_wide_as_the_vocabulary_finds_the_best_text_of_two_tokens(seed):
    decoder, classifier = make(seed)
    encoded = torch.randn(1, 16, 6)
    with torch.no_grad():
        (path,) = aed_beam_search(
            decoder, classifier, encoded, torch.tensor([6]), [[3]], limits(max_length=3), beam_size=VOCABULARY
        )
        scores = {}
        for first, second in itertools.product(range(VOCABULARY), repeat=2):
            log_probs = log_probs_of(decoder, classifier, encoded, [3, first])
            ended = first in (END, PADDING)
            text = () if ended else (first,) if second in (END, PADDING) else (first, second)
            score = float(log_probs[0, first]) + (0.0 if ended else float(log_probs[1, second]))
            scores[text] = max(score, scores.get(text, -99.0))
    best = max(scores, key=scores.get)
    assert path.tokens == best
    assert path.score == pytest.approx(scores[best], abs=1e-4)


def test_a_penalty_makes_texts_longer():
    decoder, classifier = make(1)
    encoded, length = torch.randn(3, 16, 6, generator=torch.Generator().manual_seed(0)), torch.full((3,), 6)

    def total(penalty):
        with torch.no_grad():
            found = aed_beam_search(decoder, classifier, encoded, length, [[3]] * 3, limits(), 3, penalty)
        return sum(len(path.tokens) for path in found)

    assert total(3.0) > total(0.0)


def test_prompts_that_cannot_be_read_are_refused():
    decoder, classifier = make()
    encoded, length = torch.randn(1, 16, 6), torch.tensor([6])
    for prompt in ([], [3] * 16):
        with pytest.raises(DataError, match=f"a prompt of {len(prompt)} tokens"):
            aed_greedy_search(decoder, classifier, encoded, length, [prompt], limits())
    assert aed_greedy_search(decoder, classifier, encoded[:0], length[:0], [], limits()) == []


def test_a_prompt_that_leaves_no_room_has_no_answer():
    decoder, classifier = make()
    for search in (aed_greedy_search, lambda *parts: aed_beam_search(*parts, 2)):
        with torch.no_grad():
            first, second = search(
                decoder, classifier, torch.randn(2, 16, 6), torch.tensor([6, 6]), [[3] * 5, [3]], limits(max_length=5)
            )
        assert first.tokens == ()
        assert len(second.tokens) <= 4


def test_times_in_texts():
    text, alignment = read_times(" <|0|> no<|2|> <|3|> way out<|9|>", stride=0.1, duration=0.85)
    assert text == "no way out"
    spans = [(span.text, span.start, span.end) for span in alignment.tokens]
    assert spans == [("no", 0.0, 0.2), (" way out", 0.3, 0.85)]
    assert read_times(" no times", stride=0.1, duration=1.0)[0] == "no times"
