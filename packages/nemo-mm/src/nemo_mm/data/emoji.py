"""Emoji and their names: a small world of drawn pictures, with a test of composition."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError
from nemo_mm.data.pairs import Pair

__all__ = ["TONES", "Emoji"]

TONES = ("light skin tone", "medium-light skin tone", "medium skin tone", "medium-dark skin tone", "dark skin tone")

Split = Literal["train", "held_out", "composition", "new_bases"]

FOLDS = 10

_SEED = 2026


class Emoji(Configured):
    """Emoji of a folder with ``captions.jsonl`` and pictures.

    The splits have no picture in common:

    - ``held_out``: a tenth of the emoji that come in no skin tone; neither they nor their captions are trained on;
    - ``composition``: of each emoji that has the five skin tones, but for those of ``new_bases``, one tone: it was
      trained on in the four others, and the tone with other emoji, but the two never together;
    - ``new_bases``: emoji with their five skin tones, none of which was trained on in any tone;
    - ``train``: all others.

    There are ten such divisions, ``fold`` 0 to 9. No emoji is held out, and no base new, in two of them, and the tone
    that is left out of an emoji is another in each of five folds in a row. So settings are chosen on one fold, and what
    they are worth is measured on another.

    Args:
        folder: Where ``captions.jsonl`` is.
        split: Which of the four.
        tags: Whether training also takes the picture's aliases and tags for captions.
        together: Whether training meets the tones of an emoji one after the other, so mostly in one batch: there only
            the tone tells what belongs together.
        fold: Which of the ten divisions.

    Raises:
        ConfigError: There is no such folder, split or fold; says what to give.
        DataError: It does not hold what it should.
    """

    def __init__(
        self,
        folder: str | Path | None,
        split: Split,
        *,
        tags: bool = False,
        together: bool = False,
        fold: int = 0,
    ) -> None:
        if folder is None or not Path(folder, "captions.jsonl").is_file():
            raise ConfigError(
                "no folder of emoji is given" if folder is None else f"{folder} holds no captions.jsonl of emoji",
                hint="give a folder with captions.jsonl (image, caption, skin_tone) and the pictures it names, such as "
                "noto-emoji's with the names of gemoji: folder=...",
            )
        if split not in ("train", "held_out", "composition", "new_bases"):
            raise ConfigError(f"split is {split!r}", hint="train, held_out, composition or new_bases")
        if not 0 <= fold < FOLDS:
            raise ConfigError(f"fold is {fold}", hint=f"0 to {FOLDS - 1}")
        self.folder, self.split, self.tags, self.fold = Path(folder), split, tags, fold
        self.records = _split(_read(self.folder / "captions.jsonl"), fold)[split]
        if together:
            bases = itertools.groupby(self.records, lambda each: (_base(each), each["skin_tone"] is None))
            self.groups = [len([*several]) for _, several in bases]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Pair:
        """Return the path of a picture and its captions, the name first."""
        record = self.records[index]
        captions = [record["caption"]]
        if self.tags and record["skin_tone"] is None:
            captions += [text.replace("_", " ") for text in (*record["aliases"], *record["tags"])]
        others = [] if self.split not in ("composition", "new_bases") else self.others(index)
        return Pair(self.folder / record["image"], captions, record["image"], others=others)

    def others(self, index: int) -> list[str]:
        """Return the captions of an emoji in the four skin tones that are not its own."""
        record = self.records[index]
        base = _base(record)
        return [base + tone for tone in TONES if tone != record["skin_tone"]]


def _base(record: dict[str, Any]) -> str:
    """Return what stands before the skin tone in a caption; all of it where there is none."""
    caption: str = record["caption"]
    return caption.removesuffix(record["skin_tone"] or "")


def _read(path: Path) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            records.append({key: record[key] for key in ("image", "caption", "skin_tone", "aliases", "tags")})
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number}: {error!r}", hint="needs image, caption, skin_tone, aliases, tags"
            ) from None
    return records


def _split(records: list[dict[str, Any]], fold: int) -> dict[str, list[dict[str, Any]]]:
    rng = np.random.default_rng(_SEED)
    toned: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        if record["skin_tone"] is not None:
            toned[_base(record)].append(record)
    bases = sorted(toned)
    plain = [record for record in records if record["skin_tone"] is None]
    # A base of new_bases must not be trained on without a tone either; its plain emoji is left out of everything.
    # And an emoji that is trained on in some tone is not held out without one.
    names = [base.rstrip(": ") for base in bases]
    alone = [place for place, record in enumerate(plain) if record["caption"] not in set(names)]
    new = _part(rng.permutation(len(bases)), fold)
    held = {alone[place] for place in _part(rng.permutation(len(alone)), fold)}
    hidden = {names[place] for place in new}
    found: dict[str, list[dict[str, Any]]] = {"train": [], "held_out": [], "composition": [], "new_bases": []}
    for place, record in enumerate(plain):
        if record["caption"] not in hidden:
            found["held_out" if place in held else "train"].append(record)
    for place, base in enumerate(bases):
        # The tones take turns, so that each is left out equally often.
        left_out = TONES[(place + fold) % len(TONES)]
        for record in toned[base]:
            split = "new_bases" if place in new else "composition" if record["skin_tone"] == left_out else "train"
            found[split].append(record)
    return found


def _part(order: np.ndarray, fold: int) -> set[int]:
    size = max(1, len(order) // FOLDS)
    return set(order[fold * size : (fold + 1) * size].tolist())
