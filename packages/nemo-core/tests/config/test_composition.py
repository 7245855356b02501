from __future__ import annotations

import pytest

from nemo_core.config import compose
from nemo_core.errors import ConfigError


def mistakes(studio, overrides, recipe="studio/tiny"):
    with pytest.raises(ConfigError) as raised:
        compose(recipe, overrides, registry=studio.registry)
    return raised.value.message.splitlines()[1:]


def test_the_journey(studio):
    lines = mistakes(studio, ["modl.encoder.n_layer=4", "trainer.max_epoch=x"])
    print("\n".join(lines))
    assert len(lines) == 3
