"""Speech recognition out of typed neural modules.

>>> import nemo_asr
>>> nemo_asr.CharTokenizer(" abc").encode("cab")
[3, 1, 2]
"""

from nemo_core._lazy import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CTCDecoder": ".modules",
        "CTCModel": ".models",
        "CharTokenizer": ".tokenizers",
        "ConvASREncoder": ".modules",
        "Hypothesis": ".decoding",
        "MelSpectrogram": ".modules",
        "SpecAugment": ".modules",
        "SpeechData": ".data",
        "SpeechDataset": ".data",
        "read_audio": ".data",
        "restore": ".models",
        "transcribe": ".transcription",
    },
)
