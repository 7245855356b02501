"""How words are said: which tokens they are, and what is wished of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from speech_support import make_speaker

from nemo_core.errors import ConfigError, DataError
from nemo_tts.synthesis import Prosody
from nemo_tts.synthesis.prosody import prosody_of_tokens, words_of


@given(st.lists(st.text(alphabet="ab,.- ", min_size=1, max_size=1), max_size=30))
def test_words_are_numbered_as_blanks_divide_them(pieces: list[str]) -> None:
    spoken = [word for word in "".join(pieces).split(" ") if any(letter.isalnum() for letter in word)]
    numbers = words_of(pieces)
    assert max(numbers, default=0) == len(spoken)
    for number, word in enumerate(spoken, start=1):
        assert "".join(piece for piece, each in zip(pieces, numbers, strict=True) if each == number) == word


def test_wishes_of_words_come_on_top_of_those_of_the_text() -> None:
    words = {1: Prosody(pitch_shift=3), 2: Prosody(pace=0.5)}
    made = prosody_of_tokens(words, [[0, 1, 2, 0], [1]], 4, Prosody(pace=2.0, pitch_shift=-1))
    assert set(made) == {"pace", "pitch_shift"}
    assert made["pace"].tolist() == [[2, 2, 1, 2], [2, 2, 2, 2]]
    assert made["pitch_shift"].tolist() == [[-1, 2, -1, -1], [2, -1, -1, -1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [("pase=1", "'pase=1'"), ("pace", "'pace'"), ("pace=fast", "'fast'"), ("pace=0", "from 0.1 to 10"),
                       ("pitch-shift=nan", "nan"), ("energy-shift=inf", "inf"), ("", "''")]
)  # fmt: skip
def test_nonsense_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Prosody.parse(text)


def test_a_word_is_said_slower_and_higher_and_the_others_as_before() -> None:
    speaks = make_speaker()
    text = "one two. Three four."
    (usual,) = speaks.synthesize(text)
    (changed,) = speaks.synthesize(text, words={3: Prosody(pace=0.5, pitch_shift=12)})
    numbers = words_of(usual.symbols)
    third = np.array([number == 3 for number in numbers])
    assert "".join(np.array(usual.symbols)[third]) == "three"
    np.testing.assert_array_equal(changed.durations[~third], usual.durations[~third])
    assert changed.durations[third].sum() > 1.5 * usual.durations[third].sum()
    np.testing.assert_allclose(changed.pitch[third], 2 * usual.pitch[third], rtol=1e-4)
    np.testing.assert_allclose(changed.pitch[~third], usual.pitch[~third], rtol=1e-4)
    streamed = list(speaks.stream(text, words={3: Prosody(pace=0.5, pitch_shift=12)}))
    assert sum(len(each.durations) for each in streamed) == len(changed.durations) - 1  # without the pause
    with pytest.raises(DataError, match="no word 5: the text has 4"):
        speaks.synthesize(text, words={5: Prosody()})
    with pytest.raises(DataError, match="one text"):
        speaks.synthesize(["one", "two"], words={1: Prosody()})


def test_pitch_has_a_range_and_energy_is_heard() -> None:
    speaks = make_speaker()
    usual, flat, lively = (speaks.synthesize("seven", pitch_range=factor)[0] for factor in (1.0, 0.0, 2.0))
    assert np.ptp(flat.pitch) < 1e-3
    np.testing.assert_allclose(flat.pitch.mean(), usual.pitch.mean(), rtol=1e-5)
    np.testing.assert_allclose(np.ptp(lively.pitch), 2 * np.ptp(usual.pitch), rtol=1e-4)
    tokens = torch.tensor([speaks.tokenizer.encode("seven")])
    soft, loud = (speaks.acoustic.generate(tokens, energy_shift=decibels) for decibels in (0.0, 20.0))
    torch.testing.assert_close(loud.energy.expm1(), 10 * soft.energy.expm1().clamp(min=0), rtol=1e-3, atol=1e-4)
    assert not torch.equal(loud.spectrogram, soft.spectrogram)
    mute = make_speaker(energy_predictor=None)
    with pytest.raises(ConfigError, match="no energy"):
        mute.synthesize("seven", energy_shift=6.0)
    with pytest.raises(ConfigError, match="no energy"):
        mute.synthesize("seven", words={1: Prosody(energy_shift=6.0)})
