"""Emoji are divided so that nothing which is tested was trained on, in each of the ten folds."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from nemo_core.errors import ConfigError, DataError
from nemo_mm.data.emoji import FOLDS, TONES, Emoji

SPLITS = ("train", "held_out", "composition", "new_bases")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty plain emoji and twenty that come in five tones, one after the other."""
    place = tmp_path_factory.mktemp("emoji")
    records = []
    for number in range(60):
        records.append({"caption": f"thing {number}", "skin_tone": None, "aliases": [f"a_{number}"], "tags": ["b"]})
    for number in range(20):
        records.append({"caption": f"hand {number}", "skin_tone": None, "aliases": [], "tags": []})
        records += [
            {"caption": f"hand {number}: {tone}", "skin_tone": tone, "aliases": [], "tags": []} for tone in TONES
        ]
    lines = [json.dumps({"image": f"{place}.png", **record}) for place, record in enumerate(records)]
    (place / "captions.jsonl").write_text("\n".join(lines))
    return place


def captions(folder, fold, split):
    return [record["caption"] for record in Emoji(folder, split, fold=fold).records]


@pytest.mark.parametrize("fold", range(FOLDS))
def test_nothing_is_in_two_splits(folder, fold):
    train, held_out, composition, new_bases = (captions(folder, fold, split) for split in SPLITS)
    every = [*train, *held_out, *composition, *new_bases]
    assert len(set(every)) == len(every)
    assert (len(held_out), len(composition), len(new_bases)) == (6, 18, 10)
    assert len(every) == 60 + 6 * 20 - 2  # a new base is not trained on without a tone either
    assert not [caption for caption in held_out if caption.startswith("hand")]
    bases = [caption.split(":")[0] for caption in composition]
    assert sorted(bases) == sorted({caption.split(":")[0] for caption in train if caption.startswith("hand")})
    assert not set(bases) & {caption.split(":")[0] for caption in new_bases}
    for base, caption in zip(bases, composition, strict=True):
        others = Emoji(folder, "composition", fold=fold).others(composition.index(caption))
        assert set(others) | {caption} == {f"{base}: {tone}" for tone in TONES}
        assert set(others) <= set(train)


def test_folds_have_nothing_held_out_in_common(folder):
    for split in ("held_out", "new_bases"):
        every = [caption for fold in range(FOLDS) for caption in captions(folder, fold, split)]
        assert len(set(every)) == len(every)
    five = [set(captions(folder, fold, "composition")) for fold in range(5)]
    assert not any(five[i] & five[j] for i in range(5) for j in range(i))


def test_names_and_tags(folder):
    data = Emoji(folder, "train", tags=True)
    plain = next(data[i] for i in range(len(data)) if data.records[i]["caption"].startswith("thing"))
    assert plain.second[1:] == [f"a {plain.second[0].split()[1]}", "b"]
    toned = next(data[i] for i in range(len(data)) if data.records[i]["skin_tone"])
    assert (len(toned.second), toned.others) == (1, [])


def test_tones_of_an_emoji_lie_together(folder):
    data = Emoji(folder, "train", together=True)
    names = [data[index].second[0].partition(":")[0] for index in range(len(data))]
    places = np.cumsum([0, *data.groups])
    runs = [names[start:end] for start, end in itertools.pairwise(places)]
    assert places[-1] == len(data)
    assert all(len(set(run)) == 1 for run in runs)
    assert sorted({len(run) for run in runs}) == [1, 4]
    assert not hasattr(Emoji(folder, "train"), "groups")


def test_mistakes_are_said(folder, tmp_path):
    with pytest.raises(ConfigError, match="fold is 10"):
        Emoji(folder, "train", fold=10)
    with pytest.raises(ConfigError, match="split is 'all'"):
        Emoji(folder, "all")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"no captions\.jsonl"):
        Emoji(tmp_path, "train")
    (tmp_path / "captions.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="line 1"):
        Emoji(tmp_path, "train")
