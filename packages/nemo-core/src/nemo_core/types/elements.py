"""Element types: what the numbers in a tensor mean, as a tree that anyone may extend.

A subclass is a special case of its parent and fits wherever the parent is asked for. Annotated attributes are type
parameters; ``None`` leaves a parameter open, and an open parameter agrees with every value.

>>> class BirdCall(AudioSignal):
...     '''The voice of one bird.'''
...     species: str | None = None
>>> BirdCall(freq=48000, species="wren")
BirdCall(freq=48000, species='wren')
>>> BirdCall().compare(AudioSignal(freq=16000)).name
'LESS'
"""

from __future__ import annotations

from typing import Any, ClassVar, dataclass_transform

from nemo_core.errors import NeuralTypeError
from nemo_core.types._value import Value
from nemo_core.types.comparison import Comparison

__all__ = [
    "MFCC",
    "AcousticEncoded",
    "AudioSignal",
    "Bool",
    "CategoricalValues",
    "Channel",
    "ClassificationTarget",
    "ElementType",
    "EmbeddedText",
    "EncodedRepresentation",
    "Float",
    "Hypothesis",
    "ImageFeatureValue",
    "ImageValue",
    "Index",
    "Int",
    "Labels",
    "Length",
    "Lengths",
    "LogDeterminant",
    "LogProbs",
    "Logits",
    "Loss",
    "Mask",
    "MelSpectrogram",
    "NormalDistributionLogVariance",
    "NormalDistributionMean",
    "NormalDistributionSamples",
    "NormalizedImageValue",
    "Predictions",
    "ProbabilityDistributionSamples",
    "Probs",
    "RegressionValues",
    "SequenceToSequenceAlignment",
    "Spectrogram",
    "String",
    "StringLabel",
    "Target",
    "TokenDuration",
    "TokenIndex",
    "TokenLogDuration",
    "VideoSignal",
    "Void",
]


@dataclass_transform(frozen_default=True)
class ElementType(Value):
    """Root of the tree: anything at all, as long as it is not left unsaid (see :class:`Void`)."""

    fields: ClassVar[tuple[str, ...] | None] = None
    """Names of the parts of a structured element; only elements with the same fields agree."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        hints = cls.__dict__.get("__annotations__", {}).items()  # noqa: RUF063 - inspect is slow to import
        own = [name for name, hint in hints if not str(hint).startswith(("ClassVar", "typing.ClassVar"))]
        cls._fields = (*cls._fields, *(name for name in own if name not in cls._fields))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        names = self._fields
        if not names and not args and not kwargs:
            self._freeze()
            return
        unknown = [name for name in kwargs if name not in names]
        if len(args) > len(names) or unknown or set(names[: len(args)]) & set(kwargs):
            given = ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())])
            raise NeuralTypeError(
                f"{type(self).__name__}({given}) does not fit its parameters",
                hint=f"its parameters are {', '.join(names)}" if names else "it takes no parameters",
            )
        values = {name: getattr(type(self), name, None) for name in names}
        values.update(zip(names, args, strict=False))
        values.update(kwargs)
        try:
            self._freeze(**values)
        except TypeError:
            raise NeuralTypeError(f"{type(self).__name__}: parameters must be hashable, not {values}") from None

    @property
    def type_parameters(self) -> dict[str, Any]:
        """The parameters of the type by name; ``None`` where one is open."""
        return dict(zip(self._fields, self._values, strict=True))

    def compare(self, other: ElementType) -> Comparison:
        """Say how this element type relates to another.

        Returns:
            SAME, LESS (this is the special case), GREATER, SAME_TYPE_INCOMPATIBLE_PARAMS or INCOMPATIBLE.
        """
        first, second = type(self), type(other)
        if first is second:
            result = Comparison.SAME
        elif first is Void or second is Void:
            return Comparison.SAME
        elif issubclass(first, second):
            result = Comparison.LESS
        elif issubclass(second, first):
            result = Comparison.GREATER
        else:
            return Comparison.INCOMPATIBLE
        if self.fields is not None and other.fields is not None and self.fields != other.fields:
            return Comparison.INCOMPATIBLE
        return Comparison.SAME_TYPE_INCOMPATIBLE_PARAMS if self.conflicts(other) else result

    def conflicts(self, other: ElementType) -> dict[str, tuple[Any, Any]]:
        """Return the parameters that both types fix, to different values: name -> (mine, the other's)."""
        theirs = other.type_parameters
        return {
            name: (value, theirs[name])
            for name, value in self.type_parameters.items()
            if value is not None and theirs.get(name) is not None and theirs[name] != value
        }

    def __str__(self) -> str:
        known = [f"{name}={value!r}" for name, value in self.type_parameters.items() if value is not None]
        return f"{type(self).__name__}({', '.join(known)})" if known else type(self).__name__

    def __repr__(self) -> str:
        text = str(self)
        return text if text.endswith(")") else f"{text}()"


class Void(ElementType):
    """Left unsaid: agrees with every element type, in both directions."""


# --- Continuous features -----------------------------------------------------------------------------------------


class Channel(ElementType):
    """Values along a feature (channel) axis."""


class EmbeddedText(Channel):
    """Embeddings of text tokens."""


class EncodedRepresentation(Channel):
    """Hidden states of some encoder."""


class AcousticEncoded(EncodedRepresentation):
    """Hidden states of an acoustic encoder."""


class Spectrogram(Channel):
    """Time-frequency representation of a signal."""


class MelSpectrogram(Spectrogram):
    """(Log-)mel spectrogram with ``n_mels`` bands.

    What turns a spectrogram into audio has to know how it was made; the other parameters say so: rate of the audio and
    frequencies in Hz, window and hop in samples, the power of the magnitudes, and whether they are logarithms.
    """

    n_mels: int | None = None
    sample_rate: int | None = None
    hop_length: int | None = None
    win_length: int | None = None
    fmin: float | None = None
    fmax: float | None = None
    power: float | None = None
    log: bool | None = None


class MFCC(Spectrogram):
    """``n_mfcc`` mel-frequency cepstral coefficients."""

    n_mfcc: int | None = None


# --- Scores over classes -----------------------------------------------------------------------------------------


class Logits(ElementType):
    """Unnormalised scores."""


class Probs(ElementType):
    """Probabilities, in [0, 1]."""


class LogProbs(ElementType):
    """Natural logarithms of probabilities."""


# --- Labels and predictions --------------------------------------------------------------------------------------


class Labels(ElementType):
    """Class indices or other reference labels."""


class Hypothesis(Labels):
    """Decoded output together with its scores."""


class Predictions(Labels):
    """What a model predicts."""


class RegressionValues(Predictions):
    """Predicted real numbers."""


class CategoricalValues(Predictions):
    """Predicted classes."""


class Mask(Predictions):
    """True where an element counts."""


class Lengths(ElementType):
    """Number of valid steps of each item of a batch."""


class Loss(ElementType):
    """A scalar to minimise."""


class Index(ElementType):
    """Position of an item in a data set."""


class Target(ElementType):
    """Reference a prediction is compared with."""


class ClassificationTarget(Target):
    """Reference class index."""


# --- Signals -----------------------------------------------------------------------------------------------------


class AudioSignal(ElementType):
    """Waveform sampled at ``freq`` Hz."""

    freq: int | None = None


class VideoSignal(ElementType):
    """Pictures at ``fps`` frames per second."""

    fps: int | None = None


class ImageValue(ElementType):
    """Pixel values, in [0, 255]."""


class NormalizedImageValue(ImageValue):
    """Pixel values scaled to [0, 1]."""


class ImageFeatureValue(ElementType):
    """Features computed from images."""


# --- Plain values ------------------------------------------------------------------------------------------------


class String(ElementType):
    """Text."""


class StringLabel(String):
    """Text used as a label."""


class Bool(ElementType):
    """True or false."""


class Int(ElementType):
    """Whole numbers."""


class TokenIndex(Int):
    """Indices into a vocabulary."""


class Length(Int):
    """One length."""


class Float(ElementType):
    """Real numbers."""


# --- Distributions, alignments, flows ----------------------------------------------------------------------------


class ProbabilityDistributionSamples(ElementType):
    """Samples of a distribution."""


class NormalDistributionSamples(ProbabilityDistributionSamples):
    """Samples of a normal distribution."""


class NormalDistributionMean(ElementType):
    """Means of normal distributions."""


class NormalDistributionLogVariance(ElementType):
    """Natural logarithms of variances of normal distributions."""


class SequenceToSequenceAlignment(ElementType):
    """How much each step of one sequence belongs to each step of another."""


class TokenDuration(ElementType):
    """Frames that each token lasts."""


class TokenLogDuration(ElementType):
    """Natural logarithm of the frames that each token lasts."""


class LogDeterminant(ElementType):
    """Log-determinant of the Jacobian of an invertible layer."""
