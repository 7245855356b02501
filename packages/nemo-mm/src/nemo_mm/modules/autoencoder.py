"""Encoder and decoder of images, convolutional, by the layout of Stable Diffusion's autoencoder.

The parts are called as in AutoencoderKL of Hugging Face's diffusers, so that its weights are taken as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule

__all__ = ["ImageDecoder", "ImageEncoder"]


class ImageEncoder(NeuralModule):
    """Images to the mean and the logarithm of the variance of their latents (Rombach et al., CVPR 2022).

    Residual blocks at several resolutions, each half the one before, and attention at the last.

    Args:
        channels: Of the images.
        latent_channels: Of the latents.
        widths: Channels at each resolution; n of them make latents smaller by 2 ** (n - 1).
        layers: Residual blocks at each resolution.
        groups: Of the group norms; divides all widths.
        attention: Whether there is attention at the last resolution.

    Raises:
        ConfigError: ``groups`` does not divide the widths.

    Example:
        >>> encoder = ImageEncoder(1, 2, widths=[4, 8], layers=1, groups=2)
        >>> encoder(pixels=torch.zeros(1, 1, 8, 8)).shape
        torch.Size([1, 4, 4, 4])
    """

    def __init__(
        self,
        channels: int = 3,
        latent_channels: int = 4,
        widths: Sequence[int] = (128, 256, 512, 512),
        layers: int = 2,
        groups: int = 32,
        attention: bool = True,
    ) -> None:
        super().__init__()
        _check(widths, layers, groups)
        self.channels, self.latent_channels, self.factor = channels, latent_channels, 2 ** (len(widths) - 1)
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            _Level(
                before,
                after,
                layers,
                groups,
                downsampler=_Downsampler(after) if number < len(widths) else None,
            )
            for number, (before, after) in enumerate(zip((widths[0], *widths), widths, strict=False), 1)
        )
        self.mid_block = _Middle(widths[-1], groups, attention)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 2 * latent_channels, 3, padding=1)

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``pixels`` (B, C, H, W), around 0."""
        return {"pixels": nt.NeuralType(("B", f"D:{self.channels}", "H", "W"), nt.ImageFeatureValue())}

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``moments`` (B, 2 * C, H / f, W / f): means, and after them logarithms of variances."""
        return {"moments": nt.NeuralType(("B", f"D:{2 * self.latent_channels}", "H", "W"), nt.ImageFeatureValue())}

    @nt.typed
    def forward(self, pixels: Tensor) -> Tensor:
        """Return means and logarithms of variances (B, 2 * C, H / f, W / f) of images (B, C, H, W)."""
        x = self.conv_in(pixels)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class ImageDecoder(NeuralModule):
    """Latents to images: the encoder the other way round, with one more residual block at each resolution.

    Args:
        channels: Of the images.
        latent_channels: Of the latents.
        widths: As the encoder's.
        layers: As the encoder's.
        groups: As the encoder's.
        attention: As the encoder's.

    Example:
        >>> decoder = ImageDecoder(1, 2, widths=[4, 8], layers=1, groups=2)
        >>> decoder(latents=torch.zeros(1, 2, 4, 4)).shape
        torch.Size([1, 1, 8, 8])
    """

    def __init__(
        self,
        channels: int = 3,
        latent_channels: int = 4,
        widths: Sequence[int] = (128, 256, 512, 512),
        layers: int = 2,
        groups: int = 32,
        attention: bool = True,
    ) -> None:
        super().__init__()
        _check(widths, layers, groups)
        self.channels, self.latent_channels = channels, latent_channels
        upwards = tuple(reversed(widths))
        self.conv_in = nn.Conv2d(latent_channels, upwards[0], 3, padding=1)
        self.mid_block = _Middle(upwards[0], groups, attention)
        self.up_blocks = nn.ModuleList(
            _Level(
                before,
                after,
                layers + 1,
                groups,
                upsampler=_Upsampler(after) if number < len(widths) else None,
            )
            for number, (before, after) in enumerate(zip((upwards[0], *upwards), upwards, strict=False), 1)
        )
        self.conv_norm_out = nn.GroupNorm(groups, widths[0], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[0], channels, 3, padding=1)

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``latents`` (B, C, H, W)."""
        return {"latents": nt.NeuralType(("B", f"D:{self.latent_channels}", "H", "W"), nt.ImageFeatureValue())}

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``pixels`` (B, C, H * f, W * f)."""
        return {"pixels": nt.NeuralType(("B", f"D:{self.channels}", "H", "W"), nt.ImageFeatureValue())}

    @nt.typed
    def forward(self, latents: Tensor) -> Tensor:
        """Return images (B, C, H * f, W * f) of latents (B, C, H, W)."""
        x = self.mid_block(self.conv_in(latents))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class _Level(nn.Module):
    """Residual blocks at one resolution, and what leads to the next."""

    def __init__(
        self,
        before: int,
        after: int,
        layers: int,
        groups: int,
        downsampler: nn.Module | None = None,
        upsampler: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(_Residual(after if i else before, after, groups) for i in range(layers))
        self.downsamplers = nn.ModuleList([downsampler]) if downsampler is not None else None
        self.upsamplers = nn.ModuleList([upsampler]) if upsampler is not None else None

    def forward(self, x: Tensor) -> Tensor:
        for block in (*self.resnets, *(self.downsamplers or ()), *(self.upsamplers or ())):
            x = block(x)
        return x


class _Middle(nn.Module):
    def __init__(self, width: int, groups: int, attention: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(_Residual(width, width, groups) for _ in range(2))
        self.attentions = nn.ModuleList([_SpatialAttention(width, groups)] if attention else [])

    def forward(self, x: Tensor) -> Tensor:
        x = self.resnets[0](x)
        for block in self.attentions:
            x = block(x)
        return self.resnets[1](x)


class _Residual(nn.Module):
    def __init__(self, before: int, after: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, before, eps=1e-6)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, after, eps=1e-6)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(before, after, 1) if before != after else None

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(x)))
        inner = self.conv2(F.silu(self.norm2(inner)))
        return inner + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class _SpatialAttention(nn.Module):
    """Attention of one head over all places."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor) -> Tensor:
        places = self.group_norm(x).flatten(2).transpose(1, 2).unsqueeze(1)
        seen = F.scaled_dot_product_attention(self.to_q(places), self.to_k(places), self.to_v(places))
        return x + self.to_out[0](seen.squeeze(1)).transpose(1, 2).reshape(x.shape)


class _Downsampler(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        # Padded on the right and below only, which is how the published weights were trained.
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class _Upsampler(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def _check(widths: Sequence[int], layers: int, groups: int) -> None:
    if not widths or layers < 1 or groups < 1 or any(width % groups for width in widths):
        raise ConfigError(
            f"autoencoder: widths {list(widths)}, {layers} layers and {groups} groups do not fit",
            hint="groups divides all widths; there is a layer at least",
        )
