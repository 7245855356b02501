"""The seam to Megatron-core: layouts, the engine and how it runs without a GPU, the strategy, checkpoints."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_llm.megatron.layout import Layout as Layout
    from nemo_llm.megatron.runtime import engine as engine
    from nemo_llm.megatron.runtime import engine_running as engine_running
    from nemo_llm.megatron.runtime import start_engine as start_engine
    from nemo_llm.megatron.runtime import stop_engine as stop_engine
    from nemo_llm.megatron.strategy import MegatronStrategy as MegatronStrategy

__getattr__, __dir__ = attach(__name__)
