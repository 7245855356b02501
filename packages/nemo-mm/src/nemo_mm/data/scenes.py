"""Drawn scenes with questions about them, as training data of vision-language models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nemo_core.errors import ConfigError, DataError
from nemo_llm.data.module import LanguageDataModule
from nemo_mm.data.conversations import expanded
from nemo_mm.data.scene_questions import (
    BOX_SIZE,
    Balance,
    Question,
    Scene,
    Thing,
    descriptions_of,
    questions_of,
    read_scenes,
)
from nemo_mm.data.tiled_pictures import IMAGE, Picture
from nemo_mm.evaluation.answers import Asked
from nemo_mm.images import open_image

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer
    from nemo_mm.models.vision_config import VisionLanguageConfig

__all__ = ["SceneData"]

_DESCRIBED = 8 + 8 * 4 + 1  # tokens of a description of at most eight things
_STEP = 150  # from one box to the next, pixels


class SceneData(LanguageDataModule):
    """NLVR's pictures, each with several questions about it in one conversation.

    Questions and answers are of :mod:`~nemo_mm.data.scene_questions`, balanced in kind and answer. In training each
    epoch draws others, and other pictures: boxes come in another order and mirrored, some from other pictures, and
    in them some things are pasted over by others of their size (Ghiasi et al., 2021, arXiv:2012.07177). What is where
    is known, so answers stay right. Validation and test ask fixed questions about pictures as they are.

    Args:
        folder: With ``questions.jsonl`` and the images; see :func:`~nemo_mm.data.scene_questions.read_scenes`.
        architecture: That of the model (its configuration or values of it): how pictures are read.
        tokenizer: What makes the tokens; it knows ``<image>``, and how conversations are written.
        questions: In a training row; few, since later ones are answered from earlier ones, without a look.
        eval_questions: Likewise, for validation and test.
        descriptions: Boxes of a training row for which is also asked what is in them, at most three: an answer of
            one word tells the encoder little of what there is to see.
        held_out: Pictures of the training set that are kept for validation.
        exchange: How likely a box is taken from another picture, and how likely a thing in it, in training.
        global_batch_size, eval_global_batch_size, shuffle, num_workers, prefetch, seed: See
            :class:`~nemo_llm.data.module.LanguageDataModule`.

    Raises:
        ConfigError: No folder is given, or a number is out of range.
        DataError: It does not hold what is needed.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        architecture: VisionLanguageConfig | Mapping[str, Any],
        tokenizer: Tokenizer,
        questions: int = 4,
        eval_questions: int = 5,
        descriptions: int = 3,
        held_out: int = 64,
        exchange: float = 0.5,
        global_batch_size: int = 16,
        eval_global_batch_size: int | None = None,
        shuffle: bool = True,
        num_workers: int = 0,
        prefetch: int = 2,
        seed: int | None = None,
    ) -> None:
        from nemo_mm.models.vision_config import VisionLanguageConfig

        if folder is None:
            raise ConfigError(
                "data.folder is not given",
                hint="data.folder=PATH of NLVR's pictures (questions.jsonl and images); docs: vision_language",
            )
        if not 0 <= exchange <= 1:
            raise ConfigError(f"data.exchange is {exchange}", hint="it is how likely something is: give 0 to 1")
        self.architecture = VisionLanguageConfig.reading(architecture)
        self.pictures = self.architecture.pictures()
        if self.pictures.fixed is None:
            raise ConfigError("data: scenes are small: leave model.architecture.tiles out")
        self.mark = tokenizer.special_tokens.get(IMAGE)
        if self.mark is None:
            raise ConfigError(f"the tokenizer has no special token {IMAGE}")
        self.tokenizer = tokenizer
        words = max(len(tokenizer.encode(_longest())), 1) + 2
        super().__init__(
            sequence_length=self.pictures.fixed
            + (words + 1) * max(questions, eval_questions)
            + _DESCRIBED * descriptions
            + 1,
            global_batch_size=global_batch_size,
            eval_global_batch_size=eval_global_batch_size,
            shuffle=shuffle,
            num_workers=num_workers,
            prefetch=prefetch,
            seed=seed,
        )
        self.descriptions = descriptions
        self.folder, self.questions, self.eval_questions = Path(folder), questions, eval_questions
        self.held_out, self.exchange = held_out, exchange
        self._scenes: dict[str, list[Scene]] | None = None

    def scenes(self, split: str) -> list[Scene]:
        """Return the scenes of ``train``, ``validation`` or ``test``."""
        if self._scenes is None:
            found = read_scenes(self.folder)
            train = [scene for scene in found if scene.split == "train"]
            self._scenes = {
                "train": train[self.held_out :],
                "validation": train[: self.held_out],
                "test": [scene for scene in found if scene.split == "test"],
            }
            if not all(self._scenes.values()):
                raise DataError(
                    f"{self.folder} has {len(train)} scenes to train on and {len(self._scenes['test'])} to test with",
                    hint=f"there must be more than data.held_out={self.held_out}, and some of each",
                )
        return self._scenes[split]

    def asked(self, split: str, seed: int = 0) -> list[list[Question]]:
        """Return the fixed questions about each scene of ``split``."""
        balance = Balance(scene.boxes for scene in self.scenes("train"))
        rng = np.random.default_rng(seed)
        return [balance.draw(questions_of(scene.boxes), self.eval_questions, rng) for scene in self.scenes(split)]

    def examination(self, split: str) -> list[Asked]:
        """Return the fixed questions about the scenes of ``split``, to be answered by the model alone."""
        return [
            Asked(each.kind, each.text, [scene.image], each.answer)
            for scene, several in zip(self.scenes(split), self.asked(split), strict=True)
            for each in several
        ]

    def dataset(self, split: str) -> Any:
        """Return the rows of ``split``."""
        if split == "predict":
            return None
        return _Training(self) if split == "train" else _Fixed(self, split)

    def collate(self, items: list[Any]) -> dict[str, torch.Tensor]:
        """Return the batch made of ``items``, padded to the longest."""
        length = max(len(item["tokens"]) for item in items) - 1
        length = -(-length // 8) * 8
        rows = len(items)
        batch = {
            "tokens": torch.zeros(rows, length, dtype=torch.long),
            "labels": torch.zeros(rows, length, dtype=torch.long),
            "loss_mask": torch.zeros(rows, length),
        }
        for row, item in enumerate(items):
            tokens, mask = torch.from_numpy(item["tokens"]), torch.from_numpy(item["loss_mask"])
            batch["tokens"][row, : len(tokens) - 1] = tokens[:-1]
            batch["labels"][row, : len(tokens) - 1] = tokens[1:]
            batch["loss_mask"][row, : len(tokens) - 1] = mask[1:]
        return {**batch, **self.pictures.collate([[item["picture"]] for item in items])}

    def row(self, pixels: np.ndarray, questions: Sequence[Question]) -> dict[str, Any]:
        """Return a row of a picture (C, H, W), as the encoder takes it, and questions about it."""
        tokens, mask = self._written(questions)
        count = self.pictures.fixed or 0
        assert self.mark is not None
        tokens, mask = expanded(tokens, mask, [count], self.mark)
        return {"tokens": tokens, "loss_mask": mask, "picture": Picture(pixels[None], pixels.shape[1:], count)}

    def _written(self, questions: Sequence[Question]) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens and mask of a conversation, the picture one token; each turn is encoded once and kept."""
        tokens: list[int] = []
        mask: list[int] = []
        for place, each in enumerate(questions):
            turn = self._turn(each.text, each.answer, place == 0)
            tokens += turn[0]
            mask += turn[1]
        return np.array(tokens), np.array(mask, np.float32)

    def _turn(self, question: str, answer: str, first: bool) -> tuple[list[int], list[int]]:
        kept: dict[Any, tuple[list[int], list[int]]] = self.__dict__.setdefault("_turns", {})
        key = (question, answer, first)
        if key not in kept:
            from nemo_llm.data.chat import ChatEncoder, Conversation

            said = [
                {"role": "user", "content": (IMAGE if first else "") + question},
                {"role": "assistant", "content": answer},
            ]
            kept[key] = ChatEncoder(self.tokenizer).encode([Conversation("a scene", said)])[0]
        return kept[key]


class _Training:
    """Scenes with other questions and other boxes in each epoch."""

    def __init__(self, data: SceneData) -> None:
        self.data, self.scenes = data, data.scenes("train")
        # Boxes as they are, and the picture around them, which is the same for all.
        self.boxes = np.stack([_boxes(open_image(scene.image)) for scene in self.scenes])  # (N, 3, 100, 100, 3)
        self.frame = open_image(self.scenes[0].image)
        self.alike: dict[Any, list[tuple[Thing, np.ndarray]]] = {}
        for scene, pictures in zip(self.scenes, self.boxes, strict=True):
            for things, pixels in zip(scene.boxes, pictures, strict=True):
                for thing in things:
                    self.alike.setdefault(_alike(thing, things), []).append((thing, pixels[_where(thing)]))
        self.balance = Balance(scene.boxes for scene in self.scenes)

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.sample(index, np.random.default_rng(index))

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return a row whose picture is made of the boxes of scene ``index`` and some of others."""
        picture, things = self.frame.copy(), []
        others = rng.integers(len(self.scenes), size=3)
        exchanged = rng.random(3) < self.data.exchange
        for place, box in enumerate(rng.permutation(3)):
            scene = others[place] if exchanged[place] else index
            pixels, drawn = self._redrawn(self.boxes[scene, box], self.scenes[scene].boxes[box], rng)
            picture[:, place * _STEP : place * _STEP + BOX_SIZE] = pixels[:, ::-1] if rng.random() < 0.5 else pixels
            things.append(drawn)
        questions = self.balance.draw(questions_of(things), self.data.questions, rng)
        questions += [descriptions_of(things)[box] for box in rng.permutation(3)[: self.data.descriptions]]
        questions = [questions[place] for place in rng.permutation(len(questions))]
        return self.data.row(self.data.pictures.transform.fit(picture), questions)

    def _redrawn(
        self, pixels: np.ndarray, things: Sequence[Thing], rng: np.random.Generator
    ) -> tuple[np.ndarray, Sequence[Thing]]:
        """Return a box in which some things have become others of their size, and what is in it then."""
        pixels, drawn = pixels.copy(), list(things)
        exchanged = rng.random(len(things)) < self.data.exchange
        for place, thing in enumerate(things):
            if not exchanged[place]:
                continue
            alike = self.alike[_alike(thing, things)]
            other, cut = alike[rng.integers(len(alike))]
            pixels[_where(thing)] = cut
            drawn[place] = dataclasses.replace(thing, colour=other.colour, shape=other.shape)
        return pixels, drawn


class _Fixed:
    """Scenes as they are, with questions that stay."""

    def __init__(self, data: SceneData, split: str) -> None:
        self.data, self.scenes, self.questions = data, data.scenes(split), data.asked(split)

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> dict[str, Any]:
        picture = self.data.pictures.transform.fit(open_image(self.scenes[index].image))
        return self.data.row(picture, self.questions[index])


def _alike(thing: Thing, box: Sequence[Thing]) -> Any:
    """Return what a thing shares with those that may take its place: towers stay towers of squares."""
    return thing.size, all(each.shape == "square" for each in box)


def _where(thing: Thing) -> tuple[slice, slice]:
    return slice(thing.top, thing.top + thing.size), slice(thing.left, thing.left + thing.size)


def _boxes(picture: np.ndarray) -> np.ndarray:
    if picture.shape != (BOX_SIZE, 2 * _STEP + BOX_SIZE, 3):
        raise DataError(f"a picture of NLVR has {picture.shape[:2]} pixels, not {BOX_SIZE} x {2 * _STEP + BOX_SIZE}")
    return np.stack([picture[:, place * _STEP : place * _STEP + BOX_SIZE] for place in range(3)])


def _longest() -> str:
    return "how many yellow triangles in the middle box ?"
