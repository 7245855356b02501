"""The recipes of vision-language models compose, and say what they are."""

from __future__ import annotations

import pytest

from nemo_core.config import Trust, compose, instantiate
from nemo_core.config.build import plain


@pytest.mark.parametrize("name", ["mm/vlm", "mm/vlm_scenes"])
def test_it_composes_and_says_what_it_is(name: str) -> None:
    config = compose(name)
    assert config.recipe.summary
    assert config.recipe.data
    assert config.recipe.hardware


def test_layouts_are_checked_before_anything_starts() -> None:
    tree = plain(compose("mm/vlm_scenes", ["strategy.tensor_parallel=3"]))
    strategy = instantiate(tree["strategy"], trust=Trust.user(), at="")
    with pytest.raises(Exception, match="num_heads 4 cannot be divided by tensor 3"):
        strategy.preflight(tree, 3, lambda node, where: instantiate(node, trust=Trust.user(), at=where))
