"""How good answers, captions and made images are."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_mm.evaluation.fidelity import Fidelity as Fidelity
    from nemo_mm.evaluation.fidelity import measure_fidelity as measure_fidelity
    from nemo_mm.evaluation.frechet import frechet_distance as frechet_distance

__getattr__, __dir__ = attach(__name__)
