"""Models of speech recognition."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__, {"CTCModel": ".ctc", "SpeechRecognizer": ".recognizer", "restore": ".restore"}
)
