"""Questions about drawn scenes, and their answers, by templates from what is known to be drawn (NLVR).

NLVR (Suhr et al., 2017, ACL) has pictures of three boxes with squares, circles and triangles in three colours; its
files say where each is. From that come questions of five kinds, whose answers are one word each.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nemo_core.errors import DataError

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = [
    "BOXES",
    "BOX_SIZE",
    "KINDS",
    "Balance",
    "Question",
    "Scene",
    "Thing",
    "descriptions_of",
    "questions_of",
    "read_scenes",
    "scene_tokenizer",
    "words",
]

COLOURS = ("yellow", "black", "blue")
SHAPES = ("square", "circle", "triangle")
BOXES = ("left", "middle", "right")
KINDS = ("count", "count in a box", "is there", "colour", "shape")
BOX_SIZE = 100  # pixels, down and across
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")

_NUMBERS = (*NUMBERS, "seven", "eight")  # in descriptions

_COLOUR_OF = {"yellow": "yellow", "black": "black", "#0099ff": "blue"}


@dataclass(frozen=True, slots=True)
class Thing:
    """What is drawn: its colour and shape, where its upper and left edges are in its box, and its size; pixels."""

    colour: str
    shape: str
    top: int
    left: int = 0
    size: int = 20


Boxes = Sequence[Sequence[Thing]]


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    Attributes:
        image: Path of the picture.
        split: train or test, as the corpus has it.
        boxes: What is in the left, the middle and the right box.
    """

    image: Path
    split: str
    boxes: tuple[tuple[Thing, ...], ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, which of :data:`KINDS` it is, and its answer, one word."""

    kind: str
    text: str
    answer: str


def read_scenes(folder: str | Path) -> list[Scene]:
    """Return the scenes of ``questions.jsonl`` in a folder; a scene of the test set that training has too is left out.

    Raises:
        DataError: The folder has no such file, or a line is not as NLVR has them; the message names it.
    """
    path = Path(folder) / "questions.jsonl"
    if not path.is_file():
        raise DataError(
            f"{path} does not exist",
            hint="data.folder is to hold NLVR: questions.jsonl with image, split and objects, and the images",
        )
    scenes = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            scenes.append(_scene(line, path.parent, f"{path}, line {number}"))
    seen = {_content(scene) for scene in scenes if scene.split == "train"}
    return [scene for scene in scenes if scene.split == "train" or _content(scene) not in seen]


def _scene(line: str, folder: Path, where: str) -> Scene:
    try:
        values = json.loads(line)
        boxes = tuple(tuple(_thing(each) for each in box) for box in values["objects"])
        return Scene(folder / values["image"], values["split"], boxes)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{where}: is no scene of NLVR ({type(error).__name__}: {error})",
            hint="a line has image, split and objects: three lists with type, color, y_loc, x_loc and size",
        ) from None


def _thing(values: dict[str, Any]) -> Thing:
    top, left, size = (int(values[name]) for name in ("y_loc", "x_loc", "size"))
    if min(top, left) < 0 or max(top, left) + size > BOX_SIZE:
        raise ValueError(f"a thing of {size} pixels at {left}, {top} is not inside its box")
    return Thing(_COLOUR_OF[str(values["color"]).lower()], str(values["type"]), top, left, size)


def _content(scene: Scene) -> Any:
    return tuple(sorted(tuple(sorted((t.colour, t.shape, t.top) for t in box)) for box in scene.boxes))


def questions_of(boxes: Boxes) -> list[Question]:
    """Return all questions that the templates make of a scene; numbers above six are not asked for.

    >>> boxes = [[Thing("blue", "square", 10), Thing("black", "circle", 40)], [], [Thing("blue", "square", 0)]]
    >>> [each for each in questions_of(boxes) if each.text == "how many blue squares ?"][0].answer
    'two'
    >>> [each.answer for each in questions_of(boxes) if each.text == "what colour is the top thing in the left box ?"]
    ['blue']
    """
    whole = [thing for box in boxes for thing in box]
    found = list(_counts("count", whole, ""))
    found += _presence(whole, "")
    for name, box in zip(BOXES, boxes, strict=True):
        place = f" in the {name} box"
        found += _counts("count in a box", box, place)
        found += _presence(box, place)
        found += _properties(box, place)
    return found


def _counts(kind: str, things: Sequence[Thing], place: str) -> Iterable[Question]:
    for colour in ("", *COLOURS):
        for shape in ("thing", *SHAPES):
            number = sum(1 for each in things if _is(each, colour, shape))
            if number < len(NUMBERS):
                yield Question(kind, f"how many {_spaced(colour)}{shape}s{place} ?", NUMBERS[number])


def _presence(things: Sequence[Thing], place: str) -> Iterable[Question]:
    for colour in ("", *COLOURS):
        for shape in ("thing", *SHAPES):
            if colour or shape != "thing":
                there = any(_is(each, colour, shape) for each in things)
                yield Question("is there", f"is there a {_spaced(colour)}{shape}{place} ?", "yes" if there else "no")


def _properties(things: Sequence[Thing], place: str) -> Iterable[Question]:
    for shape in SHAPES:
        colours = {each.colour for each in things if each.shape == shape}
        if len(colours) == 1:
            yield Question("colour", f"what colour is the {shape}{place} ?", colours.pop())
    for colour in COLOURS:
        shapes = {each.shape for each in things if each.colour == colour}
        if len(shapes) == 1:
            yield Question("shape", f"what shape is the {colour} thing{place} ?", shapes.pop())
    for edge, extreme in (("top", min), ("bottom", max)):
        tops = [each.top for each in things]
        at = [each for each in things if each.top == extreme(tops)]
        if len(at) == 1 and len(things) > 1:
            yield Question("colour", f"what colour is the {edge} thing{place} ?", at[0].colour)
            yield Question("shape", f"what shape is the {edge} thing{place} ?", at[0].shape)


def descriptions_of(boxes: Boxes) -> list[Question]:
    """Return a question for each box that asks for all that is in it; the answer says how many there are of each.

    >>> boxes = [[Thing("blue", "square", 10), Thing("black", "circle", 4)], [], [Thing("blue", "square", 0)] * 2]
    >>> [each.answer for each in descriptions_of(boxes)]
    ['one black circle , one blue square', 'nothing', 'two blue squares']
    """
    found = []
    for name, box in zip(BOXES, boxes, strict=True):
        groups = []
        for colour in COLOURS:
            for shape in SHAPES:
                number = sum(1 for each in box if _is(each, colour, shape))
                if number:
                    groups.append(f"{_NUMBERS[number]} {colour} {shape}{'s' if number > 1 else ''}")
        found.append(Question("description", f"what is in the {name} box ?", " , ".join(groups) or "nothing"))
    return found


def _is(thing: Thing, colour: str, shape: str) -> bool:
    return (not colour or thing.colour == colour) and (shape == "thing" or thing.shape == shape)


def _spaced(word: str) -> str:
    return f"{word} " if word else ""


class Balance:
    """Draws questions so that all kinds are as frequent, and within a kind all answers.

    Args:
        scenes: What is drawn in each scene of the training set; answers are counted there.

    Example:
        >>> balance = Balance([[[Thing("blue", "square", 10)], [], []]])
        >>> drawn = balance.draw(questions_of([[Thing("blue", "square", 10)], [], []]), 3, np.random.default_rng(0))
        >>> len({each.text for each in drawn})
        3
    """

    def __init__(self, scenes: Iterable[Boxes]) -> None:
        self.counts = Counter((each.kind, each.answer) for boxes in scenes for each in questions_of(boxes))
        self.answers = Counter(kind for kind, _ in self.counts)

    def draw(self, questions: Sequence[Question], count: int, rng: np.random.Generator) -> list[Question]:
        """Return ``count`` different questions, or all where there are fewer."""
        weights = np.array(
            [1.0 / (self.counts[each.kind, each.answer] or 1) / self.answers[each.kind] for each in questions]
        )
        count = min(count, len(questions))
        chosen = rng.choice(len(questions), count, replace=False, p=weights / weights.sum())
        return [questions[place] for place in chosen]


def words() -> list[str]:
    """Return all words of questions and answers, sorted."""
    fixed = ("how", "many", "is", "there", "a", "in", "the", "box", "what", "colour", "shape", "top", "bottom")
    others = ("thing", "things", "yes", "no", "nothing", "?", ",", *BOXES, *_NUMBERS)
    return sorted({*fixed, *others, *COLOURS, *SHAPES, *(f"{each}s" for each in SHAPES)})


#: A question, a blank, its answer and the token that ends it; and so on.
TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<end>"
    "{% endgeneration %}{% else %}{{ message.content }} {% endif %}{% endfor %}"
)


def scene_tokenizer() -> Tokenizer:
    """Return the tokenizer of the words of questions and answers, upper case or lower.

    >>> tokenizer = scene_tokenizer()
    >>> tokenizer.decode(tokenizer.encode("How many yellow squares?"))
    'how many yellow squares ?'
    """
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

    from nemo_llm.tokenizers.hugging_face import HFTokenizer

    vocabulary = {word: place for place, word in enumerate(["<unk>", *words()])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens([AddedToken(each, normalized=False) for each in ("<end>", "<image>")])
    return HFTokenizer.of(made, eos_token="<end>", pad_token="<end>", chat_template=TEMPLATE)
