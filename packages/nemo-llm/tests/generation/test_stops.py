"""Stop strings in a text that comes in pieces."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_llm.generation.stops import StopFinder

LETTERS = st.text("ab\n", max_size=12)


def first_stop(text: str, stops: list[str]) -> tuple[str, str | None]:
    """By the definition: read letter by letter; the longest of those that are complete first."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            stop = max(complete, key=len)
            return text[: end - len(stop)], stop
    return text, None


@given(text=LETTERS, stops=st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3), data=st.data())
@settings(max_examples=400, deadline=None)
def test_what_is_given_out_does_not_depend_on_the_pieces(text: str, stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=5)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    finder = StopFinder(stops)
    given_out = [finder.push(piece) for piece in pieces]
    certain = "".join(given_out)
    expected, stop = first_stop(text, stops)
    assert expected.startswith(certain)
    assert finder.found == stop
    assert certain + finder.flush() == expected


def test_nothing_is_given_out_behind_a_stop() -> None:
    finder = StopFinder(["."])
    assert [finder.push(piece) for piece in ("To be. Or", " not", ".")] == ["To be", "", ""]
    assert finder.flush() == ""


def test_only_what_may_be_a_stop_is_held_back() -> None:
    finder = StopFinder(["\n\nUser:"])
    assert finder.push("Hello\n") == "Hello"
    assert finder.push("\nU") == ""
    assert finder.push("nder") == "\n\nUnder"
