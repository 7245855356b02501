"""Speech data: manifests, audio files, data sets and batches."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.data.batch import SpeechBatch as SpeechBatch
    from nemo_asr.data.batch import Utterance as Utterance
    from nemo_asr.data.batch import collate_speech as collate_speech
    from nemo_asr.data.digits import ConnectedDigits as ConnectedDigits
    from nemo_asr.data.speech_data import SpeechData as SpeechData
    from nemo_asr.data.speech_dataset import SpeechDataset as SpeechDataset
    from nemo_core.audio.files import audio_duration as audio_duration
    from nemo_core.audio.files import read_audio as read_audio
    from nemo_core.audio.manifest import Manifest as Manifest
    from nemo_core.audio.manifest import ManifestEntry as ManifestEntry
    from nemo_core.audio.manifest import write_manifest as write_manifest

__getattr__, __dir__ = attach(__name__)
