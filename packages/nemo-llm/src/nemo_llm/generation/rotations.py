"""Rotary tables for tokens at any positions, each row at its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nemo_llm.models.config import ModelConfig
from nemo_llm.models.layers.rope import RotaryEmbedding, by_section, frequencies

__all__ = ["Rotations"]


class Rotations:
    """Cosines and sines for each kind of layer.

    Where angles depend on how long a text gets (dynamic NTK, LongRoPE), each row has those of its prompt and all the
    tokens that may come, from the first token on: keys that are kept are never turned again.

    Args:
        config: The architecture.
        lengths: Tokens that each row has at most in the end.
        dtype: Of the tables.
        device: Where they are needed.
    """

    def __init__(self, config: ModelConfig, lengths: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.interleaved = dtype, config.rope.interleaved
        self.sections = config.rope.sections or ()
        depends = config.rope.scaling in ("ntk", "longrope")
        own = RotaryEmbedding(config)
        self.angles: list[tuple[Tensor, float]] = []  # (B or 1, R / 2) and temperature of each kind
        for local in (False, True) if own.local else (False,):
            found = {
                length: frequencies(config.rope, own.dim, length=length, max_length=config.max_length, local=local)
                for length in (set(lengths) if depends else {config.max_length})
            }
            rows = [found[length][0] for length in (lengths if depends else found)]
            self.angles.append((torch.stack(rows).to(device), next(iter(found.values()))[1]))
        self.shared = not depends

    @staticmethod
    def kind_of(config: ModelConfig, window: int | None) -> int:
        """Return which kind a layer with this window is."""
        return RotaryEmbedding(config).kind_of(window) if config.positions == "rope" else 0

    def select(self, rows: Tensor) -> None:
        """Keep some rows only."""
        if not self.shared:
            self.angles = [(angles[rows], temperature) for angles, temperature in self.angles]

    def __call__(self, positions: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return, for each kind, what :func:`~nemo_llm.generation.attention.rotate` takes.

        Args:
            positions: (B or 1, n), or of three parts (B, n, 3).

        Returns:
            Cosines and sines (B or 1, n, 1, 1, R).
        """
        return [self._table(positions, angles, temperature) for angles, temperature in self.angles]

    def _table(self, positions: Tensor, angles: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        if positions.dim() == 3:
            turned = by_section(positions.float()[..., None] * angles[:, None, None], self.sections)
        else:
            turned = positions.float()[..., None] * angles[:, None]
        cosine, sine = turned.cos() * temperature, turned.sin() * temperature
        if self.interleaved:
            both = torch.stack((cosine, cosine), -1).flatten(-2), torch.stack((-sine, sine), -1).flatten(-2)
        else:
            both = torch.cat((cosine, cosine), -1), torch.cat((-sine, sine), -1)
        return both[0].to(self.dtype)[:, :, None, None], both[1].to(self.dtype)[:, :, None, None]
