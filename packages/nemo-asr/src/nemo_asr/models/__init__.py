"""Models of speech recognition."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.models.audio_classifier import AudioClassifier as AudioClassifier
    from nemo_asr.models.audio_classifier import Classification as Classification
    from nemo_asr.models.classification import ClassificationModel as ClassificationModel
    from nemo_asr.models.ctc import CTCModel as CTCModel
    from nemo_asr.models.hybrid import HybridModel as HybridModel
    from nemo_asr.models.loading import restore as restore
    from nemo_asr.models.multitask import MultitaskModel as MultitaskModel
    from nemo_asr.models.recognizer import SpeechRecognizer as SpeechRecognizer
    from nemo_asr.models.speaker import SpeakerModel as SpeakerModel
    from nemo_asr.models.speech_model import SpeechModel as SpeechModel
    from nemo_asr.models.transducer import TransducerModel as TransducerModel

__getattr__, __dir__ = attach(__name__)
