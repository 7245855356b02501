from __future__ import annotations

import pytest
import torch
from generation_support import make_generator

from nemo_core.errors import ConfigError
from nemo_llm.tokenizers import ByteTokenizer
from nemo_mm.data.fronts import TextTokens
from nemo_mm.models import restore
from nemo_mm.modules import CharacterEncoder, TextTower, TextTransformer, TowerText


def make_tower(**options) -> TextTower:
    torch.manual_seed(0)
    encoder = TextTransformer(259, max_length=12, width=16, layers=2, heads=2, **options)
    front = TextTokens(ByteTokenizer(), 12, pad_to_max=bool(options.get("sees_padding")))
    return TextTower(front, encoder, size=5).eval()


@pytest.mark.parametrize(
    "options", [{}, {"causal": False, "pool": "mean"}, {"causal": False, "pool": "final", "sees_padding": True}]
)
def test_the_state_that_the_tower_takes_is_among_them(options):
    tower = make_tower(**options)
    states, mask = TowerText(tower).encode_texts(["a cat", "owls"])
    vectors = tower(**tower.front.batch([tower.front.read(text) for text in ("a cat", "owls")]))
    pooled = {
        "end": lambda row: states[row, int(mask[row].sum()) - 1],
        "final": lambda row: states[row, -1],
    }
    if tower.encoder.pool in pooled:
        for row in range(2):
            taken = tower.projection(pooled[tower.encoder.pool](row))
            torch.testing.assert_close(taken, vectors[row], rtol=1e-4, atol=1e-4)
    assert mask.sum(1).tolist() == [6, 5]


def test_pictures_of_what_a_tower_reads(tmp_path):
    model = make_generator(network={"classes": None, "text_width": 16}, text_encoder=TowerText(make_tower()))
    expected = model.sample(texts=["a cat", "owls"], steps=2, guidance=2)
    assert not torch.equal(expected[0], expected[1])
    model.save(tmp_path / "model.nemo")
    assert torch.equal(restore(tmp_path / "model.nemo").sample(texts=["a cat", "owls"], steps=2, guidance=2), expected)


def test_what_is_no_tower_is_refused():
    with pytest.raises(ConfigError, match="not TextTower"):
        TowerText(CharacterEncoder(4))
