"""The architecture of a vision-language model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from nemo_core.errors import ConfigError
from nemo_llm.models.config import ModelConfig
from nemo_mm.models.multimodal_config import MultimodalConfig

if TYPE_CHECKING:
    from nemo_mm.data.tiled_pictures import Pictures
    from nemo_mm.images import ImageTransform
    from nemo_mm.models.vision_reader import VisionReader
    from nemo_mm.modules.vit import VisionTransformer

__all__ = ["Vision", "VisionLanguageConfig"]


@dataclass(frozen=True)
class Vision:
    """The encoder of pictures (:class:`~nemo_mm.modules.vit.VisionTransformer`), and how pictures are made fit for it.

    Attributes:
        image_size: Height and width of pictures, pixels; one number for a square.
        patch_size, width, layers, heads, inner, stem, positions, pool, pre_norm, patch_bias, activation, eps: Of the
            encoder.
        fit, resample, mean, std: Of :class:`~nemo_mm.images.ImageTransform`.
    """

    image_size: int | tuple[int, int] = 336
    patch_size: int = 14
    width: int = 1024
    layers: int = 24
    heads: int = 16
    inner: int | None = None
    stem: tuple[int, ...] = ()
    positions: Literal["random", "sincos"] = "random"
    pool: Literal["class", "mean", "attention"] = "class"
    pre_norm: bool = True
    patch_bias: bool = False
    activation: Literal["quick_gelu", "gelu", "gelu_tanh"] = "quick_gelu"
    eps: float = 1e-5
    fit: Literal["crop", "squash", "pad"] = "crop"
    resample: str = "bicubic"
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of pictures, pixels."""
        return _pair("vision.image_size", self.image_size)

    def encoder(self) -> VisionTransformer:
        """Return the encoder, with new weights."""
        from nemo_mm.modules.vit import VisionTransformer

        return VisionTransformer(
            self.size,
            self.patch_size,
            self.width,
            self.layers,
            self.heads,
            self.inner,
            channels=len(self.mean),
            stem=self.stem,
            positions=self.positions,
            pool=self.pool,
            pre_norm=self.pre_norm,
            patch_bias=self.patch_bias,
            activation=self.activation,
            eps=self.eps,
            mean=self.mean,
            std=self.std,
        )

    def transform(self) -> ImageTransform:
        """Return what makes pictures fit."""
        from nemo_mm.images import ImageTransform

        return ImageTransform(self.size, fit=self.fit, resample=self.resample, mean=self.mean, std=self.std)


@dataclass(frozen=True, kw_only=True)
class VisionLanguageConfig(MultimodalConfig):
    """The architecture of a vision-language model: LLaVA's (Liu et al., 2023, arXiv:2304.08485) and what came of it.

    Attributes:
        language: The language model.
        media_token: The token whose places pictures take.
        vision: The encoder of pictures.
        features: Behind how many of the encoder's layers features are taken; negative numbers count from the end: -1 is
            behind all but the last, 0 behind all.
        class_feature: Whether the class token's feature is kept.
        merge: Features of so many patches down and across become one (Qwen2-VL, arXiv:2409.12191); one number for both.
        projector: ``mlp``: two layers with a GELU (LLaVA 1.5, arXiv:2310.03744), ``linear``: one.
        projector_bias: Whether its layers have biases.
        tiles: Grids of tiles, (rows, columns), among which the best for a picture is chosen (LLaVA-NeXT); none:
            pictures are only scaled.

    Example:
        >>> config = VisionLanguageConfig.from_dict({"language": {"vocab_size": 65}, "media_token": 64,
        ...     "vision": {"image_size": 56, "width": 32, "layers": 2, "heads": 2}})
        >>> config.each, VisionLanguageConfig.from_dict(config.to_dict()) == config
        (16, True)
    """

    vision: Vision = Vision()
    features: int = -1
    class_feature: bool = False
    merge: int | tuple[int, int] = 1
    projector: Literal["mlp", "linear"] = "mlp"
    projector_bias: bool = True
    tiles: tuple[tuple[int, int], ...] = ()

    entries: ClassVar[tuple[str, ...]] = ("pixels", "pixel_counts", "image_sizes", "image_counts")
    parts: ClassVar[Mapping[str, type]] = {"vision": Vision}

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "tiles", tuple((int(rows), int(columns)) for rows, columns in self.tiles))
        (height, width), (down, across) = self.vision.size, self.merged
        if height % (self.vision.patch_size * down) or width % (self.vision.patch_size * across):
            raise ConfigError(
                f"pictures of {height} x {width} pixels do not divide into {down} x {across} patches of "
                f"{self.vision.patch_size}",
                hint="change vision.image_size, vision.patch_size or merge",
            )
        if self.class_feature and (self.merged != (1, 1) or self.tiles or self.vision.pool != "class"):
            raise ConfigError("class_feature goes with vision.pool=class, and without merge and tiles")
        if self.tiles and self.language.rope.sections is not None:
            raise ConfigError("tiles have no positions in height and width", hint="leave language.rope.sections out")
        if self.projector not in ("mlp", "linear"):
            raise ConfigError(f"projector is {self.projector!r}", hint="mlp or linear")
        if not -self.vision.layers < self.features <= self.vision.layers:
            raise ConfigError(f"features is {self.features}, and the encoder has {self.vision.layers} layers")

    @property
    def merged(self) -> tuple[int, int]:
        """How many patches down and across make one feature."""
        return _pair("merge", self.merge)

    @property
    def grid(self) -> tuple[int, int]:
        """Features of a picture, or of a tile, down and across."""
        (height, width), (down, across) = self.vision.size, self.merged
        return height // (self.vision.patch_size * down), width // (self.vision.patch_size * across)

    @property
    def each(self) -> int:
        """Embeddings of a picture without tiles."""
        return self.grid[0] * self.grid[1] + int(self.class_feature)

    def make_reader(self) -> VisionReader:
        """Return the reader, with new weights."""
        from nemo_mm.models.vision_reader import VisionReader

        return VisionReader(self)

    def pictures(self) -> Pictures:
        """Return what opens pictures as this architecture wants them."""
        from nemo_mm.data.tiled_pictures import Pictures

        return Pictures(self)

    @classmethod
    def reading(cls, given: VisionLanguageConfig | Mapping[str, Any]) -> VisionLanguageConfig:
        """Return the architecture as far as data needs it: what it says of the language model is not looked at."""
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise ConfigError(f"data.architecture is {given!r}", hint="as model.architecture: ${model.architecture}")
        return cls.from_dict({**given, "language": ModelConfig(vocab_size=1), "media_token": 0})


def _pair(name: str, value: int | tuple[int, ...]) -> tuple[int, int]:
    """Return a number for down and one for across; one alone is both."""
    both = (value, value) if isinstance(value, int) else value
    if not isinstance(both, tuple) or len(both) != 2 or any(not isinstance(each, int) or each < 1 for each in both):
        raise ConfigError(f"{name} is {value!r}", hint="give a number of at least 1, or two: down and across")
    return both
