"""How good a recogniser is."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.metrics.error_rate import CharErrorRate as CharErrorRate
    from nemo_asr.metrics.error_rate import ErrorRate as ErrorRate
    from nemo_asr.metrics.error_rate import WordErrorRate as WordErrorRate

__getattr__, __dir__ = attach(__name__)
