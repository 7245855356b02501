from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_core.config.annotations import accepts, parse, show

CASES = {
    "int": ([0, -3], [True, 1.0, "1", None, [1]]),
    "float": ([0, 0.5], [True, "1e-3", None]),
    "bool": ([True], [1, "yes", None]),
    "str": (["", "x"], [1, None, True]),
    "Path": (["a/b"], [3]),
    "str | os.PathLike[str]": (["a"], []),
    "None": ([None], [0]),
    "int | None": ([1, None], ["x"]),
    "Optional[int]": ([1, None], ["x"]),
    "Union[int, str]": ([1, "x"], [1.5]),
    "list": ([[], [1]], ["x", 3, {}]),
    "list[int]": ([[], [1]], [["x"], [1, None]]),
    "Sequence[int] | int": ([[1], 2], ["x"]),
    "typing.Sequence[float]": ([[1.5]], [["x"]]),
    "tuple[int, str]": ([[1, "x"]], [[1], [1, 2], 3]),
    "tuple[int, ...]": ([[], [1, 2]], [["x"]]),
    "tuple": ([[1]], [1]),
    "dict[str, int]": ([{}, {"a": 1}], [{"a": "x"}, [1]]),
    "Mapping": ([{}], [3]),
    "Literal['a', 1]": (["a", 1], ["b", True, 2]),
    "'int | None'": ([1, None], ["x"]),
    "Annotated[int, 'unit']": ([1], ["x"]),
    "list['int']": ([[1]], [["x"]]),
    "Encoder": ([1, "x", {}, None], []),
    "Callable[[int], str]": (["anything"], []),
    "list[Encoder]": ([[1, {}]], [3]),
    "Literal[KIND]": (["anything"], []),
    "int |": (["anything"], []),
}


@pytest.mark.parametrize("annotation", CASES)
def test_accepts(annotation):
    good, bad = CASES[annotation]
    for value in good:
        assert accepts(parse(annotation), value), value
    for value in bad:
        assert not accepts(parse(annotation), value), value


@pytest.mark.parametrize("annotation", CASES)
def test_what_will_be_built_is_not_judged(annotation):
    assert accepts(parse(annotation), {"_target_": "x"})


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        ("int | None", "int or null"),
        ("Optional[list[int]]", "list[int] or null"),
        ("Union[int, float, int]", "int or float"),
        ("Literal['min', 'max']", "'min', 'max'"),
        ("'str | None'", "str or null"),
    ],
)
def test_show(annotation, text):
    assert show(parse(annotation)) == text


@given(st.text(), st.integers() | st.text() | st.none() | st.lists(st.integers()))
def test_any_text_is_an_annotation_of_some_sort(text, value):
    assert accepts(parse(text.replace("\0", "")), value) in (True, False)
