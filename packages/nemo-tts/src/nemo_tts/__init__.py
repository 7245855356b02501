"""Speech synthesis out of typed neural modules."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nemo_tts.models import FastPitch as FastPitch
    from nemo_tts.models import GriffinLim as GriffinLim
    from nemo_tts.models import HiFiGan as HiFiGan
    from nemo_tts.models import restore as restore

__getattr__, __dir__ = attach(__name__)
