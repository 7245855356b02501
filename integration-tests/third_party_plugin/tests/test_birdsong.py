"""The plugin by itself."""

from __future__ import annotations

import numpy as np
import pytest
from nemo_birdsong.data import SongData, Songs
from nemo_birdsong.songs import SPECIES, sing

from nemo_core.errors import DataError
from nemo_core.testing import PluginConformance, check_module


class TestBirdsong(PluginConformance):
    plugin = "nemo-birdsong"


def test_the_encoder_keeps_its_promises() -> None:
    check_module("birdsong.Encoder")


@pytest.mark.parametrize("species", SPECIES)
def test_songs_are_sound(species: str) -> None:
    song = sing(species, 1.5, np.random.default_rng(3))
    assert song.shape == (24_000,)
    assert song.dtype == np.float32
    assert 0.1 < np.abs(song).max() <= 1


def test_the_same_singer_sings_the_same() -> None:
    songs = Songs(8)
    assert np.array_equal(songs[3]["audio"], songs[3]["audio"])
    assert not np.array_equal(songs[3]["audio"], songs[7]["audio"])
    assert songs[3]["label"] == songs[7]["label"]


def test_no_songs_is_an_error() -> None:
    with pytest.raises(DataError, match="0 songs"):
        Songs(0)


def test_splits_have_different_singers() -> None:
    data = SongData(size=16)
    assert not np.array_equal(data.dataset("validation")[0]["audio"], data.dataset("test")[0]["audio"])
    assert len(data.dataset("test")) == 4
