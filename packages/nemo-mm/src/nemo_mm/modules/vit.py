"""The vision transformer, as CLIP and SigLIP have it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core.errors import ConfigError, DataError
from nemo_core.modules import NeuralModule
from nemo_core.types import NeuralType, typed
from nemo_mm.elements import Embedding, PixelValues
from nemo_mm.modules.positions import sincos_2d
from nemo_mm.modules.transformer import Activation, Transformer, activate, initialise

__all__ = ["AttentionPool", "Stem", "VisionTransformer"]

Pool = Literal["class", "attention", "mean"]


class VisionTransformer(NeuralModule):
    """Pictures, cut into patches, through a transformer (Dosovitskiy et al., 2020, arXiv:2010.11929).

    ``pool="class", pre_norm=True`` is CLIP's (Radford et al., 2021), ``pool="attention", patch_bias=True`` SigLIP's
    (Zhai et al., 2023). ``forward`` gives one vector for a picture, :meth:`hidden` one for each patch.

    Args:
        image_size: Height and width of pictures, pixels; one number for a square.
        patch_size: Height and width of a patch, pixels.
        width: Features per patch.
        layers: Number of layers.
        heads: Heads of the attention.
        inner: Features inside the feed-forward networks; four times ``width`` if not given.
        channels: 3, or 1 for grey pictures.
        stem: Features of convolutions before the patches (Xiao et al., 2021, arXiv:2106.14881), 3 x 3, each
            halving height and width: small encoders trained from nothing learn more quickly what things look
            like wherever they are. None: patches are cut from the pixels.
        positions: What the positions, which are learned, start from: ``random`` vectors, or the ``sincos`` of row and
            column (He et al., 2021, arXiv:2111.06377), in which near places are alike: where something is then need
            not be learned place by place.
        pool: How patches become one vector. ``class``: a token of its own collects it; ``attention``: a learned query
            asks all patches; ``mean``: their mean.
        pre_norm: Whether patches are normalised before the first layer.
        patch_bias: Whether the projection of patches has a bias.
        activation: quick_gelu, gelu or gelu_tanh.
        eps: Of the layer norms.
        dropout: Of attention weights.
        mean: What the pixels were standardised with; given, other pixels are refused.
        std: Likewise.
        recompute: Compute layers again on the way back instead of keeping what they held.

    Example:
        >>> vit = VisionTransformer(image_size=8, patch_size=4, width=16, layers=2, heads=2)
        >>> pixels = torch.randn(5, 3, 8, 8)
        >>> vit(pixels=pixels).shape, vit.hidden(pixels).shape
        (torch.Size([5, 16]), torch.Size([5, 5, 16]))
    """

    def __init__(
        self,
        image_size: int | Sequence[int] = 224,
        patch_size: int = 32,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        inner: int | None = None,
        *,
        channels: int = 3,
        stem: Sequence[int] = (),
        positions: Literal["random", "sincos"] = "random",
        pool: Pool = "class",
        pre_norm: bool = False,
        patch_bias: bool = False,
        activation: Activation = "gelu",
        eps: float = 1e-5,
        dropout: float = 0.0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        height, across = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        if height % patch_size or across % patch_size:
            raise ConfigError(f"pictures of {height} x {across} pixels do not divide into patches of {patch_size}")
        if patch_size % 2 ** len(stem):
            raise ConfigError(
                f"patches of {patch_size} pixels cannot be halved {len(stem)} times by the stem {[*stem]}"
            )
        if positions not in ("random", "sincos"):
            raise ConfigError(f"positions is {positions!r}", hint="random or sincos")
        if positions == "sincos" and width % 4:
            raise ConfigError(f"width is {width}, and sincos needs one that 4 divides", hint="positions=random")
        if pool not in ("class", "attention", "mean"):
            raise ConfigError(f"pool is {pool!r}", hint="class, attention or mean")
        self.image_size, self.patch_size = (height, across), patch_size
        self.channels, self.width, self.pool = channels, width, pool
        self.grid = height // patch_size, across // patch_size
        self.mean = None if mean is None else tuple(mean)
        self.std = None if std is None else tuple(std)
        tokens = self.grid[0] * self.grid[1] + (pool == "class")
        self.stem = Stem(channels, stem) if stem else None
        self.cut = patch_size // 2 ** len(stem)  # pixels of a patch, or what the stem makes of them
        self.patches = nn.Linear((stem[-1] if stem else channels) * self.cut**2, width, bias=patch_bias)
        self.class_token = nn.Parameter(torch.randn(width) * width**-0.5) if pool == "class" else None
        self.positions = nn.Parameter(torch.randn(tokens, width) * width**-0.5)
        if positions == "sincos":
            places = sincos_2d(*self.grid, width, base=float(max(self.grid)))
            self.positions.data[tokens - len(places) :] = places
        self.pre_norm = nn.LayerNorm(width, eps) if pre_norm else None
        self.transformer = Transformer(layers, width, heads, inner, activation, eps, dropout, recompute)
        self.norm = nn.LayerNorm(width, eps)
        self.head = AttentionPool(width, heads, inner, activation, eps) if pool == "attention" else None
        nn.init.normal_(self.patches.weight, std=self.patches.in_features**-0.5)
        initialise(self.transformer)

    @functools.cached_property
    def input_types(self) -> dict[str, NeuralType]:
        """``pixels`` (B, D, H, W)."""
        axes = ("B", f"D:{self.channels}", f"H:{self.image_size[0]}", f"W:{self.image_size[1]}")
        return {"pixels": NeuralType(axes, PixelValues(mean=self.mean, std=self.std))}

    @functools.cached_property
    def output_types(self) -> dict[str, NeuralType]:
        """``embedding`` (B, D)."""
        return {"embedding": NeuralType(("B", f"D:{self.width}"), Embedding())}

    @typed
    def forward(self, pixels: Tensor) -> Tensor:
        """Return one vector (B, D) for each picture."""
        x = self._tokens(pixels)
        if self.pool == "class":
            return self.norm(self.transformer.of_one(x, 0))
        x = self.norm(self.transformer(x))
        return self.head(x) if self.head is not None else x.mean(1)

    def hidden(self, pixels: Tensor, layer: int | None = None, *, resize: bool = False) -> Tensor:
        """Return one vector for each token (B, T, D): the patches, row by row, behind the class token if there is one.

        Args:
            pixels: (B, D, H, W).
            layer: Behind how many layers, and not normalised after; negative numbers count from the end, as -1 for all
                but the last. Without it: behind all, and normalised.
            resize: Take pictures of another size too, and stretch the positions to it.
        """
        x = self._tokens(pixels, resize)
        return self.norm(self.transformer(x)) if layer is None else self.transformer(x, last=layer)

    def _tokens(self, pixels: Tensor, resize: bool = False) -> Tensor:
        batch, _, height, across = pixels.shape
        size, rows, columns = self.patch_size, height // self.patch_size, across // self.patch_size
        # One product of all patches. A convolution of this kernel and stride is the same, and is slower on CPUs.
        values = pixels.to(self.patches.weight.dtype)
        if self.stem is not None:
            values, size = self.stem(values), self.cut
        cut = values.unflatten(3, (columns, size)).unflatten(2, (rows, size)).permute(0, 2, 4, 1, 3, 5)
        x = self.patches(cut.reshape(batch, rows * columns, -1))
        positions = self.positions if (rows, columns) == self.grid else self._stretched(rows, columns, resize)
        if self.class_token is None:
            x = x + positions
        else:
            first = (self.class_token + positions[0]).expand(batch, 1, -1)
            x = torch.cat([first, x + positions[1:]], dim=1)
        return x if self.pre_norm is None else self.pre_norm(x)

    def _stretched(self, rows: int, columns: int, allowed: bool) -> Tensor:
        if not allowed:
            raise DataError(
                f"pictures of {rows} x {columns} patches, and the encoder was made for {self.grid[0]} x {self.grid[1]}",
                hint="scale them (mm.ImageTransform), or allow other sizes with resize=True",
            )
        own = self.positions[1:] if self.class_token is not None else self.positions
        grid = own.T.reshape(1, self.width, *self.grid)
        stretched = F.interpolate(grid, (rows, columns), mode="bicubic", align_corners=False)[0].flatten(1).T
        return torch.cat([self.positions[:1], stretched]) if self.class_token is not None else stretched


class Stem(nn.Sequential):
    """Convolutions that each halve height and width, with a norm over all features and a GELU behind.

    Args:
        channels: Of pictures.
        widths: Features behind each convolution.

    Example:
        >>> Stem(3, [8, 16])(torch.randn(2, 3, 8, 12)).shape
        torch.Size([2, 16, 2, 3])
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        parts: list[nn.Module] = []
        for before, width in zip([channels, *widths[:-1]], widths, strict=True):
            parts += [nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.GroupNorm(1, width), nn.GELU()]
        super().__init__(*parts)


class AttentionPool(nn.Module):
    """A learned query that asks all tokens, and a feed-forward network: how SigLIP makes of patches one vector.

    Args:
        width: Features per token.
        heads: Of the attention.
        inner: Features inside the feed-forward network; four times ``width`` if not given.
        activation: quick_gelu, gelu or gelu_tanh.
        eps: Of the layer norm.

    Example:
        >>> AttentionPool(8, 2)(torch.randn(3, 5, 8)).shape
        torch.Size([3, 8])
    """

    def __init__(
        self, width: int, heads: int, inner: int | None = None, activation: str = "gelu", eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.heads, self.activation = heads, activation
        inner = inner or 4 * width
        self.query = nn.Parameter(torch.randn(width) * width**-0.5)
        self.q, self.kv, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps)
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, D) of ``x`` (B, T, D)."""
        query = self.q(self.query).view(1, self.heads, 1, -1).expand(len(x), -1, -1, -1)
        key, value = self.kv(x).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        found = self.out(F.scaled_dot_product_attention(query, key, value).flatten(1))
        return found + self.fc2(activate(self.fc1(self.norm(found)), self.activation))
