"""What tests of models and strategies need, ours and a plugin author's."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_llm.testing.ranks import Ranks as Ranks
    from nemo_llm.testing.steps import train_steps as train_steps

__getattr__, __dir__ = attach(__name__)
