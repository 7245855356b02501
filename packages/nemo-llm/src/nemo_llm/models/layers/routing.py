"""Which experts a token visits, where the engine's choice among groups of them is not the published one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from megatron.core.transformer.moe.router import TopKRouter
from torch import Tensor

__all__ = ["Router", "choose_in_groups"]


def choose_in_groups(
    scores: Tensor, count: int, groups: int, groups_per_token: int, best: int
) -> tuple[Tensor, Tensor]:
    """Choose experts from each token's best groups of experts only (DeepSeek-V2, arXiv:2405.04434, 2.2.2).

    Args:
        scores: ``(N, E)``.
        count: Experts of each token.
        groups: Equal groups that the experts are divided into.
        groups_per_token: How many of them to choose from.
        best: A group is as good as the sum of so many of its best scores: 1 in DeepSeek-V2, 2 in V3.

    Returns:
        Scores and indices of those chosen, ``(N, count)``.

    >>> scores = torch.tensor([[0.9, 0.0, 0.5, 0.5]])
    >>> choose_in_groups(scores, 1, 2, 1, best=1)[1], choose_in_groups(scores, 1, 2, 1, best=2)[1]
    (tensor([[0]]), tensor([[2]]))
    """
    N, E = scores.shape
    quality = scores.view(N, groups, E // groups).topk(best, dim=-1).values.sum(-1)
    chosen = torch.zeros_like(quality, dtype=torch.bool)
    chosen.scatter_(1, quality.topk(groups_per_token, dim=-1, sorted=False).indices, True)
    open_to = chosen[..., None].expand(N, groups, E // groups).reshape(N, E)
    _, indices = scores.masked_fill(~open_to, float("-inf")).topk(count, dim=-1)
    return scores.gather(1, indices), indices


class _Choice:
    """What the engine asks for the chosen experts in the place of its own top-k."""

    def __init__(self, best: int) -> None:
        self.best = best

    def get_replay_topk(
        self, scores: Tensor, count: int, groups: int | None, groups_per_token: int | None, usual: Callable[..., Any]
    ) -> tuple[Tensor, Tensor]:
        if not groups or not groups_per_token:
            return usual(scores, count)
        return choose_in_groups(scores, count, groups, groups_per_token, self.best)


class Router(TopKRouter):
    """The engine's router, with groups of experts chosen as the models that have them do."""

    def __init__(self, config: Any, pg_collection: Any = None) -> None:
        super().__init__(config=config, pg_collection=pg_collection)
        self.router_replay: Any
        if config.moe_router_num_groups and self.router_replay is None:
            self.router_replay = _Choice(best=2 if config.moe_router_score_function == "sigmoid" else 1)
