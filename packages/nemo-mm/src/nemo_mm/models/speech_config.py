"""The architecture of a speech-language model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from nemo_core.errors import ConfigError
from nemo_mm.models.multimodal_config import MultimodalConfig

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer
    from nemo_mm.modules.speech_reader import SpeechReader

__all__ = ["SpeechLanguageConfig"]


@dataclass(frozen=True, kw_only=True)
class SpeechLanguageConfig(MultimodalConfig):
    """The architecture of a speech-language model.

    Attributes:
        language: The language model.
        media_token: The token whose places audio takes: ``<audio>``.
        preprocessor: Node of the front end: ``_target_``, the name of a registered module, and its arguments.
        encoder: Node of the encoder likewise: ``asr.ConformerEncoder``, ``asr.ConvASREncoder``, ...
        subsampler, stack, projector_size, scale, dropout: Of :class:`~nemo_mm.modules.speech_reader.SpeechReader`.
        ctc_weight: What a CTC loss on the encoder's frames counts, beside that of the answers: for encoders that are
            trained from nothing. The sum of -log p(transcript), in tokens of the language model, times this weight is
            added to the sum of the answers' losses. The data must have transcripts (``data.transcripts=true``).

    Example:
        >>> config = SpeechLanguageConfig.from_dict({"language": {"vocab_size": 65}, "media_token": 64,
        ...     "preprocessor": {"_target_": "MelSpectrogram", "sample_rate": 8000, "features": 8},
        ...     "encoder": {"_target_": "mm.StridedEncoder", "feat_in": 8, "feat_out": 16}})
        >>> config.samples_per_embedding, SpeechLanguageConfig.from_dict(config.to_dict()) == config
        (640, True)
    """

    preprocessor: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    subsampler: Literal["stack", "conv"] = "stack"
    stack: int = 4
    projector_size: int | None = None
    scale: float = 0.3
    dropout: float = 0.0
    ctc_weight: float = 0.0

    entries: ClassVar[tuple[str, ...]] = ("audio", "audio_length", "audio_counts")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.ctc_weight < float("inf"):
            raise ConfigError(f"model.architecture.ctc_weight is {self.ctc_weight}", hint="0 for none; 0.3, say")
        for name in ("preprocessor", "encoder"):
            node = getattr(self, name)
            if not isinstance(node, Mapping) or "_target_" not in node:
                raise ConfigError(
                    f"model.architecture.{name} is not given",
                    hint="name a module, such as asr.ConformerEncoder, or take it from init_from.reader=MODEL.nemo",
                )

    @classmethod
    def read(cls, architecture: Any, tokenizer: Tokenizer | None, *, preview: bool = False) -> Self:
        """Return the configuration that ``architecture`` describes; modules in it may be built already."""
        if isinstance(architecture, Mapping):
            architecture = {name: _node(value) for name, value in architecture.items()}
        return super().read(architecture, tokenizer, preview=preview)

    def make_reader(self) -> SpeechReader:
        """Return the reader, with new weights.

        Raises:
            UntrustedTargetError: A node names what is no registered component.
            ConfigError: It cannot be built.
        """
        from nemo_mm.modules.speech_reader import SpeechReader

        return SpeechReader(
            _built(self.preprocessor, "preprocessor"),
            _built(self.encoder, "encoder"),
            self.hidden_size,
            subsampler=self.subsampler,
            stack=self.stack,
            projector_size=self.projector_size,
            scale=self.scale,
            dropout=self.dropout,
            ctc_classes=self.vocab_size if self.ctc_weight else None,
            ctc_weight=self.ctc_weight,
        )

    @property
    def samples_per_embedding(self) -> int:
        """How many samples an embedding stands for."""
        import torch

        with torch.device("meta"):
            return self.make_reader().samples_per_embedding

    @property
    def sample_rate(self) -> int:
        """Of the audio, Hz."""
        import torch

        with torch.device("meta"):
            return int(_built(self.preprocessor, "preprocessor").sample_rate)


def _node(value: Any) -> Any:
    """Return the node of a module that a recipe has built, and anything else as it is."""
    to_config = getattr(value, "to_config", None)
    return to_config() if to_config is not None and not isinstance(value, type) else value


def _built(node: Mapping[str, Any], name: str) -> Any:
    from nemo_core.config import Trust, instantiate

    return instantiate(dict(node), trust=Trust.archive(), at=f"model.architecture.{name}")
