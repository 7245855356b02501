"""Conversations about pictures: LLaVA's JSON and what is like it, with pictures anywhere in what is said."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from nemo_core.errors import ConfigError, DataError
from nemo_llm.data.chat import LossOn, read_conversation
from nemo_llm.data.conversations import ConversationData, Truncation
from nemo_llm.data.packing import pack, packed_row
from nemo_llm.data.records import Record
from nemo_llm.data.sft import cut, shortened
from nemo_llm.data.token_store import TokenStore
from nemo_mm.data.tiled_pictures import IMAGE, VIDEO, Pictures, frames_of, pictures_of

if TYPE_CHECKING:
    from nemo_mm.models.vision_config import VisionLanguageConfig

__all__ = ["VisionConversations"]

_log = logging.getLogger(__name__)

_MEDIA = "pictures.jsonl"
_MARKS = re.compile(f"{IMAGE}|{VIDEO}")


class VisionConversations(ConversationData):
    """Conversations about pictures to fine-tune a vision-language model on.

    Files are JSON lines, JSON arrays or Parquet, and records what
    :func:`~nemo_llm.data.chat.read_conversation` knows, with ``<image>`` where a picture stands and the pictures' paths
    in ``image`` or ``images``; ``<video>`` and ``video``: a picture that moves, or a list of frames. Contents may also
    be lists of parts, ``{"type": "image", "image": PATH}`` among them. Marks and pictures must be as many.

    A batch is as :class:`~nemo_llm.data.module.LanguageDataModule` says, each mark as many tokens as the model makes
    embeddings of its picture; and ``pixels`` (B, M, C, H, W) uint8, ``pixel_counts`` (B,), with tiles also
    ``image_sizes`` (B, I, 2), ``image_counts`` (B,). Pictures are opened where data is loaded. ``skipped`` (B,) int64
    is how many conversations of a row are left out because a picture of theirs cannot be read.

    Args:
        train: Files to train on: one, or a list.
        validation: Files to validate on; also a mapping of a name to one of these.
        test: Likewise.
        architecture: That of the model (its configuration or values of it): how pictures are read, and the token whose
            places they take (``media_token``, ``<image>``).
        tokenizer: What makes the tokens: a tokenizer, or its folder; it knows that token as a special one.
        image_folder: Folder that paths of pictures start from; that of the file if not given.
        frames: Pictures that a video is read as.
        sequence_length: Most tokens in a row, those of pictures included.
        global_batch_size: Rows in a training step, over all data-parallel replicas.
        eval_global_batch_size: The same for validation and test.
        chat_template: How conversations are written, if not as the tokenizer says.
        loss_on: What is to be learned: all that the ``assistant`` says, the ``last`` of it, or ``all`` of the text.
        packing: Whether rows are packed with several conversations; not with tiles.
        truncation: What to do with a conversation that is longer than a row: see
            :class:`~nemo_llm.data.sft.ChatData`; a picture is never cut, but left out with what follows.
        pad_to_multiple_of: What lengths of rows are rounded up to.
        on_bad_record: ``raise`` an error that names file and line, or ``skip`` the record, log why and count; a row
            whose picture turns out to be damaged when it is opened counts for nothing.
        cache_dir: Folder for tokens, which all processes must see.
        cache_timeout: Seconds that other processes wait without a sign of life of the one that tokenises.
        batches: ``shuffle``, ``drop_last``, ``num_workers``, ``prefetch``, ``pin_memory``, ``seed``: see
            :class:`~nemo_llm.data.module.LanguageDataModule`.

    Raises:
        ConfigError: Settings do not fit each other.
        DataError: A file, record or picture cannot be used; the message names file and line.
    """

    shape = "conversations about pictures"

    def __init__(
        self,
        train: Any = None,
        validation: Any = None,
        test: Any = None,
        *,
        architecture: VisionLanguageConfig | Mapping[str, Any],
        tokenizer: Any,
        image_folder: str | Path | None = None,
        frames: int = 8,
        sequence_length: int = 2048,
        global_batch_size: int = 32,
        eval_global_batch_size: int | None = None,
        chat_template: str | None = None,
        loss_on: LossOn = "assistant",
        packing: bool = False,
        truncation: Truncation = "right",
        pad_to_multiple_of: int = 8,
        on_bad_record: Literal["raise", "skip"] = "raise",
        cache_dir: str | Path | None = None,
        cache_timeout: float = 600.0,
        shuffle: bool = True,
        drop_last: bool = True,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            train,
            validation,
            test,
            tokenizer=tokenizer,
            chat_template=chat_template,
            loss_on=loss_on,
            pairs="auto",
            truncation=truncation,
            pad_to_multiple_of=pad_to_multiple_of,
            on_bad_record=on_bad_record,
            cache_dir=cache_dir,
            cache_timeout=cache_timeout,
            sequence_length=sequence_length,
            global_batch_size=global_batch_size,
            eval_global_batch_size=eval_global_batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            num_workers=num_workers,
            prefetch=prefetch,
            pin_memory=pin_memory,
            seed=seed,
        )
        from nemo_mm.models.vision_config import VisionLanguageConfig

        self.architecture = VisionLanguageConfig.reading(architecture)
        self.pictures = self.architecture.pictures()
        self.image_folder, self.frames, self.packing = image_folder, frames, packing
        given = architecture.get("media_token", IMAGE) if isinstance(architecture, Mapping) else IMAGE
        self.mark_text = str(given) if isinstance(given, str) else self.tokenizer.id_to_token(int(given))
        mark = self.tokenizer.special_tokens.get(self.mark_text)
        if mark is None:
            raise ConfigError(
                f"the tokenizer has no special token {self.mark_text}, which stands where a picture is",
                hint="add it, or name one that it has and that no text has: "
                "model.architecture.media_token='<|reserved_special_token_0|>'",
            )
        if packing and self.architecture.tiles:
            raise ConfigError(
                "data.packing: how many tokens a picture takes is known only when it is opened, with tiles",
                hint="set packing=false, or an architecture without tiles",
            )
        self.mark = mark
        self._found: dict[tuple[str, int], list[list[Any]]] = {}

    def collate(self, items: list[Any]) -> dict[str, torch.Tensor]:
        """Return the batch made of ``items``, padded to the longest and to the most pictures."""
        longest = max(len(item["tokens"]) - 1 if "segment_ids" not in item else 0 for item in items)
        length = self.sequence_length if longest <= 0 else self._length_of(longest)
        rows = [
            {name: item[name] for name in item if name in _TEXT}
            if "segment_ids" in item
            else packed_row([item["tokens"]], length, loss_masks=[item["loss_mask"]], pad_id=self.pad_id)
            for item in items
        ]
        skipped = torch.tensor([item["skipped"] for item in items])
        pictures = self.pictures.collate([item["pictures"] for item in items])
        return {**super().collate(rows), "skipped": skipped, **pictures}

    def filler(self, item: Any) -> Any:
        """Return an item like ``item`` that counts for nothing."""
        return {**item, "loss_mask": item["loss_mask"] * 0, "skipped": 0}

    # ------------------------------------------------------------------------------------------------------- encoding

    def _encode(self, records: list[Record]) -> list[list[tuple[list[int], list[int]]]]:
        """Return tokens and mask of each record, a mark one token, and note the pictures of each."""
        conversations, found = [], []
        for record in records:
            values, sources = pictures_of(record)
            conversation = read_conversation(Record(record.path, record.unit, record.number, values))
            said = [message.get("content") or "" for message in conversation.messages]
            pictures = self._resolved(record, sources, said)
            for message in conversation.messages:
                said_here = (message.get("content") or "").replace(VIDEO, IMAGE * self.frames)
                message["content"] = said_here.replace(IMAGE, self.mark_text)
            conversations.append(conversation)
            found.append(pictures)
        encoded = self.encoder.encode(conversations)
        for record, pictures, (ids, _) in zip(records, found, encoded, strict=True):
            marks = sum(1 for each in ids if each == self.mark)
            if marks != len(pictures):
                raise DataError(
                    f"{record.where}: has {marks} marks {IMAGE} and {len(pictures)} pictures",
                    hint="each picture has a mark where it stands; does the chat template leave some out?",
                )
            self._found[str(record.path), record.number] = pictures
        return [[each] for each in encoded]

    def _resolved(self, record: Record, sources: Mapping[str, list[Any]], said: Sequence[str]) -> list[list[Any]]:
        """Return the pictures of a record in the order of their marks: [path, frame or None]."""
        folder = Path(self.image_folder) if self.image_folder is not None else record.path.parent
        marks = [part for text in said for part in _MARKS.findall(text)]
        found: list[list[Any]] = []
        for kind, mark in (("image", IMAGE), ("video", VIDEO)):
            if marks.count(mark) != len(sources[kind]):
                raise DataError(
                    f"{record.where}: has {marks.count(mark)} marks {mark} and {len(sources[kind])} of {kind}",
                    hint=f"each {kind} has a mark {mark} where it stands in a message",
                )
        left = {kind: iter(values) for kind, values in sources.items()}
        for mark in marks:
            source = next(left["image" if mark == IMAGE else "video"])
            several = frames_of(source, self.frames, folder, record.where) if mark == VIDEO else [[source, None]]
            for path, frame in several:
                full = os.path.join(folder, path)
                if not os.path.isfile(full):
                    raise DataError(
                        f"{record.where}: there is no picture {full}", hint="data.image_folder says where paths start"
                    )
                found.append([os.path.abspath(full), frame])
        return found

    def _write_more(self, folder: Path) -> None:
        store = TokenStore(folder)
        with (folder / _MEDIA).open("w", encoding="utf-8") as file:
            for number, record in store.places.tolist():
                file.write(json.dumps(self._found[store.info["files"][number], record]) + "\n")
        self._found = {}

    def _key(self, paths: list[Path]) -> str:
        where = "" if self.image_folder is None else str(Path(self.image_folder).absolute())
        folders = [str(path.parent.absolute()) for path in paths]
        digest = hashlib.sha256(json.dumps([where, folders, self.frames]).encode()).hexdigest()
        return f"{super()._key(paths)}-{digest[:8]}"

    def _rows(self, store: TokenStore, split: str) -> Any:
        skips = self.on_bad_record == "skip"
        rows = _Rows(store, self.pictures, self.mark, self.sequence_length, self.truncation, skips)
        return _Packed(rows, self.sequence_length, self.pad_id) if self.packing else rows


_TEXT = ("tokens", "labels", "loss_mask", "position_ids", "segment_ids")


class _Rows:
    """Conversations one by one, their marks expanded, no longer than a row."""

    def __init__(
        self,
        store: TokenStore,
        pictures: Pictures,
        mark: int,
        sequence_length: int,
        truncation: Truncation,
        skips: bool,
    ) -> None:
        self.store, self.pictures, self.mark = store, pictures, mark
        self.sequence_length, self.truncation, self.skips = sequence_length, truncation, skips
        lines = (store.folder / _MEDIA).read_text(encoding="utf-8").splitlines()
        self.sources: list[list[list[Any]]] = [json.loads(line) for line in lines]
        self._kept = cut(store, [[index] for index in range(len(store))], sequence_length, truncation)[:, 0]
        each = (pictures.fixed or 1) - 1
        more = np.array([len(self.sources[index]) * each for index in self._kept])
        self.lengths = np.minimum(store.lengths[self._kept] - 1 + more, sequence_length)

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return ``tokens`` and ``loss_mask`` (n,), the pictures, and whether it was ``skipped``, 0 or 1."""
        kept = int(self._kept[index])
        tokens, mask = (np.asarray(part) for part in self.store[kept])
        try:
            pictures = [self.pictures.open(path, frame) for path, frame in self.sources[kept]]
        except DataError as error:
            message = f"{self.store.where(kept)}: {error.message}"
            if not self.skips:
                hint = error.hint or "mend or leave it out; data.on_bad_record=skip leaves out all such records"
                raise DataError(message, hint=hint) from error
            _log.warning("skipped: %s", message)
            nothing = np.zeros(2, np.int64)
            return {"tokens": nothing, "loss_mask": nothing, "pictures": [], "skipped": 1}
        sizes = [picture.count for picture in pictures]
        if self.truncation == "left":  # counted from the end, so that what is kept is a whole
            tokens, mask, pictures = _left(tokens, mask, pictures, sizes, self.mark, self.sequence_length)
            sizes = [picture.count for picture in pictures]
        tokens, mask = expanded(tokens, mask, sizes, self.mark)
        if len(tokens) > self.sequence_length + 1:
            if self.truncation in ("error", "drop"):
                raise DataError(
                    f"{self.store.where(kept)}: the conversation has {len(tokens)} tokens with its pictures, and a row "
                    f"takes {self.sequence_length + 1}",
                    hint="raise data.sequence_length, or choose data.truncation=right",
                )
            tokens, mask = shortened((tokens, mask), self.sequence_length, "right")
            tokens, mask, pictures = _without_halves(tokens, mask, pictures, self.mark)
        return {"tokens": tokens, "loss_mask": mask, "pictures": pictures, "skipped": 0}


class _Packed:
    """Rows of conversations that do not see each other."""

    def __init__(self, conversations: _Rows, sequence_length: int, pad_id: int) -> None:
        self.conversations, self.sequence_length, self.pad_id = conversations, sequence_length, pad_id
        self.packing = pack(conversations.lengths, sequence_length)

    def __len__(self) -> int:
        return len(self.packing)

    def __getitem__(self, index: int) -> dict[str, Any]:
        items = [self.conversations[int(item)] for item in self.packing[index]]
        row = packed_row(
            [item["tokens"] for item in items],
            self.sequence_length,
            loss_masks=[item["loss_mask"] for item in items],
            pad_id=self.pad_id,
        )
        pictures = [picture for item in items for picture in item["pictures"]]
        return {**row, "pictures": pictures, "skipped": sum(item["skipped"] for item in items)}


def expanded(tokens: np.ndarray, mask: np.ndarray, counts: Sequence[int], mark: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens and mask with each mark repeated as often as its picture has embeddings.

    >>> expanded(np.array([5, 9, 6, 9]), np.array([0, 0, 1, 0]), [2, 3], mark=9)[0].tolist()
    [5, 9, 9, 6, 9, 9, 9]
    """
    repeats = np.ones(len(tokens), np.int64)
    repeats[tokens == mark] = counts
    return np.repeat(tokens, repeats), np.repeat(mask, repeats)


def _without_halves(
    tokens: np.ndarray, mask: np.ndarray, pictures: list[Any], mark: int
) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """Return a cut row up to the first picture that is not whole."""
    room, kept = int((tokens == mark).sum()), []
    for picture in pictures:
        if picture.count > room:
            break
        room -= picture.count
        kept.append(picture)
    if room:
        end = len(tokens) - room  # the row was cut within a picture, so it ends there
        tokens, mask = tokens[:end], mask[:end]
    return tokens, mask, kept


def _left(
    tokens: np.ndarray, mask: np.ndarray, pictures: list[Any], counts: Sequence[int], mark: int, sequence_length: int
) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """Return the end of a conversation that fits in a row, pictures whole."""
    sizes = np.ones(len(tokens), np.int64)
    sizes[tokens == mark] = counts
    behind = np.cumsum(sizes[::-1])[::-1]
    start = int(np.argmax(behind <= sequence_length + 1))
    return tokens[start:], mask[start:], pictures[int((tokens[:start] == mark).sum()) :]
