"""Mixtures of experts in ``config.json``: which layers have them, and what DeepSeek says about its router."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nemo_core.errors import ConfigError
from nemo_llm.hf.keys import ConfigFile, Found, Translator, ours

if TYPE_CHECKING:
    from nemo_llm.models.config import ModelConfig

__all__ = ["FirstDense", "Groups", "SharedExperts", "SparseLayers"]


class SparseLayers(Translator):
    """Which layers have experts, as Qwen says it: every ``decoder_sparse_step``-th, but for ``mlp_only_layers``."""

    def read(self, file: ConfigFile, found: Found) -> None:  # noqa: D102
        step = file.take("decoder_sparse_step", kind="int", default=1)
        dense = set(file.take("mlp_only_layers", kind="list", default=[]))
        layers = range(found["num_layers"])
        found["experts.dense_layers"] = tuple(n for n in layers if n in dense or (n + 1) % max(1, step))

    def write(self, config: ModelConfig, out: Found) -> None:  # noqa: D102
        out["decoder_sparse_step"] = 1
        out["mlp_only_layers"] = list(ours(config, "experts.dense_layers"))


class FirstDense(Translator):
    """Which layers have experts, as DeepSeek says it: all from ``first_k_dense_replace`` on."""

    def __init__(self, default: int) -> None:
        self.default = default

    def read(self, file: ConfigFile, found: Found) -> None:  # noqa: D102
        first = file.take("first_k_dense_replace", kind="int", default=self.default)
        found["experts.dense_layers"] = tuple(range(min(first, found["num_layers"])))

    def write(self, config: ModelConfig, out: Found) -> None:  # noqa: D102
        dense = ours(config, "experts.dense_layers")
        if dense != tuple(range(len(dense))):
            raise ConfigError(f"experts.dense_layers is {list(dense)}; in this architecture the first layers are dense")
        out["first_k_dense_replace"] = len(dense)


@dataclass(frozen=True)
class SharedExperts(Translator):
    """The shared expert of DeepSeek: ``n_shared_experts`` times as large as a routed one."""

    default: int

    def read(self, file: ConfigFile, found: Found) -> None:  # noqa: D102
        count = file.take("n_shared_experts", kind="int", default=self.default)
        found["experts.shared_ffn_size"] = count * found["experts.ffn_size"] or None

    def write(self, config: ModelConfig, out: Found) -> None:  # noqa: D102
        size, each = ours(config, "experts.shared_ffn_size") or 0, ours(config, "experts.ffn_size")
        if size < each or size % each:
            raise ConfigError(
                f"experts.shared_ffn_size is {size or None}; in this architecture it is a multiple of "
                f"experts.ffn_size, {each}"
            )
        out["n_shared_experts"] = size // each


@dataclass(frozen=True)
class Groups(Translator):
    """Groups of experts, of which the best are chosen first.

    Attributes:
        method: Whether the key ``topk_method`` says if there are groups (DeepSeek-V2); otherwise there are always.
        count, chosen: Where the file does not say.
    """

    method: bool = False
    count: int = 8
    chosen: int = 4

    def read(self, file: ConfigFile, found: Found) -> None:  # noqa: D102
        count = file.take("n_group", kind="int", default=1 if self.method else self.count)
        chosen = file.take("topk_group", kind="int", default=1 if self.method else self.chosen)
        if self.method:
            known = ("greedy", "group_limited_greedy")
            method = file.take("topk_method", kind="str", default="greedy")
            if method not in known:
                raise file.error(
                    "topk_method",
                    f"is {method!r}, which nemo-llm does not compute",
                    f"it computes {' or '.join(known)}",
                )
            count = 1 if method == "greedy" else count
        if count > 1:
            found["experts.groups"], found["experts.groups_per_token"] = count, chosen

    def write(self, config: ModelConfig, out: Found) -> None:  # noqa: D102
        groups = ours(config, "experts.groups")
        if self.method:
            out["topk_method"] = "group_limited_greedy" if groups else "greedy"
        out["n_group"] = groups or 1
        out["topk_group"] = ours(config, "experts.groups_per_token") or 1
