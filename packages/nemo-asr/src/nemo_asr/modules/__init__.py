"""Typed neural modules of speech recognition."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CTCDecoder": ".ctc_decoder",
        "ConvASREncoder": ".conv_encoder",
        "MelSpectrogram": ".mel",
        "SpecAugment": ".spec_augment",
    },
)
