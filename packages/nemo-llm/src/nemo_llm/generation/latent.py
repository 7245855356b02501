"""Multi-head latent attention over latent vectors: they are what is kept, and never become keys and values.

The matrix that would make keys of them is applied to the queries instead, the one for values to what attention returns
(DeepSeek-V2, arXiv:2405.04434, 2.1.2): the cache of a token is ``kv_rank + rope_dim`` numbers for all heads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

from nemo_llm.generation.attention import Step, attend, rotate
from nemo_llm.generation.cache import LayerCache
from nemo_llm.generation.linear import Matrix
from nemo_llm.generation.norm import norm
from nemo_llm.models.config import ModelConfig

__all__ = ["LatentSelfAttention"]


class LatentSelfAttention:
    """Attention of new tokens, from the engine's ``MLASelfAttention``.

    Args:
        module: Of the engine.
        model: The architecture.
        kind: Which of a step's rotations is its.
        pack: See :class:`~nemo_llm.generation.linear.Weight`.
    """

    def __init__(self, module: Any, model: ModelConfig, kind: int, *, pack: bool = False) -> None:
        assert model.latent is not None
        latent = model.latent
        self.rank, self.plain, self.rope, self.value = (
            latent.kv_rank,
            latent.nope_dim,
            latent.rope_dim,
            latent.value_dim,
        )
        self.group = module.linear_kv_down_proj.tp_group
        self.heads = model.num_heads // self.group.size()
        self.scale, self.kind, self.interleaved = module.softmax_scale, kind, model.rope.interleaved
        self.rotates = model.positions == "rope"
        if latent.q_rank is None:
            self.queries: tuple[Matrix, ...] = (Matrix(module.linear_q_proj, pack=pack),)
        else:
            down, up = module.linear_q_down_proj, module.linear_q_up_proj
            self.queries = (Matrix(down, pack=pack), Matrix(up, pack=pack))
            self.q_norm = norm(module.q_layernorm)
        self.down, self.kv_norm = Matrix(module.linear_kv_down_proj, pack=pack), norm(module.kv_layernorm)
        both = Matrix(module.linear_kv_up_proj).product.weight.view(self.heads, -1, self.rank)
        self.to_key, self.to_value = both.split([self.plain, self.value], 1)
        self.output = Matrix(module.linear_proj, adds_up=True, pack=pack)

    def __call__(self, x: Tensor, step: Step, cache: LayerCache, last: bool = False) -> Tensor:
        """Return the output (B, n, hidden) for new tokens (B, n, hidden), and keep their latent vectors.

        Args:
            x: Normalised.
            step: What all layers share.
            cache: Of this layer.
            last: Only the last token asks: (B, 1, hidden).
        """
        if len(self.queries) == 2:
            x_queries = self.q_norm(self._whole(self.queries[0](x)))
        else:
            x_queries = x
        heads = self.queries[-1](x_queries).unflatten(-1, (1, self.heads, self.plain + self.rope))
        plain, turned = heads.split([self.plain, self.rope], -1)
        latent, key = self._whole(self.down(x)).split([self.rank, self.rope], -1)
        latent, key = self.kv_norm(latent), key[:, :, None, None]
        if self.rotates:
            turned = rotate(turned, *step.rotations[self.kind], interleaved=self.interleaved)
            key = rotate(key, *step.rotations[self.kind], interleaved=self.interleaved)
        queries = torch.cat((torch.einsum("bnghd,hdr->bnghr", plain, self.to_key), turned), -1)
        new = torch.cat((latent, key[:, :, 0, 0]), -1)[:, None]
        keys, _ = cache.append(new, new[..., :0])
        mask = step.mask(cache, x.device)
        if last:
            queries, mask = queries[:, -1:], None if mask is None else mask[:, :, -1:]
        found = attend(queries, keys, keys, mask, scale=self.scale)
        found = found.unflatten(-1, (self.heads, -1))[..., : self.rank]
        return self.output(torch.einsum("bnhr,hvr->bnhv", found, self.to_value).flatten(2))

    def _whole(self, x: Tensor) -> Tensor:
        """Return all columns, where each process has made some."""
        if self.group.size() == 1:
            return x
        parts = [torch.empty_like(x) for _ in range(self.group.size())]
        distributed.all_gather(parts, x.contiguous(), group=self.group)
        return torch.cat(parts, -1)
