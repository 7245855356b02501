"""How good synthesised speech is: distances to recordings, intelligibility, likeness of voices, a report."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_tts.evaluation.evaluate import Evaluation as Evaluation
    from nemo_tts.evaluation.evaluate import evaluate as evaluate
    from nemo_tts.evaluation.measures import Distances as Distances
    from nemo_tts.evaluation.measures import compare_speech as compare_speech
    from nemo_tts.evaluation.roundtrip import word_errors as word_errors

__getattr__, __dir__ = attach(__name__)
