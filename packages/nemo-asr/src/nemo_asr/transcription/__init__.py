"""Turning audio into text."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.transcription.run import transcribe as transcribe
    from nemo_asr.transcription.sources import Source as Source
    from nemo_asr.transcription.sources import find_sources as find_sources

__getattr__, __dir__ = attach(__name__)
