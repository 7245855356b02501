"""Masks for the fused attention kernels, computed once for all the layers of a forward pass."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from nemo_llm.models.layers.blockwise import Rules, first_of_segment, visible

__all__ = ["Masks"]


class Masks:
    """Masks by rules and segments, shared by the layers of a model.

    A mask of segments lives as long as the tensor it was made of is handed in again: one forward pass.
    """

    def __init__(self) -> None:
        self._of: weakref.ReferenceType[Tensor] | None = None
        self._segments: dict[tuple[bool, int | None], Tensor | None] = {}
        self._short: bool | None = None
        self._plain: dict[tuple[bool, int | None, int, int, torch.device], Tensor | None] = {}

    def get(
        self, rules: Rules, queries: int, keys: int, segments: Tensor | None, device: torch.device
    ) -> Tensor | None:
        """Return what the last ``queries`` of ``keys`` positions see.

        Args:
            rules: Who sees whom.
            queries: Sq.
            keys: Sk.
            segments: ``(B, Sk)``, documents; or None.
            device: Where the mask is needed.

        Returns:
            ``(1, 1, Sq, Sk)`` or ``(B, 1, Sq, Sk)``, boolean; None if all see all.
        """
        which = (rules.causal, rules.window)
        if segments is None:
            key = (*which, queries, keys, device)
            if key not in self._plain:
                self._plain.clear()
                self._plain[key] = _make(rules, queries, keys, None, device)
            return self._plain[key]
        self._now_of(segments)
        if which not in self._segments:
            self._segments[which] = _make(rules, queries, keys, segments, device)
        return self._segments[which]

    def short(self, segments: Tensor) -> bool:
        """Whether a token sees less than a third of what it would see without segments, on average (CPU only)."""
        if segments.device.type != "cpu":
            return False  # it would have to be waited for
        self._now_of(segments)
        if self._short is None:
            seen = torch.arange(1, segments.shape[1] + 1) - first_of_segment(segments, segments)
            self._short = bool(seen.float().mean() < segments.shape[1] / 6)
        return self._short

    def _now_of(self, segments: Tensor) -> None:
        if self._of is None or self._of() is not segments:
            self._of, self._segments, self._short = weakref.ref(segments), {}, None

    def __deepcopy__(self, memo: object) -> Masks:
        return Masks()

    def __reduce__(self) -> tuple[type[Masks], tuple[()]]:
        return Masks, ()


def _make(rules: Rules, queries: int, keys: int, segments: Tensor | None, device: torch.device) -> Tensor | None:
    with torch.inference_mode(False):  # training will want what validation has left here
        columns = torch.arange(keys, device=device)
        pair = (None, None) if segments is None else (segments[:, keys - queries :], segments)
        return visible(rules, columns[keys - queries :], columns, *pair)
