"""Speech as recognition and synthesis share it: audio files, manifests and mel spectrograms.

Reading audio needs libsndfile and soxr, which come with the extra ``nemo-core[audio]``.
"""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.audio.files import AUDIO_SUFFIXES as AUDIO_SUFFIXES
    from nemo_core.audio.files import audio_duration as audio_duration
    from nemo_core.audio.files import prepare_samples as prepare_samples
    from nemo_core.audio.files import read_audio as read_audio
    from nemo_core.audio.front_end import FrontEnd as FrontEnd
    from nemo_core.audio.manifest import Manifest as Manifest
    from nemo_core.audio.manifest import ManifestEntry as ManifestEntry
    from nemo_core.audio.manifest import write_manifest as write_manifest
    from nemo_core.audio.mel import MelSpectrogram as MelSpectrogram
    from nemo_core.audio.mel import mel_filterbank as mel_filterbank
    from nemo_core.audio.mel import normalize_features as normalize_features
    from nemo_core.audio.sources import Source as Source
    from nemo_core.audio.sources import find_sources as find_sources
    from nemo_core.audio.sources import unique_names as unique_names

__getattr__, __dir__ = attach(__name__)
