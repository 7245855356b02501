"""Masking of whole patches of time in training."""

from __future__ import annotations

import torch
from torch import Tensor

from nemo_asr.modules.spec_augment import SpecAugment
from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule

__all__ = ["MaskedPatches"]


class MaskedPatches(NeuralModule):
    """Hide random patches of time, which do not overlap, and bands of frequency; a no-op outside training.

    Self-supervised models learn to fill the patches in. Each utterance is divided into patches from its start; what is
    left over at its end is never hidden.

    Args:
        patch_size: Frames of a patch.
        mask_patches: Patches to hide of each utterance, or of a shorter one as many as it has; below one, the fraction
            of the frames of each utterance, rounded up to patches.
        freq_masks: Bands of frequency per utterance.
        freq_width: Widest band of frequency, bins.

    Example:
        >>> augment = MaskedPatches(patch_size=10, mask_patches=3)
        >>> hidden = augment(features=torch.ones(1, 40, 100), length=torch.tensor([100])) == 0
        >>> int(hidden[0, 0].sum())
        30
    """

    def __init__(
        self, patch_size: int = 48, mask_patches: int | float = 10.0, freq_masks: int = 0, freq_width: int = 0
    ) -> None:
        super().__init__()
        if patch_size < 1:
            raise ConfigError(f"patch_size is {patch_size} frames", hint="give at least 1")
        if mask_patches < 0:
            raise ConfigError(f"mask_patches is {mask_patches}", hint="give a number of patches, or a fraction")
        self.patch_size = patch_size
        self.mask_patches = mask_patches
        self.bands = SpecAugment(freq_masks=freq_masks, freq_width=freq_width)

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``features`` (B, D, T) and ``length`` (B,) in frames."""
        return self.bands.input_types

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``features`` (B, D, T)."""
        return self.bands.output_types

    @nt.typed
    @torch.no_grad()
    def forward(self, features: Tensor, length: Tensor) -> Tensor:
        """Return ``features`` with patches of zeros."""
        if not self.training:
            return features
        count = features.shape[2] // self.patch_size
        whole = torch.div(length, self.patch_size, rounding_mode="floor").unsqueeze(1)
        if self.mask_patches >= 1:
            wanted = torch.full_like(whole, int(self.mask_patches))
        else:
            frames = (length * self.mask_patches).long().unsqueeze(1)
            wanted = torch.div(frames + self.patch_size - 1, self.patch_size, rounding_mode="floor")
        draw = torch.rand(length.shape[0], count, device=features.device)
        draw = draw.masked_fill(torch.arange(count, device=features.device) >= whole, 2.0)  # not a patch of this one
        rank = draw.argsort(dim=1).argsort(dim=1)
        hidden = (rank < wanted.minimum(whole)).repeat_interleave(self.patch_size, dim=1)
        hidden = torch.nn.functional.pad(hidden, (0, features.shape[2] - hidden.shape[1]))
        masked: Tensor = self.bands(features=features.masked_fill(hidden.unsqueeze(1), 0.0), length=length)
        return masked
