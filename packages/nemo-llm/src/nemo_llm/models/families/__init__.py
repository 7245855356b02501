"""Families of decoder-only models, as data: a file each, with what all its sizes share and the published sizes.

>>> llama = get("llama")
>>> config = llama.config("3.2-1b")
>>> config.num_layers, config.num_parameters
(16, 1235814400)
>>> llama.config("3.2-1b", vocab_size=32000, num_layers=2).family
'llama'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean
from nemo_llm.models.config import ModelConfig

__all__ = ["FAMILIES", "Family", "get"]

#: Names and what they are; the data is in a file of the same name.
FAMILIES: Mapping[str, str] = {
    "gpt2": "GPT-2",
    "llama": "Llama 2, 3, 3.1, 3.2 and 3.3",
    "mistral": "Mistral: sliding windows, grouped queries",
    "mixtral": "Mixtral: Mistral with a mixture of experts",
    "qwen2": "Qwen 2 and 2.5",
    "qwen2_moe": "Qwen 1.5 and 2 with a mixture of experts and a shared one",
    "qwen3": "Qwen 3",
    "qwen3_moe": "Qwen 3 with a mixture of experts",
    "gemma": "Gemma",
    "gemma2": "Gemma 2: soft-capped, a window in every other layer",
    "gemma3": "Gemma 3, text only: a window in five of six layers",
    "phi3": "Phi-3 and Phi-4",
    "deepseek_v2": "DeepSeek-V2: latent attention, groups of experts",
    "deepseek_v3": "DeepSeek-V3: latent attention, experts balanced by a bias",
}


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        name: As :attr:`ModelConfig.family <nemo_llm.models.config.ModelConfig.family>` has it.
        summary: What it is, for people.
        source: Where its sizes are published.
        defaults: What all sizes share: values of a :class:`~nemo_llm.models.config.ModelConfig`.
        sizes: What each adds; ``tiny`` is for tests.
    """

    name: str
    summary: str
    source: str
    defaults: Mapping[str, Any]
    sizes: Mapping[str, Mapping[str, Any]]

    def config(self, size: str = "tiny", **overrides: Any) -> ModelConfig:
        """Return the architecture of one size.

        Args:
            size: Of :attr:`sizes`.
            overrides: Other values of the architecture.

        Raises:
            ConfigError: There is no such size, or a value is not known or does not fit.

        >>> get("llama").config("3.2-1B")
        Traceback (most recent call last):
        nemo_core.errors.ConfigError: llama has no size '3.2-1B'
          did you mean 3.2-1b, ...
        """
        if size not in self.sizes:
            hint = did_you_mean(size, self.sizes) or f"there are: {', '.join(self.sizes)}"
            raise ConfigError(f"{self.name} has no size {size!r}", hint=hint)
        values = {**self.defaults, **self.sizes[size], **overrides, "family": self.name}
        if values.get("embedding_scale") == "root":  # of the hidden size, whatever that is
            values["embedding_scale"] = float(values["hidden_size"]) ** 0.5
        return ModelConfig.from_dict(values)


def get(name: str) -> Family:
    """Return a family.

    Raises:
        ConfigError: There is none of this name.
    """
    import yaml

    if name not in FAMILIES:
        hint = did_you_mean(name, FAMILIES) or f"there are: {', '.join(FAMILIES)}"
        raise ConfigError(f"there is no family {name!r}", hint=hint)
    data = yaml.safe_load(files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    return Family(name, FAMILIES[name], data["source"], data["defaults"], data["sizes"])
