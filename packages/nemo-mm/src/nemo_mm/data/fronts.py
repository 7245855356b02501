"""What reads one kind of input: picture, text or recording. It works on single items, in the processes that load data.

A front end has a ``kind``, the name of what it reads; ``read(source)``, which makes of one source what a batch is made
of; and ``batch(items)``, which makes the tensors that a tower takes, by name. That of pictures is
:class:`~nemo_mm.images.ImageTransform`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["AudioSamples", "Front", "TextTokens"]


@runtime_checkable
class Front(Protocol):
    """What every front end can do."""

    kind: str

    def read(self, source: Any, name: str | None = None) -> Any:
        """Return what one source becomes; ``name`` is what messages call it."""

    def batch(self, items: Sequence[Any]) -> dict[str, Tensor]:
        """Return the tensors of a batch, by the names of a tower's inputs."""


class TextTokens(Configured):
    """Texts as rows of tokens.

    Args:
        tokenizer: Text to tokens.
        max_length: Most tokens of a text; longer ones are cut, and keep the token for their end.
        bos: Whether a token for the start stands before a text.
        eos: Whether a token for the end stands behind it.
        pad_to_max: Whether all are padded to ``max_length``, and not to the longest of a batch.
        pad_id: The token to pad with; the tokenizer's own, or else that of the end, if not given.
        clean: ``lower``: texts are lowercased; ``canonical``: punctuation is dropped too, and blanks are joined
            (SigLIP).

    Example:
        >>> from nemo_llm.tokenizers import ByteTokenizer
        >>> texts = TextTokens(ByteTokenizer(), max_length=4)
        >>> texts.batch([texts.read("a"), texts.read("abcdefg")])
        {'tokens': tensor([[ 97, 257, 258, 258],
                [ 97,  98,  99, 257]]), 'length': tensor([2, 4])}
    """

    kind = "text"

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_length: int = 77,
        *,
        bos: bool = False,
        eos: bool = True,
        pad_to_max: bool = False,
        pad_id: int | None = None,
        clean: Literal["none", "lower", "canonical"] = "none",
    ) -> None:
        if max_length <= bos + eos:
            raise ConfigError(f"max_length is {max_length}, which leaves no room for a text")
        if clean not in ("none", "lower", "canonical"):
            raise ConfigError(f"clean is {clean!r}", hint="none, lower or canonical")
        self.tokenizer, self.max_length, self.clean = tokenizer, max_length, clean
        self.bos, self.eos, self.pad_to_max = bos, eos, pad_to_max
        own = tokenizer.pad_id if tokenizer.pad_id is not None else tokenizer.eos_id
        self.pad_id = pad_id if pad_id is not None else (own or 0)
        for role in [role for role, wanted in (("bos", bos), ("eos", eos)) if wanted]:
            if getattr(tokenizer, f"{role}_id") is None:
                raise ConfigError(f"the tokenizer has no {role} token", hint=f"give one, or set {role}=false")

    def read(self, source: str, name: str | None = None) -> np.ndarray:
        """Return the tokens (T,) of a text."""
        if not isinstance(source, str):
            raise DataError(f"{name + ': ' if name else ''}the caption is {source!r}, not a text")
        if self.clean != "none":
            source = source.lower()
        if self.clean == "canonical":
            source = re.sub(r"\s+", " ", source.translate(_NO_PUNCTUATION)).strip()
        ids = self.tokenizer.encode(source, bos=self.bos, parse_special=False)
        end = [self.tokenizer.eos_id] if self.eos and self.tokenizer.eos_id is not None else []
        ids = [*ids[: self.max_length - len(end)], *end]
        if not ids:
            raise DataError(f"{name or 'caption'}: the text is empty")
        return np.asarray(ids, np.int64)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """Return ``tokens`` (B, T), padded, and their ``length`` (B,)."""
        lengths = [len(item) for item in items]
        rows = np.full((len(items), self.max_length if self.pad_to_max else max(lengths)), self.pad_id, np.int64)
        for row, item in zip(rows, items, strict=True):
            row[: len(item)] = item
        return {"tokens": torch.from_numpy(rows), "length": torch.tensor(lengths)}


class AudioSamples(Configured):
    """Recordings as rows of samples.

    Args:
        sample_rate: Rate of the batch, Hz; others are resampled.
        max_duration: Seconds that longer recordings are cut to.

    Example:
        >>> audio = AudioSamples(8000)
        >>> batch = audio.batch([audio.read(np.zeros(800, np.float32)), audio.read(np.zeros(400, np.float32))])
        >>> batch["audio"].shape, batch["length"].tolist()
        (torch.Size([2, 800]), [800, 400])
    """

    kind = "speech"

    def __init__(self, sample_rate: int = 16000, *, max_duration: float | None = None) -> None:
        self.sample_rate, self.max_duration = sample_rate, max_duration

    def read(self, source: Any, name: str | None = None) -> np.ndarray:
        """Return the samples (T,) of a file, its content, or samples of the right rate."""
        from nemo_core.audio import prepare_samples, read_audio

        if isinstance(source, np.ndarray | Tensor):
            samples = prepare_samples(np.asarray(source), self.sample_rate, self.sample_rate, name=name or "recording")
        else:
            try:
                samples, _ = read_audio(source, sample_rate=self.sample_rate, channel="average")
            except DataError as error:
                if name is None or str(source) in name:
                    raise
                raise DataError(f"{name}: {error.message}", hint=error.hint) from error
        return samples if self.max_duration is None else samples[: round(self.max_duration * self.sample_rate)]

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """Return ``audio`` (B, T), padded with zeros, and its ``length`` (B,) in samples."""
        lengths = [len(item) for item in items]
        rows = np.zeros((len(items), max(lengths)), np.float32)
        for row, item in zip(rows, items, strict=True):
            row[: len(item)] = item
        return {"audio": torch.from_numpy(rows), "length": torch.tensor(lengths)}


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
