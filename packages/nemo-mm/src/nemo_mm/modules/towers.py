"""Towers: what turns pictures, texts or recordings into vectors of one space."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nemo_core.errors import ConfigError
from nemo_core.graph.matching import check_types
from nemo_core.modules import NeuralModule
from nemo_core.types import Declared, NeuralType, typed
from nemo_mm.data.fronts import AudioSamples, Front, TextTokens
from nemo_mm.elements import Embedding
from nemo_mm.images.transforms import ImageTransform

__all__ = ["ImageTower", "SpeechTower", "TextTower", "Tower"]


class Tower(NeuralModule):
    """Base of the towers: a front end, an encoder, and a projection into the common space.

    A subclass says with :attr:`front` what reads its input, and with ``forward`` what becomes of it.

    Attributes:
        front: Reads single sources, and makes batches of them.
        size: Length of the vectors that come out.
    """

    front: Front
    size: int

    @property
    def kind(self) -> str:
        """What it looks at: image, text, speech."""
        return self.front.kind

    @functools.cached_property
    def output_types(self) -> Mapping[str, Declared]:
        """``embedding`` (B, D), of any length."""
        return {"embedding": NeuralType(("B", f"D:{self.size}"), Embedding())}

    def _project(self, width: int, size: int | None) -> nn.Module:
        """Return what leads from an encoder's vectors to the common space; nothing does where ``size`` is None."""
        self.size = size or width
        if size is None:
            return nn.Identity()
        layer = nn.Linear(width, size, bias=False)
        nn.init.normal_(layer.weight, std=width**-0.5)
        return layer


class ImageTower(Tower):
    """Pictures to vectors.

    Args:
        transform: What pictures go through before.
        encoder: Pixels to vectors: a :class:`~nemo_mm.modules.VisionTransformer`, or any module with ``pixels`` in and
            one ``embedding`` (B, D) out.
        size: Length of the vectors that come out; that of the encoder's, without a projection, if not given.
        augmentation: What pixels go through in training, such as ``mm.RandomAffine``.

    Example:
        >>> from nemo_mm.modules import VisionTransformer
        >>> tower = ImageTower(ImageTransform(8), VisionTransformer(8, 4, width=16, layers=1, heads=2), size=5)
        >>> tower(images=torch.zeros(3, 3, 8, 8, dtype=torch.uint8)).shape
        torch.Size([3, 5])
    """

    front: ImageTransform

    def __init__(
        self,
        transform: ImageTransform,
        encoder: NeuralModule,
        size: int | None = None,
        augmentation: NeuralModule | None = None,
    ) -> None:
        super().__init__()
        check_types(transform.outputs["pixels"], encoder.inputs["pixels"])
        self.front, self.encoder, self.augmentation = transform, encoder, augmentation
        self.projection = self._project(_width(encoder), size)

    @property
    def input_types(self) -> Mapping[str, Declared]:
        """``images`` (B, D, H, W), in [0, 255]."""
        return self.front.input_types

    @typed
    def forward(self, images: Tensor) -> Tensor:
        """Return one vector (B, D) for each picture."""
        pixels = self.front(images=images)
        if self.augmentation is not None and self.training:
            # A view has no type: an augmentation says less of its output than is so, that it is of the same kind.
            pixels = self.augmentation(pixels=pixels).view_as(pixels)
        return self.projection(self.encoder(pixels=pixels))


class TextTower(Tower):
    """Texts to vectors.

    Args:
        tokens: Makes tokens of texts.
        encoder: Tokens to vectors: a :class:`~nemo_mm.modules.TextTransformer`, or any module with ``tokens`` and
            ``length`` in and one ``embedding`` (B, D) out.
        size: Length of the vectors that come out; that of the encoder's, without a projection, if not given.

    Example:
        >>> from nemo_llm.tokenizers import ByteTokenizer
        >>> from nemo_mm.modules import TextTransformer
        >>> encoder = TextTransformer(259, max_length=16, width=16, layers=1, heads=2)
        >>> tower = TextTower(TextTokens(ByteTokenizer(), 16), encoder, size=5)
        >>> tower(**tower.front.batch([tower.front.read("a cat")])).shape
        torch.Size([1, 5])
    """

    front: TextTokens

    def __init__(self, tokens: TextTokens, encoder: NeuralModule, size: int | None = None) -> None:
        super().__init__()
        rows = getattr(encoder, "vocabulary", None)
        if rows is not None and rows < tokens.tokenizer.vocab_size:
            raise ConfigError(
                f"the tokenizer has {tokens.tokenizer.vocab_size} tokens, and the text encoder knows {rows}",
                hint=f"encoder.vocabulary={tokens.tokenizer.vocab_size}",
            )
        self.front, self.encoder = tokens, encoder
        self.projection = self._project(_width(encoder), size)

    @property
    def input_types(self) -> Mapping[str, Declared]:
        """``tokens`` (B, T) and ``length`` (B,)."""
        return self.encoder.input_types

    @typed
    def forward(self, tokens: Tensor, length: Tensor) -> Tensor:
        """Return one vector (B, D) for each text."""
        return self.projection(self.encoder(tokens=tokens, length=length))


class SpeechTower(Tower):
    """Recordings to vectors: the mean over time of what an acoustic encoder gives.

    Args:
        audio: Reads recordings.
        preprocessor: Audio to features, such as ``MelSpectrogram``.
        encoder: Features and ``length`` to ``encoded`` (B, D, T) and ``length``, such as ``asr.ConformerEncoder``.
        width: Features per frame that the encoder gives; its own ``feat_out`` if not given.
        size: Length of the vectors that come out; ``width``, without a projection, if not given.

    Example:
        >>> from nemo_core.audio import MelSpectrogram
        >>> from nemo_core.types import AcousticEncoded, Lengths, Spectrogram
        >>> class Frames(NeuralModule):
        ...     lengths = {"length": NeuralType(("B",), Lengths())}
        ...     input_types = {"features": NeuralType(("B", "D", "T"), Spectrogram()), **lengths}
        ...     output_types = {"encoded": NeuralType(("B", "D", "T"), AcousticEncoded()), **lengths}
        ...
        ...     @typed
        ...     def forward(self, features, length):
        ...         return features, length
        >>> tower = SpeechTower(AudioSamples(8000), MelSpectrogram(8000, features=40), Frames(), width=40, size=5)
        >>> tower(audio=torch.randn(2, 4000), length=torch.tensor([4000, 2000])).shape
        torch.Size([2, 5])
    """

    front: AudioSamples

    def __init__(
        self,
        audio: AudioSamples,
        preprocessor: NeuralModule,
        encoder: NeuralModule,
        width: int | None = None,
        size: int | None = None,
    ) -> None:
        super().__init__()
        rate: Any = getattr(preprocessor, "sample_rate", audio.sample_rate)
        if rate != audio.sample_rate:
            raise ConfigError(f"audio is read at {audio.sample_rate} Hz, and the preprocessor takes {rate} Hz")
        check_types(preprocessor.outputs["features"], encoder.inputs["features"])
        width = width or getattr(encoder, "feat_out", None)
        if width is None:
            raise ConfigError("the encoder does not say how many features it gives", hint="give width")
        self.front, self.preprocessor, self.encoder = audio, preprocessor, encoder
        self.projection = self._project(width, size)

    @property
    def input_types(self) -> Mapping[str, Declared]:
        """``audio`` (B, T) and ``length`` (B,) in samples."""
        return self.preprocessor.input_types

    @typed
    def forward(self, audio: Tensor, length: Tensor) -> Tensor:
        """Return one vector (B, D) for each recording."""
        features, length = self.preprocessor(audio=audio, length=length)
        encoded, length = self.encoder(features=features, length=length)
        inside = torch.arange(encoded.shape[2], device=encoded.device) < length[:, None]
        mean = (encoded * inside[:, None]).sum(2) / length.clamp(min=1)[:, None]
        return self.projection(mean)


def _width(encoder: NeuralModule) -> int:
    """Return the length of the vectors of an encoder, as its output type has it."""
    found = encoder.output_types.get("embedding")
    axes: Any = getattr(found, "axes", None) or ()
    size = axes[-1].size if len(axes) == 2 else None
    if not isinstance(size, int):
        name = type(encoder).__name__
        raise ConfigError(
            f"{name} has no output `embedding` (B, D) of a known length",
            hint="declare it in its output_types: NeuralType(('B', 'D:512'), Embedding())",
        )
    return size
