"""Whether what was made is what was asked for, and looks like what is real."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nemo_core.errors import ConfigError
from nemo_mm.evaluation.frechet import frechet_distance
from nemo_mm.models.image_classifier import ImageClassifier
from nemo_mm.models.image_generator import ImageGenerator

__all__ = ["Fidelity", "measure_fidelity"]


@dataclass(frozen=True)
class Fidelity:
    """What was found.

    Attributes:
        samples: Images that were made.
        recognized: Part of them in which the judge saw the class that was asked for.
        by_class: The same for each class.
        confusions: Class asked for, class seen, how often; the most frequent first.
        frechet: Fréchet distance of the samples from real images, by the judge's features.
        frechet_floor: That of other real images, as many as there are samples.
        judge_accuracy: Part of the real images that the judge is right about.
        steps: Of sampling.
        evaluations: How often the network was asked for each image; with guidance, twice each time.
        guidance: Scale of guidance.
        seconds: That sampling took.
    """

    samples: int
    recognized: float
    by_class: dict[str, float]
    confusions: list[tuple[str, str, int]]
    frechet: float
    frechet_floor: float | None
    judge_accuracy: float
    steps: int
    evaluations: int
    guidance: float
    seconds: float
    images: Tensor = field(repr=False, compare=False)


def measure_fidelity(
    model: ImageGenerator,
    judge: ImageClassifier,
    real: Any,
    *,
    others: Any = None,
    per_class: int = 100,
    text: str | None = None,
    after_step: Callable[[int], None] | None = None,
    **sampling: Any,
) -> Fidelity:
    """Make images of all classes and let a classifier judge them that never saw any made by this model.

    Args:
        model: Makes images of classes, or of texts.
        judge: Tells the same classes apart.
        real: Data set of pictures with classes that neither was trained on.
        others: Further real pictures, for what the Fréchet distance is where nothing is made; the first of them are
            taken, as many as images are made.
        per_class: Images of each class.
        text: What a model of texts is asked for, the judge's name of a class at ``{}``.
        after_step: Called with the number of images, after each step of theirs.
        sampling: ``steps``, ``guidance``, ``sampler``, ``seed`` and ``batch_size`` of :meth:`ImageGenerator.sample`.

    Raises:
        ConfigError: The two know different classes, or ``text`` has no ``{}``.
    """
    names = judge.class_names
    conditions = _asked_for(model, names, text)
    started = time.perf_counter()
    images = model.sample(**conditions, n=per_class, after_step=after_step, **sampling)
    seconds = time.perf_counter() - started
    wanted = torch.arange(len(names)).repeat_interleave(per_class)
    probabilities, features = judge.judge(images)
    seen = probabilities.argmax(1)
    right = (seen == wanted).view(len(names), per_class).double().mean(1)
    pairs = torch.stack((wanted, seen), 1)[seen != wanted]
    distinct, counts = pairs.unique(dim=0, return_counts=True)
    order = counts.argsort(descending=True, stable=True).tolist()
    confusions = [(names[int(distinct[i, 0])], names[int(distinct[i, 1])], int(counts[i])) for i in order]
    real_images, real_classes = _all_of(real)
    real_probabilities, real_features = judge.judge(real_images)
    floor = None
    if others is not None:
        floor = frechet_distance(real_features, judge.judge(_all_of(others, len(images))[0])[1])
    steps = sampling.get("steps") or model.steps
    scale = sampling.get("guidance")
    asked = model.process.evaluations(steps, sampling.get("sampler"))
    return Fidelity(
        samples=len(images),
        recognized=float(right.mean()),
        by_class={name: float(part) for name, part in zip(names, right, strict=True)},
        confusions=confusions,
        frechet=frechet_distance(real_features, features),
        frechet_floor=floor,
        judge_accuracy=float((real_probabilities.argmax(1) == real_classes).double().mean()),
        steps=steps,
        evaluations=asked,
        guidance=model.guidance if scale is None else scale,
        seconds=seconds,
        images=images,
    )


def _asked_for(model: ImageGenerator, names: list[str], text: str | None) -> dict[str, Any]:
    """Return the classes or texts that :meth:`ImageGenerator.sample` is to make."""
    if text is not None:
        if "{}" not in text:
            raise ConfigError(f"the text {text!r} has no place for classes", hint='such as "a photo of a {}"')
        return {"texts": [text.replace("{}", name) for name in names]}
    count = model.network.num_classes
    if count is None and model.network.text_width is not None:
        raise ConfigError(
            "the model makes images of texts", hint='say what to ask for, with {} for the class: "a photo of a {}"'
        )
    if count != len(names) or (model.class_names is not None and model.class_names != names):
        raise ConfigError(
            f"the model makes {model.class_names or count}, and the judge knows {names}",
            hint="take a judge that was trained on the same classes",
        )
    return {"classes": list(range(len(names)))}


def _all_of(pictures: Any, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """Return images (N, C, H, W), uint8, and classes (N,) of a data set."""
    chosen = [pictures[i] for i in range(min(len(pictures), limit or len(pictures)))]
    images = torch.stack([torch.tensor(each.image) for each in chosen])
    return images, torch.tensor([-1 if each.label is None else each.label for each in chosen])
