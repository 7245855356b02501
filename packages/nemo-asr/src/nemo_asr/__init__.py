"""Speech recognition out of typed neural modules.

>>> import nemo_asr
>>> nemo_asr.CharTokenizer(" abc").encode("cab")
[3, 1, 2]
"""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nemo_asr.data import SpeechData as SpeechData
    from nemo_asr.data import SpeechDataset as SpeechDataset
    from nemo_asr.data import read_audio as read_audio
    from nemo_asr.decoding import Hypothesis as Hypothesis
    from nemo_asr.models import ClassificationModel as ClassificationModel
    from nemo_asr.models import CTCModel as CTCModel
    from nemo_asr.models import SpeakerModel as SpeakerModel
    from nemo_asr.models import restore as restore
    from nemo_asr.modules import MFCC as MFCC
    from nemo_asr.modules import ConformerEncoder as ConformerEncoder
    from nemo_asr.modules import ConvASREncoder as ConvASREncoder
    from nemo_asr.modules import ConvClassifier as ConvClassifier
    from nemo_asr.modules import CTCDecoder as CTCDecoder
    from nemo_asr.modules import MelSpectrogram as MelSpectrogram
    from nemo_asr.modules import SpeakerDecoder as SpeakerDecoder
    from nemo_asr.modules import SpecAugment as SpecAugment
    from nemo_asr.tokenizers import CharTokenizer as CharTokenizer
    from nemo_asr.tokenizers import SentencePieceTokenizer as SentencePieceTokenizer
    from nemo_asr.transcription import transcribe as transcribe

__getattr__, __dir__ = attach(__name__)
