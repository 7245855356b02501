"""What reads pictures for a language model: a vision transformer and a projector."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nemo_core.types import ImageValue, Index, Lengths, NeuralType, typed
from nemo_mm.elements import Embedding
from nemo_mm.images.tiles import arrange, best_grid
from nemo_mm.modules.media_reader import MediaReader

if TYPE_CHECKING:
    from nemo_mm.models.vision_config import VisionLanguageConfig

__all__ = ["Projector", "VisionReader"]


class Projector(nn.Sequential):
    """From features of pictures (N, D) to embeddings of a language model (N, H)."""

    def __init__(self, features: int, hidden: int, *, kind: str = "mlp", bias: bool = True) -> None:
        layers: list[nn.Module] = [nn.Linear(features, hidden, bias=bias)]
        if kind == "mlp":
            layers += [nn.GELU(), nn.Linear(hidden, hidden, bias=bias)]
        super().__init__(*layers)


class VisionReader(MediaReader):
    """Turns pictures into embeddings of a language model.

    Args:
        config: The architecture.

    Example:
        >>> from nemo_mm.models.vision_config import VisionLanguageConfig
        >>> config = VisionLanguageConfig.from_dict({"language": {"vocab_size": 65, "hidden_size": 32},
        ...     "media_token": 64, "vision": {"image_size": 28, "width": 16, "layers": 2, "heads": 2}})
        >>> reader = VisionReader(config)
        >>> pixels = torch.zeros(2, 3, 3, 28, 28, dtype=torch.uint8)
        >>> embeddings, counts = reader(pixels=pixels, pixel_counts=torch.tensor([3, 1]))
        >>> embeddings.shape, counts.tolist()
        (torch.Size([16, 32]), [12, 4])
    """

    def __init__(self, config: VisionLanguageConfig) -> None:
        super().__init__()
        self.config = config
        self.transform = config.vision.transform()
        self.encoder = config.vision.encoder()
        self.projector = Projector(
            config.vision.width * math.prod(config.merged),
            config.hidden_size,
            kind=config.projector,
            bias=config.projector_bias,
        )
        newline = torch.randn(config.hidden_size) * config.hidden_size**-0.5
        self.newline = nn.Parameter(newline) if config.tiles else None
        self.layers = config.features if config.features > 0 else config.vision.layers + config.features
        self.hold_unused()

    def hold_unused(self) -> None:
        """Take what features do not depend on out of the training: layers behind them, and what makes one vector."""
        unused = [*self.encoder.transformer.layers[self.layers :], self.encoder.norm]
        if self.encoder.head is not None:
            unused.append(self.encoder.head)
        for part in unused:
            part.requires_grad_(False)

    @functools.cached_property
    def input_types(self) -> dict[str, NeuralType]:
        """``pixels`` (B, M, C, H, W), ``pixel_counts`` (B,); with tiles ``image_sizes`` (B, I, 2), ``image_counts``."""
        height, width = self.transform.size
        return {
            "pixels": NeuralType(("B", "T", "D", f"H:{height}", f"W:{width}"), ImageValue()),
            "pixel_counts": NeuralType(("B",), Lengths()),
            "image_sizes": NeuralType(("B", "T", "D:2"), Index(), optional=True),
            "image_counts": NeuralType(("B",), Lengths(), optional=True),
        }

    @functools.cached_property
    def output_types(self) -> dict[str, NeuralType]:
        """``embeddings`` (N, D) and ``counts`` (B,)."""
        return {
            "embeddings": NeuralType(("T", f"D:{self.config.hidden_size}"), Embedding()),
            "counts": NeuralType(("B",), Lengths()),
        }

    @typed
    def forward(
        self,
        pixels: Tensor,
        pixel_counts: Tensor,
        image_sizes: Tensor | None = None,
        image_counts: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the embeddings of all pictures, row by row, and how many each row has.

        Args:
            pixels: (B, M, C, H, W) in [0, 255]: pictures, with tiles each followed by its own.
            pixel_counts: (B,), how many of a row's M are there.
            image_sizes: (B, I, 2), with tiles: height and width of pictures before they were scaled.
            image_counts: (B,), with tiles: how many pictures a row has.
        """
        here = torch.arange(pixels.shape[1], device=pixels.device) < pixel_counts[:, None]
        present = pixels[here]
        if len(present) == 0:
            weight = next(self.projector.parameters())
            return weight.new_zeros(0, self.config.hidden_size), torch.zeros_like(pixel_counts)
        features = self.features(present)
        if not self.config.tiles:
            return features.flatten(0, 1), pixel_counts * self.config.each
        assert image_sizes is not None
        assert image_counts is not None
        return self._arranged(features, image_sizes, image_counts)

    def features(self, pixels: Tensor) -> Tensor:
        """Return the projected features (N, P, H) of pictures (N, C, H, W) in [0, 255]."""
        standard = self.transform(pixels).to(self.projector[0].weight.dtype)
        found = self.encoder.hidden(standard, self.layers)
        if self.encoder.class_token is not None and not self.config.class_feature:
            found = found[:, 1:]
        down, across = self.config.merged
        if (down, across) != (1, 1):
            rows, columns = self.config.grid
            found = found.unflatten(1, (rows, down, columns, across)).transpose(2, 3).flatten(3).flatten(1, 2)
        projected: Tensor = self.projector(found)
        return projected

    def _arranged(self, features: Tensor, sizes: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        assert self.newline is not None
        found, totals, start = [], [], 0
        for row, count in zip(sizes.tolist(), counts.tolist(), strict=True):
            total = 0
            for height, width in row[:count]:
                grid = best_grid(height, width, self.config.tiles, self.transform.size)
                end = start + 1 + grid[0] * grid[1]
                each = arrange(features[start:end], height, width, grid, self.config.grid, self.newline)
                found.append(each)
                total += len(each)
                start = end
            totals.append(total)
        return torch.cat(found), torch.tensor(totals, device=features.device)
