"""Models of speech recognition."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.models.ctc import CTCModel as CTCModel
    from nemo_asr.models.loading import restore as restore
    from nemo_asr.models.recognizer import SpeechRecognizer as SpeechRecognizer

__getattr__, __dir__ = attach(__name__)
