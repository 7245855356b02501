"""Processes that turn images into noise, and the samplers that go the other way."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_mm.diffusion.flow_matching import FlowMatching as FlowMatching
    from nemo_mm.diffusion.gaussian import GaussianDiffusion as GaussianDiffusion
    from nemo_mm.diffusion.guidance import guided as guided
    from nemo_mm.diffusion.noise import SeededNoise as SeededNoise
    from nemo_mm.diffusion.process import Process as Process

__getattr__, __dir__ = attach(__name__)
