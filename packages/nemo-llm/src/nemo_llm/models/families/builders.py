"""A function for each family, for recipes: ``architecture: {_target_: llm.llama, size: 3.2-1b}``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nemo_llm.models.config import ModelConfig
from nemo_llm.models.families import FAMILIES, get


def _builder(name: str) -> Callable[..., ModelConfig]:
    def build(size: str = "tiny", **overrides: Any) -> ModelConfig:
        return get(name).config(size, **overrides)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""Return the architecture of a model of the family: {FAMILIES[name]}.

    Args:
        size: One of those published (:mod:`nemo_llm.models.families`), or ``tiny``.
        overrides: Other values of a :class:`~nemo_llm.models.config.ModelConfig`.

    Raises:
        ConfigError: There is no such size, or a value is not known or does not fit.
    """
    return build


gpt2 = _builder("gpt2")
llama = _builder("llama")
mistral = _builder("mistral")
mixtral = _builder("mixtral")
qwen2 = _builder("qwen2")
qwen2_moe = _builder("qwen2_moe")
qwen3 = _builder("qwen3")
qwen3_moe = _builder("qwen3_moe")
gemma = _builder("gemma")
gemma2 = _builder("gemma2")
gemma3 = _builder("gemma3")
phi3 = _builder("phi3")
deepseek_v2 = _builder("deepseek_v2")
deepseek_v3 = _builder("deepseek_v3")
