from __future__ import annotations

import numpy as np
import pytest
import torch
from generation_support import NAMES, make_generator, make_judge

from nemo_core.errors import ConfigError
from nemo_mm.data import LabelledPicture
from nemo_mm.evaluation import frechet_distance, measure_fidelity
from nemo_mm.modules import CharacterEncoder


def pictures(count: int, seed: int) -> list[LabelledPicture]:
    drawn = np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
    return [LabelledPicture(image, number % 3) for number, image in enumerate(drawn)]


def test_what_is_counted_is_what_the_judge_says():
    model, judge = make_generator(), make_judge()
    real, others = pictures(30, 0), pictures(40, 1)
    found = measure_fidelity(model, judge, real, others=others, per_class=5, steps=2, guidance=1.5, seed=3)
    images = torch.cat([model.sample(name, n=5, steps=2, guidance=1.5, seed=3) for name in NAMES])
    assert int((found.images.int() - images.int()).abs().max()) <= 1
    probabilities, features = judge.judge(found.images)
    seen = probabilities.argmax(1).view(3, 5)
    for number, name in enumerate(NAMES):
        assert found.by_class[name] == pytest.approx(float((seen[number] == number).double().mean()))
    assert found.recognized == pytest.approx(sum(found.by_class.values()) / 3)
    assert sum(count for _, _, count in found.confusions) == round(15 * (1 - found.recognized))
    assert all(asked != saw for asked, saw, _ in found.confusions)
    stacked = torch.tensor(np.stack([each.image for each in real]))
    assert found.frechet == pytest.approx(frechet_distance(judge.judge(stacked)[1], features))
    assert found.frechet_floor > 0
    assert (found.samples, found.steps, found.evaluations, found.guidance) == (15, 2, 3, 1.5)
    right = judge.judge(stacked)[0].argmax(1) == torch.arange(30) % 3
    assert found.judge_accuracy == pytest.approx(float(right.double().mean()))


def test_a_judge_of_other_classes_is_refused():
    with pytest.raises(ConfigError, match="the judge knows"):
        measure_fidelity(make_generator(), make_judge(["cat", "dog", "bat"]), pictures(3, 0), steps=1)
    with pytest.raises(ConfigError, match="the judge knows"):
        measure_fidelity(make_generator(), make_judge(["cat", "dog"]), pictures(3, 0), steps=1)


def test_a_model_of_texts_is_asked_in_words():
    reads = {"network": {"classes": None, "text_width": 4}, "text_encoder": CharacterEncoder(4)}
    model, judge = make_generator(**reads), make_judge()
    found = measure_fidelity(model, judge, pictures(6, 0), per_class=2, text="a {}", steps=1, seed=3)
    images = torch.cat([model.sample(texts=f"a {name}", n=2, steps=1, seed=3) for name in NAMES])
    assert int((found.images.int() - images.int()).abs().max()) <= 1
    with pytest.raises(ConfigError, match="makes images of texts"):
        measure_fidelity(model, judge, pictures(3, 0), steps=1)
    with pytest.raises(ConfigError, match="no place for classes"):
        measure_fidelity(model, judge, pictures(3, 0), text="a cat", steps=1)
    with pytest.raises(ConfigError, match="it takes classes"):
        measure_fidelity(make_generator(), judge, pictures(3, 0), text="a {}", steps=1)
