"""What speech synthesis is trained on: utterances with text, pitch and energy."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_tts.data.digits import SpokenDigits as SpokenDigits
    from nemo_tts.data.digits import load_digits as load_digits
    from nemo_tts.data.features import SpeechFeatures as SpeechFeatures
    from nemo_tts.data.manifest_data import ManifestSpeech as ManifestSpeech
    from nemo_tts.data.pitch import track_pitch as track_pitch
    from nemo_tts.data.spoken import Spoken as Spoken
    from nemo_tts.data.synthesis_data import TextToSpeechData as TextToSpeechData
    from nemo_tts.data.synthesis_data import VocoderData as VocoderData

__getattr__, __dir__ = attach(__name__)
