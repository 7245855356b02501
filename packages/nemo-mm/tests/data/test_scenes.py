"""Pictures of training rows, drawn anew from those of a corpus: what is in them is what is asked about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from nemo_core.errors import ConfigError
from nemo_mm.data.scene_questions import BOXES, COLOURS, NUMBERS, SHAPES, descriptions_of, scene_tokenizer
from nemo_mm.data.scenes import SceneData

RGB = {"yellow": (255, 255, 0), "black": (0, 0, 0), "blue": (0, 153, 255)}
NAMES = {"yellow": "Yellow", "black": "Black", "blue": "#0099ff"}
GREY = (211, 211, 211)
WHOLE = {"vision": {"image_size": [100, 400], "patch_size": 100, "width": 16, "layers": 2, "heads": 2, "fit": "squash"}}
OPTIONS: dict[str, Any] = {
    "architecture": WHOLE,
    "tokenizer": scene_tokenizer(),
    "questions": 2,
    "descriptions": 3,
    "held_out": 2,
}


def stamp(colour: str, shape: str, size: int) -> np.ndarray:
    """Return the pixels of a thing, on grey."""
    picture = Image.new("RGB", (size, size), GREY)
    draw, edge = ImageDraw.Draw(picture), size - 1
    if shape == "square":
        draw.rectangle((0, 0, edge, edge), fill=RGB[colour])
    elif shape == "circle":
        draw.ellipse((0, 0, edge, edge), fill=RGB[colour])
    else:
        draw.polygon([(0, edge), (edge // 2, 0), (edge, edge)], fill=RGB[colour])
    return np.asarray(picture)


STAMPS = {(c, s, size): stamp(c, s, size) for c in COLOURS for s in SHAPES for size in (10, 20, 30)}


def draw_corpus(folder: Path, count: int) -> None:
    """Write ``count`` scenes of scattered things, and as many of towers, to train on, and one to test with."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(2 * count + 1):
        tower = number % 2 == 1
        picture = np.full((100, 400, 3), 128, np.uint8)
        objects: list[list[dict[str, Any]]] = []
        for box in range(3):
            view = picture[:, box * 150 : box * 150 + 100]
            view[:] = GREY
            objects.append([])
            for place in rng.permutation(9)[: rng.integers(1, 5)]:  # one of nine fields for each thing
                size = 20 if tower else int(rng.choice([10, 20, 30]))
                shape = "square" if tower else str(rng.choice(SHAPES))
                colour = str(rng.choice(COLOURS))
                top, left = (80 - 21 * len(objects[-1]), 40) if tower else (33 * (place // 3), 33 * (place % 3))
                view[top : top + size, left : left + size] = STAMPS[colour, shape, size]
                objects[-1].append(
                    {"type": shape, "color": NAMES[colour], "y_loc": int(top), "x_loc": int(left), "size": size}
                )
        Image.fromarray(picture).save(folder / f"{number}.png")
        split = "test" if number == 2 * count else "train"
        lines.append(json.dumps({"image": f"{number}.png", "split": split, "objects": objects}))
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("scenes")
    draw_corpus(folder, 12)
    return SceneData(folder, **OPTIONS).dataset("train")


def seen(box: np.ndarray) -> dict[str, int]:
    """Count what is in the pixels (100, 100, 3) of a box: every thing whose stamp is there, and nothing else."""
    found: dict[str, int] = {}
    left = box.copy()
    for size in (30, 20, 10):
        lowest = (left != GREY).any(-1)[size - 1 :, size // 2 : 101 - size + size // 2]  # a thing stands on its edge
        for top, side in np.argwhere(lowest):
            here = left[top : top + size, side : side + size]
            for (colour, shape, of), pixels in STAMPS.items():
                if (
                    of == size
                    and tuple(here[-1, size // 2]) == RGB[colour]
                    and any((here == each).all() for each in (pixels, pixels[:, ::-1]))
                ):
                    found[f"{colour} {shape}"] = found.get(f"{colour} {shape}", 0) + 1
                    left[top : top + size, side : side + size] = GREY
                    break
    assert (left == GREY).all()
    return found


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_is_drawn_is_what_is_asked_about(rows: Any, seed: int) -> None:
    row = rows.sample(seed % len(rows), np.random.default_rng(seed))
    text = rows.data.tokenizer.decode(row["tokens"].tolist())
    picture = row["picture"].pixels[0].transpose(1, 2, 0)
    for place, name in enumerate(BOXES):
        answer = text.split(f"what is in the {name} box ?")[1].split("<end>")[0].strip()
        said = {}
        for group in answer.split(" , "):
            number, colour, shape = group.split()
            said[f"{colour} {shape.removesuffix('s')}"] = NUMBERS.index(number)
        assert seen(picture[:, place * 150 : place * 150 + 100]) == said


def test_things_become_others_of_their_size_and_towers_stay_towers(rows: Any) -> None:
    rng = np.random.default_rng(1)
    changed = {True: 0, False: 0}
    for scene, pictures in zip(rows.scenes, rows.boxes, strict=True):
        for things, pixels in zip(scene.boxes, pictures, strict=True):
            before = pixels.copy()
            tower = all(each.shape == "square" for each in things)
            drawn_pixels, drawn = rows._redrawn(pixels, things, rng)
            assert [(t.top, t.left, t.size) for t in drawn] == [(t.top, t.left, t.size) for t in things]
            assert all(each.shape == "square" for each in drawn) or not tower
            assert (drawn_pixels != before).any() == (list(drawn) != list(things))
            assert (pixels == before).all()  # the corpus stays as it is
            changed[tower] += list(drawn) != list(things)
    assert min(changed.values()) > 3


def test_nothing_is_exchanged_where_nothing_is_to_be(rows: Any) -> None:
    kept = SceneData(rows.data.folder, **OPTIONS, exchange=0.0).dataset("train")
    asked = {each.answer for each in descriptions_of(kept.scenes[4].boxes)}
    row = kept.sample(4, np.random.default_rng(0))
    text = rows.data.tokenizer.decode(row["tokens"].tolist())
    said = {part.split("<end>")[0].strip() for part in text.split("what is in the ")[1:]}
    assert {each.split("?")[1].strip() for each in said} == asked


def test_what_is_not_likely_is_refused(rows: Any) -> None:
    with pytest.raises(ConfigError, match=r"data\.exchange is 2"):
        SceneData(rows.data.folder, **OPTIONS, exchange=2.0)
