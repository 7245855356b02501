"""Published sizes of BERT and T5, as data, and a function for each, for recipes.

Sizes of BERT: arXiv:1810.04805 and, the small ones, arXiv:1908.08962; of T5: arXiv:1910.10683 and, 1.1 (Flan-T5 has the
same), its authors' release of 2020.

>>> bert("large").num_parameters, t5("1.1-xxl").num_parameters
(335174458, 11135332352)
>>> t5("small", vocab_size=100).tied_embeddings
True
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean
from nemo_llm.models.bert import BertConfig
from nemo_llm.models.t5 import T5Config

__all__ = ["BERT_SIZES", "T5_SIZES", "bert", "t5"]

#: hidden_size, num_layers, num_heads
BERT_SIZES: Mapping[str, tuple[int, int, int]] = {
    "tiny": (128, 2, 2),
    "mini": (256, 4, 4),
    "small": (512, 4, 8),
    "medium": (512, 8, 8),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
#: hidden_size, num_layers of either stack, num_heads, head_dim, ffn_size
T5_SIZES: Mapping[str, tuple[int, int, int, int, int]] = {
    "small": (512, 6, 8, 64, 2048),
    "base": (768, 12, 12, 64, 3072),
    "large": (1024, 24, 16, 64, 4096),
    "3b": (1024, 24, 32, 128, 16384),
    "11b": (1024, 24, 128, 128, 65536),
    "tiny": (64, 2, 4, 16, 128),
    "1.1-small": (512, 8, 6, 64, 1024),
    "1.1-base": (768, 12, 12, 64, 2048),
    "1.1-large": (1024, 24, 16, 64, 2816),
    "1.1-xl": (2048, 24, 32, 64, 5120),
    "1.1-xxl": (4096, 24, 64, 64, 10240),
}
_FIRST = ("small", "base", "large", "3b", "11b")


def bert(size: str = "base", **overrides: Any) -> BertConfig:
    """Return the architecture of a BERT.

    Args:
        size: One of :data:`BERT_SIZES`.
        overrides: Other values of a :class:`~nemo_llm.models.bert.BertConfig`.

    Raises:
        ConfigError: There is no such size, or a value is not known or does not fit.
    """
    hidden, layers, heads = _size("BERT", size, BERT_SIZES)
    sizes = {"hidden_size": hidden, "num_layers": layers, "num_heads": heads, "ffn_size": 4 * hidden}
    return BertConfig.from_dict({"vocab_size": 30522, **sizes, **overrides})


def t5(size: str = "1.1-base", **overrides: Any) -> T5Config:
    """Return the architecture of a T5.

    Args:
        size: One of :data:`T5_SIZES`; 1.1 has gated feed-forward parts and an output layer of its own.
        overrides: Other values of a :class:`~nemo_llm.models.t5.T5Config`.

    Raises:
        ConfigError: There is no such size, or a value is not known or does not fit.
    """
    hidden, layers, heads, head, ffn = _size("T5", size, T5_SIZES)
    sizes = {"hidden_size": hidden, "num_layers": layers, "num_heads": heads, "head_dim": head, "ffn_size": ffn}
    first = {"gated": False, "activation": "relu", "tied_embeddings": True} if size in _FIRST else {"dropout": 0.0}
    return T5Config.from_dict({"vocab_size": 32128, **sizes, **first, **overrides})


def _size(name: str, size: str, sizes: Mapping[str, Any]) -> Any:
    if size not in sizes:
        hint = did_you_mean(size, sizes) or f"there are: {', '.join(sizes)}"
        raise ConfigError(f"{name} has no size {size!r}", hint=hint)
    return sizes[size]
