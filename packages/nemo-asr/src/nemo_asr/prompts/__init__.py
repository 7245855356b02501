"""What a model is told to do, as tokens that its decoder reads first."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.prompts.base import PromptFormat as PromptFormat
    from nemo_asr.prompts.base import Slot as Slot
    from nemo_asr.prompts.canary import Canary2Prompt as Canary2Prompt
    from nemo_asr.prompts.canary import CanaryPrompt as CanaryPrompt

__getattr__, __dir__ = attach(__name__)
