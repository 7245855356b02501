"""Architectures of language models as data, and how the engine's models are built from them."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_llm.models.config import Experts as Experts
    from nemo_llm.models.config import LatentAttention as LatentAttention
    from nemo_llm.models.config import ModelConfig as ModelConfig
    from nemo_llm.models.config import Rope as Rope
    from nemo_llm.models.counting import count_parameters as count_parameters
    from nemo_llm.models.counting import flops_per_token as flops_per_token
    from nemo_llm.models.engine_configs import engine_config as engine_config
    from nemo_llm.models.gpt import GPT as GPT
    from nemo_llm.models.gpt import build_chunks as build_chunks
    from nemo_llm.models.gpt import build_gpt as build_gpt
    from nemo_llm.models.initialisation import initialise as initialise

__getattr__, __dir__ = attach(__name__)
