"""Turning audio into text."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.transcription.cues import CueLimits as CueLimits
    from nemo_asr.transcription.cues import split_into_cues as split_into_cues
    from nemo_asr.transcription.formats import FORMATS as FORMATS
    from nemo_asr.transcription.run import transcribe as transcribe
    from nemo_asr.transcription.writers import write as write
    from nemo_core.audio.sources import Source as Source
    from nemo_core.audio.sources import find_sources as find_sources

__getattr__, __dir__ = attach(__name__)
