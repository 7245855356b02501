"""Questions about scenes: answers are right, and drawn in balance; the scenes of NLVR make rows a model can learn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_core.errors import ConfigError, DataError
from nemo_mm.data.scene_questions import (
    BOXES,
    COLOURS,
    KINDS,
    NUMBERS,
    SHAPES,
    Balance,
    Thing,
    descriptions_of,
    questions_of,
    read_scenes,
    scene_tokenizer,
    words,
)
from nemo_mm.data.scenes import SceneData

NLVR = Path(__file__).parents[4].parent / "shared" / "data" / "nlvr-1300"
needs_nlvr = pytest.mark.skipif(not NLVR.is_dir(), reason="NLVR's pictures are not here")
ARCHITECTURE = {"vision": {"image_size": [10, 40], "patch_size": 10, "width": 16, "layers": 2, "heads": 2,
                           "fit": "squash"}}  # fmt: skip

things = st.builds(Thing, st.sampled_from(COLOURS), st.sampled_from(SHAPES), st.integers(0, 90))
scenes = st.lists(st.lists(things, max_size=8), min_size=3, max_size=3)


@given(scenes)
def test_answers_are_right(boxes: list[list[Thing]]) -> None:
    for each in questions_of(boxes):
        said = each.text.split()
        place = next((number for number, name in enumerate(BOXES) if name in said), None)
        asked = [thing for box in boxes for thing in box] if place is None else boxes[place]
        colour = next((word for word in said if word in COLOURS), None)
        shape = next((word for word in SHAPES if word in said or f"{word}s" in said), None)
        meant = [t for t in asked if colour in (None, t.colour) and shape in (None, t.shape)]
        if each.kind.startswith("count"):
            assert each.answer == NUMBERS[len(meant)]
        elif each.kind == "is there":
            assert each.answer == ("yes" if meant else "no")
        else:
            if "top" in said or "bottom" in said:
                edge = (min if "top" in said else max)(thing.top for thing in asked)
                meant = [thing for thing in asked if thing.top == edge]
            assert {getattr(thing, each.kind) for thing in meant} == {each.answer}


@given(scenes)
def test_descriptions_say_how_many_there_are_of_each(boxes: list[list[Thing]]) -> None:
    numbers = (*NUMBERS, "seven", "eight")
    for box, each in zip(boxes, descriptions_of(boxes), strict=True):
        said = [group.split() for group in each.answer.split(" , ")] if box else []
        counted = Counter((thing.colour, thing.shape) for thing in box)
        assert {(colour, shape.removesuffix("s")): numbers.index(n) for n, colour, shape in said} == counted
        assert all(shape.endswith("s") == (number != "one") for number, _, shape in said)
        assert box or each.answer == "nothing"


@given(scenes)
def test_all_words_are_tokens(boxes: list[list[Thing]]) -> None:
    known = set(words())
    for each in [*questions_of(boxes), *descriptions_of(boxes)]:
        assert {*each.text.split(), *each.answer.split()} <= known


def test_kinds_and_answers_are_drawn_in_balance() -> None:
    rng = np.random.default_rng(0)
    boxes = [
        [[Thing(rng.choice(COLOURS), "square", 10 * n) for n in range(rng.integers(1, 5))] for _ in range(3)]
        for _ in range(200)
    ]
    balance = Balance(boxes)
    drawn = [each for each in boxes for each in balance.draw(questions_of(each), 2, rng)]
    kinds = Counter(each.kind for each in drawn)
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) > len(drawn) / 12
    answers = Counter(each.answer for each in drawn if each.kind == "is there")
    assert 0.35 < answers["yes"] / sum(answers.values()) < 0.65


def test_a_user_may_write_as_people_do() -> None:
    tokenizer = scene_tokenizer()
    assert tokenizer.encode("How many yellow squares?") == tokenizer.encode("how many yellow squares ?")
    assert tokenizer.unk_id not in tokenizer.encode("Is there a black thing in the left box?")


def test_bad_lines_are_named(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text('{"image": "a.png", "split": "train"}\n')
    with pytest.raises(DataError, match="line 1: is no scene"):
        read_scenes(tmp_path)
    outside = '{"type": "circle", "color": "Black", "y_loc": 85, "x_loc": 3, "size": 20}'
    (tmp_path / "questions.jsonl").write_text(
        f'{{"image": "a.png", "split": "train", "objects": [[{outside}], [], []]}}\n'
    )
    with pytest.raises(DataError, match=r"line 1: .* 20 pixels at 3, 85 is not inside its box"):
        read_scenes(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        read_scenes(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"data\.folder"):
        SceneData(architecture=ARCHITECTURE, tokenizer=scene_tokenizer())


@pytest.fixture(scope="module")
def data() -> Any:
    return SceneData(NLVR, architecture=ARCHITECTURE, tokenizer=scene_tokenizer(), global_batch_size=4, questions=6)


@needs_nlvr
def test_rows_are_conversations_as_the_tokenizer_writes_them(data: Any) -> None:
    row = data.dataset("test")[0]
    asked = data.asked("test")[0]
    messages = [
        {"role": role, "content": text}
        for place, each in enumerate(asked)
        for role, text in (("user", ("<image>" if place == 0 else "") + each.text), ("assistant", each.answer))
    ]
    whole = data.tokenizer.encode_chat(messages)
    kept = [token for place, token in enumerate(row["tokens"]) if place == 0 or token != data.mark]
    assert kept == whole
    assert (row["tokens"] == data.mark).sum() == 4
    learned = data.tokenizer.decode(row["tokens"][row["loss_mask"] > 0].tolist())
    assert learned.split() == [word for each in asked for word in (each.answer, "<end>")]


@needs_nlvr
def test_training_and_test_pictures_are_apart(data: Any) -> None:
    pictures = {split: {scene.image for scene in data.scenes(split)} for split in ("train", "validation", "test")}
    assert not pictures["train"] & pictures["test"]
    assert not pictures["validation"] & (pictures["train"] | pictures["test"])
    assert len(pictures["test"]) > 250


@needs_nlvr
def test_epochs_differ_and_can_be_repeated(data: Any) -> None:
    rows = data.dataset("train")
    same = [rows.sample(3, np.random.default_rng(5)) for _ in range(2)]
    other = rows.sample(3, np.random.default_rng(6))
    assert (same[0]["tokens"] == same[1]["tokens"]).all()
    assert (same[0]["picture"].pixels == same[1]["picture"].pixels).all()
    assert same[0]["tokens"].tolist() != other["tokens"].tolist()


@needs_nlvr
@pytest.mark.parametrize("descriptions", [0, 1, 3])
def test_training_rows_ask_what_is_in_boxes(descriptions: int) -> None:
    options = {"architecture": ARCHITECTURE, "tokenizer": scene_tokenizer(), "questions": 3}
    data = SceneData(NLVR, **options, descriptions=descriptions)
    rows = data.dataset("train")
    for seed in range(20):
        row = rows.sample(seed, np.random.default_rng(seed))
        text = data.tokenizer.decode(row["tokens"].tolist())
        assert sum(text.count(f"what is in the {name} box ?") for name in BOXES) == descriptions
        assert len(row["tokens"]) <= data.sequence_length + 1


@needs_nlvr
def test_what_is_drawn_is_what_is_asked_about() -> None:
    architecture = {"vision": {**ARCHITECTURE["vision"], "image_size": [100, 400], "patch_size": 100}}
    data = SceneData(NLVR, architecture=architecture, tokenizer=scene_tokenizer(), questions=40)
    rows = data.dataset("train")
    seen: Counter[str] = Counter()
    for seed in range(40):
        row = rows.sample(seed, np.random.default_rng(seed))
        text = data.tokenizer.decode(row["tokens"][4:].tolist())
        for colour, rgb in (("yellow", (255, 255, 0)), ("black", (0, 0, 0)), ("blue", (0, 153, 255))):
            for place, box in enumerate(BOXES):
                pixels = row["picture"].pixels[0][:, :, place * 150 : place * 150 + 100]
                there = bool((pixels == np.array(rgb)[:, None, None]).all(0).any())
                question = f"is there a {colour} thing in the {box} box ?"
                if question in text:
                    answer = text.split(question)[1].split()[0]
                    assert answer == ("yes" if there else "no")
                    seen[answer] += 1
    assert min(seen["yes"], seen["no"]) > 10
