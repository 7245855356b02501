"""A language model's forward pass over new tokens only, whatever the family and the layout.

The engine's modules are made for training: they cost more per step than the arithmetic of a few tokens. This reads
their weights and computes the same; it shares their norms, routers and activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from nemo_core.errors import ConfigError
from nemo_llm.generation.attention import SelfAttention, Step
from nemo_llm.generation.cache import LayerCache
from nemo_llm.generation.feed_forward import feed_forward
from nemo_llm.generation.linear import Weight
from nemo_llm.generation.norm import norm
from nemo_llm.generation.rotations import Rotations
from nemo_llm.models.config import ModelConfig

__all__ = ["Decoder", "Replaced"]


class Replaced(NamedTuple):
    """What a prompt has that is no text.

    Attributes:
        places: (K,) in the prompt.
        embeddings: (K, hidden) that stand there; None in processes that have no embedding.
        positions: (n, 3) of all tokens of the prompt, in models whose positions have three parts.
    """

    places: Tensor
    embeddings: Tensor | None
    positions: Tensor | None = None


#: Tokens of each prompt that pass through the model at a time.
_PREFILL = 512


class Decoder:
    """The next token's logits of several texts, step by step.

    All processes of a layout call it alike, and all get the same. Weights are read when it is made.

    Args:
        chunks: This process's parts of the model.
        config: The architecture.
        pack: Lay weights out for few rows; see :class:`~nemo_llm.generation.linear.Weight`.

    Raises:
        ConfigError: The engine does not run, or the model is no decoder.

    Example:
        >>> from nemo_llm.megatron import engine
        >>> from nemo_llm.models import build_gpt
        >>> config = ModelConfig(vocab_size=65, hidden_size=32, num_layers=1, num_heads=2, ffn_size=64)
        >>> with engine(seed=1):
        ...     decoder = Decoder([build_gpt(config)], config)
        ...     decoder.start([[1, 2, 3], [4]], max_tokens=8).shape, decoder.step(torch.tensor([5, 6])).shape
        (torch.Size([2, 65]), torch.Size([2, 65]))
    """

    def __init__(self, chunks: Sequence[nn.Module], config: ModelConfig, *, pack: bool = False) -> None:
        self.config = config
        self.parts = [_Part(_inner(chunk), config, pack) for chunk in chunks]
        first = self.parts[0]
        self.device, self.dtype = first.device, first.dtype
        self.tensor_group: Any = first.tensor_group
        self.pipeline = _Pipeline()
        self.caches: list[list[LayerCache]] = []
        self.rotations: Rotations | None = None
        self.columns = 0
        self.padding: Tensor | None = None
        self.behind: Tensor | None = None  # (B, 1), what positions of new tokens are more than their place

    @torch.inference_mode()
    def start(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, replaced: Sequence[Replaced | None] = ()
    ) -> Tensor:
        """Begin with prompts of any lengths, and return the logits (B, V) after each.

        Args:
            prompts: Tokens, at least one each.
            max_tokens: How many more will come at most.
            replaced: For each prompt: which of its embeddings are others than those of its tokens. Used in the first
                stage of a pipeline.
        """
        longest = max(map(len, prompts))
        rows = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        tokens = torch.tensor(rows, dtype=torch.long, device=self.device)
        padding = torch.tensor([longest - len(prompt) for prompt in prompts], device=self.device)
        self.padding = padding if bool(padding.any()) else None
        if self.config.positions == "rope":
            lengths = [len(prompt) + max_tokens for prompt in prompts]
            self.rotations = Rotations(self.config, lengths, self.dtype, self.device)
        self.caches = [[LayerCache(layer.window) for layer in part.layers] for part in self.parts]
        self.columns = 0
        others = _Others(replaced, [longest - len(prompt) for prompt in prompts], self.device, self.dtype)
        self.behind = None
        table = self._positions(replaced, [len(prompt) for prompt in prompts])
        for start in range(0, longest, _PREFILL):
            end = start + _PREFILL
            logits = self._forward(tokens[:, start:end], others, None if table is None else table[:, start:end])
        if table is not None:
            counts = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
            self.behind = (table.flatten(1).amax(1) + 1 - counts)[:, None]
        return logits

    def _positions(self, replaced: Sequence[Replaced | None], lengths: Sequence[int]) -> Tensor | None:
        """Return the positions (B, n, 3) of prompts, where any has such of three parts."""
        if all(each is None or each.positions is None for each in replaced):
            return None
        rows = torch.zeros(len(lengths), max(lengths), 3, dtype=torch.long)
        for row, length in enumerate(lengths):
            given = replaced[row]
            own = None if given is None else given.positions
            rows[row, -length:] = torch.arange(length)[:, None] if own is None else own.cpu()
        return rows.to(self.device)

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """Take one more token of each row (B), and return the logits (B, V) after it."""
        return self._forward(tokens[:, None])

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        index = torch.tensor(rows, device=self.device)
        first = 0
        if self.padding is not None:
            padding = self.padding[index]
            first = int(padding.min())
            self.padding = padding if bool(padding.any()) else None
        if self.rotations is not None:
            self.rotations.select(index)
        if self.behind is not None:
            self.behind = self.behind[index]
        for caches in self.caches:
            for cache in caches:
                cache.select(index, first)

    def _forward(self, tokens: Tensor, others: _Others | None = None, table: Tensor | None = None) -> Tensor:
        count = tokens.shape[1]
        columns = range(self.columns, self.columns + count)
        positions = torch.arange(columns.start, columns.stop, device=self.device)[None]
        if self.padding is not None:
            positions = (positions - self.padding[:, None]).clamp(min=0)
        turned = positions if self.behind is None else positions + self.behind
        if table is not None:
            turned = table
        step = Step(columns, self.padding, () if self.rotations is None else self.rotations(turned))
        shape = (tokens.shape[0], count, self.config.hidden_size)
        hidden: Tensor | None = None
        for part, caches in zip(self.parts, self.caches, strict=True):
            if part.embeds:
                hidden = part.embed(tokens, positions)
                if others is not None:
                    others.put_into(hidden, columns)
            else:
                hidden = self.pipeline.receive(shape, part)
            for layer, cache in zip(part.layers, caches, strict=True):
                # Of what the model's last layer gives only the last token's logits are made.
                hidden = layer(hidden, step, cache, count > 1 and part.ends and layer is part.layers[-1])
            if not part.ends:
                self.pipeline.send(hidden)
        self.columns += count
        part = self.parts[-1]
        logits = part.logits(hidden[:, -1]) if part.ends and hidden is not None else None
        return self.pipeline.share(logits, (shape[0], self.config.vocab_size), part)


class _Others:
    """Embeddings in the places of those of tokens.

    Args:
        replaced: Of each prompt; none at all where it is empty.
        padding: Columns of padding at the left of each.
        device: Where they are needed.
        dtype: Of the embeddings.
    """

    def __init__(
        self, replaced: Sequence[Replaced | None], padding: Sequence[int], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.values: Tensor | None = None
        found = [(row, each) for row, each in enumerate(replaced) if each is not None and len(each.places)]
        values = [each.embeddings for _, each in found if each.embeddings is not None]
        if values:
            self.rows = torch.cat([torch.full((len(each.places),), row) for row, each in found]).to(device)
            self.columns = torch.cat([each.places.cpu() + padding[row] for row, each in found]).to(device)
            self.values = torch.cat(values).to(device, dtype)

    def put_into(self, hidden: Tensor, columns: range) -> None:
        """Write those of some columns into their embeddings (B, n, hidden)."""
        if self.values is not None:
            here = (self.columns >= columns.start) & (self.columns < columns.stop)
            hidden[self.rows[here], self.columns[here] - columns.start] = self.values[here]


class _Part:
    """One of the pieces of a model that a process has.

    Args:
        model: The engine's ``GPTModel``.
        config: The architecture.
        pack: See :class:`~nemo_llm.generation.linear.Weight`.
    """

    def __init__(self, model: Any, config: ModelConfig, pack: bool) -> None:
        self.config = config
        self.embeds, self.ends = model.pre_process, model.post_process
        weight = next(model.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.tensor_group = model.pg_collection.tp
        self.processes = self.tensor_group.size()
        if self.embeds:
            self.words = model.embedding.word_embeddings.weight.detach()
            learned = config.positions == "learned"
            self.places = model.embedding.position_embeddings.weight.detach() if learned else None
        self.layers = [_Layer(layer, config, pack) for layer in model.decoder.layers]
        if self.ends:
            self.norm = norm(model.decoder.final_layernorm)
            shared = model.shared_embedding_or_output_weight() if model.share_embeddings_and_output_weights else None
            output = model.output_layer
            self.head = Weight(output.weight if shared is None else shared, output.bias, pack=pack)

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return the embeddings (B, n, hidden) of tokens (B, n)."""
        if self.processes == 1:
            hidden = functional.embedding(tokens, self.words)
        else:  # each process has some of the rows
            rows = self.words.shape[0]
            own = tokens - self.tensor_group.rank() * rows
            here = (own >= 0) & (own < rows)
            hidden = functional.embedding(own.where(here, 0), self.words) * here[..., None]
            distributed.all_reduce(hidden, group=self.tensor_group)
        if self.config.embedding_scale is not None:
            hidden = hidden * self.config.embedding_scale
        return hidden if self.places is None else hidden + functional.embedding(positions, self.places)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits (B, V) after the last layer's output (B, hidden)."""
        logits = self.head(self.norm(hidden))
        if self.config.logit_softcap is not None:
            logits = torch.tanh(logits / self.config.logit_softcap) * self.config.logit_softcap
        if self.processes > 1:
            pieces = [torch.empty_like(logits) for _ in range(self.processes)]
            distributed.all_gather(pieces, logits, group=self.tensor_group)
            logits = torch.cat(pieces, -1)
        return logits[:, : self.config.vocab_size]


class _Layer:
    """A layer of the transformer.

    Args:
        layer: The engine's ``TransformerLayer``.
        config: The architecture.
        pack: See :class:`~nemo_llm.generation.linear.Weight`.
    """

    def __init__(self, layer: Any, config: ModelConfig, pack: bool) -> None:
        self.window = config.window_of(layer.layer_number - 1)
        kind = Rotations.kind_of(config, self.window)
        self.norm, self.second_norm = norm(layer.input_layernorm), norm(layer.pre_mlp_layernorm)
        if config.latent is not None:
            from nemo_llm.generation.latent import LatentSelfAttention

            self.attention: Any = LatentSelfAttention(layer.self_attention, config, kind, pack=pack)
        else:
            self.attention = SelfAttention(layer.self_attention, config, kind, pack=pack)
        self.feed_forward = feed_forward(layer.mlp, pack=pack)
        self.norm_after = norm(getattr(layer.self_attn_bda, "norm", None))
        self.second_norm_after = norm(getattr(layer.mlp_bda, "norm", None))

    def __call__(self, x: Tensor, step: Step, cache: LayerCache, last: bool = False) -> Tensor:
        """Return the output (B, n, hidden) for the new tokens; ``last``: (B, 1, hidden), for the last of them alone."""
        change = self.attention(self.norm(x), step, cache, last)
        if last:
            x = x[:, -1:]
        x = x + (change if self.norm_after is None else self.norm_after(change))
        change = self.feed_forward(self.second_norm(x))
        return x + (change if self.second_norm_after is None else self.second_norm_after(change))


class _Pipeline:
    """What passes between the stages of a pipeline; each part of the model in turn, no two at the same time."""

    def __init__(self) -> None:
        from megatron.core import parallel_state

        if not parallel_state.model_parallel_is_initialized():
            raise ConfigError("the engine does not run", hint="with nemo_llm.megatron.engine(): generate(...)")
        self.group = parallel_state.get_pipeline_model_parallel_group()
        self.ranks = distributed.get_process_group_ranks(self.group)
        self.place, self.size = self.group.rank(), self.group.size()

    def receive(self, shape: tuple[int, ...], part: _Part) -> Tensor:
        """Return what the stage before sends."""
        hidden = torch.empty(shape, dtype=part.dtype, device=part.device)
        distributed.recv(hidden, self.ranks[self.place - 1], group=self.group)
        return hidden

    def send(self, hidden: Tensor) -> None:
        """Send to the stage behind; the last one sends to the first, which has the next part."""
        distributed.send(hidden.contiguous(), self.ranks[(self.place + 1) % self.size], group=self.group)

    def share(self, logits: Tensor | None, shape: tuple[int, int], part: _Part) -> Tensor:
        """Return the last stage's logits in all stages."""
        if self.size > 1:
            found = torch.empty(shape, dtype=part.dtype, device=part.device) if logits is None else logits.contiguous()
            distributed.broadcast(found, self.ranks[-1], group=self.group)
            return found
        assert logits is not None
        return logits


def _inner(chunk: Any) -> Any:
    """Return the engine's model within its wrappers.

    Raises:
        ConfigError: There is none.
    """
    while not hasattr(chunk, "decoder"):
        chunk = getattr(chunk, "module", None)
        if chunk is None:
            raise ConfigError("only decoder-only language models generate text", hint="give the chunks of build_chunks")
    return chunk
