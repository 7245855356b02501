"""T5 on the engine's parts: a process's part of one, built from a configuration."""

from __future__ import annotations

import math
from typing import Any

import torch
from megatron.core import tensor_parallel
from megatron.core.fusions.fused_bias_dropout import get_bias_dropout_add
from megatron.core.models.common.embeddings.language_model_embedding import LanguageModelEmbedding
from megatron.core.models.common.language_module.language_module import LanguageModule
from megatron.core.tensor_parallel import ColumnParallelLinear
from megatron.core.transformer import attention
from megatron.core.transformer.attention import CrossAttention, CrossAttentionSubmodules, SelfAttentionSubmodules
from megatron.core.transformer.enums import AttnMaskType, ModelType
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlock, TransformerBlockSubmodules
from megatron.core.transformer.transformer_layer import TransformerLayer, TransformerLayerSubmodules
from torch import Tensor, nn

from nemo_core.errors import ConfigError
from nemo_llm.megatron.layout import Layout
from nemo_llm.models.chunks import build_parts
from nemo_llm.models.engine_configs import engine_config, running_layout
from nemo_llm.models.initialisation import initialise
from nemo_llm.models.layers.attention import SDPAttention
from nemo_llm.models.layers.logits import hide_padding
from nemo_llm.models.layers.masks import Masks
from nemo_llm.models.layers.spec import Parts, feed_forward_part, local_parts
from nemo_llm.models.t5 import T5Config

__all__ = ["T5", "RelativePositions", "build_chunks", "build_t5"]


class T5(LanguageModule):
    """A process's part of a T5: with tensor parallelism a share of each matrix, of both stacks.

    ``model(tokens, decoder_tokens, segment_ids=None, labels=None)``, the first ``(B, S)``, the others ``(B, T)`` but
    for ``segment_ids`` ``(B, S)``, int32: 0 is padding. Returned are logits ``(B, T, V / tensor)``, with
    ``runtime_gather_output=True`` ``(B, T, V)``; or, with labels, the loss of each token ``(B, T)``, float32.

    Attributes:
        architecture: The configuration it was built from.
    """

    pre_process = post_process = True
    vp_stage = None

    def __init__(self, architecture: T5Config, config: Any, decoder_config: Any, *, parts: Parts) -> None:
        super().__init__(config=config)
        self.architecture = architecture
        self.vp_size = None
        self.vocab_size = architecture.padded_vocab(config.tensor_model_parallel_size)
        self.share_embeddings_and_output_weights = architecture.tied_embeddings
        self.model_type = ModelType.encoder_or_decoder
        self.embedding = LanguageModelEmbedding(config, self.vocab_size, 1, "none")
        self.encoder_positions = RelativePositions(architecture, config, both_ways=True)
        self.decoder_positions = RelativePositions(architecture, config, both_ways=False)
        self.encoder = TransformerBlock(config=config, spec=_block(config, parts, decoder=False))
        self.decoder = TransformerBlock(config=decoder_config, spec=_block(decoder_config, parts, decoder=True))
        for stack in (self.encoder, self.decoder):
            masks = Masks()
            for layer in stack.layers:
                layer.self_attention.core_attention.masks = masks
        self.output_layer = ColumnParallelLinear(
            config.hidden_size,
            self.vocab_size,
            config=config,
            init_method=config.init_method,
            bias=False,
            skip_bias_add=False,
            gather_output=False,
            skip_weight_param_allocation=architecture.tied_embeddings,
        )
        self.setup_embeddings_and_output_layer()

    def set_input_tensor(self, input_tensor: Any) -> None:
        """Take nothing: no stage is before this one."""

    def forward(
        self,
        tokens: Tensor,
        decoder_tokens: Tensor,
        segment_ids: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        runtime_gather_output: bool = False,
    ) -> Tensor:
        """Run; see the class."""
        encoded = self.encode(tokens, segment_ids)
        return self.decode(
            decoder_tokens, encoded, segment_ids, labels=labels, runtime_gather_output=runtime_gather_output
        )

    def encode(self, tokens: Tensor, segment_ids: Tensor | None = None) -> Tensor:
        """Return the hidden states ``(S, B, H)`` of texts; with sequence parallelism this process's share."""
        hidden: Tensor = self.encoder(
            hidden_states=self.embedding(tokens, None),
            attention_mask=segment_ids,
            rotary_pos_emb=self.encoder_positions(tokens.shape[1]),
        )
        return hidden

    def decode(
        self,
        tokens: Tensor,
        encoded: Tensor,
        segment_ids: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        runtime_gather_output: bool = False,
    ) -> Tensor:
        """Return logits or losses of the decoder's tokens, given what the encoder has made."""
        hidden = self.decoder(
            hidden_states=self.embedding(tokens, None),
            attention_mask=None,
            context=encoded,
            context_mask=segment_ids,
            rotary_pos_emb=self.decoder_positions(tokens.shape[1]),
        )
        weight = None
        if self.share_embeddings_and_output_weights:
            hidden = hidden * self.architecture.hidden_size**-0.5
            weight = self.shared_embedding_or_output_weight()
        logits, _ = self.output_layer(hidden, weight=weight, runtime_gather_output=runtime_gather_output or None)
        logits = hide_padding(logits, self.architecture.vocab_size, self.vocab_size, self.pg_collection.tp.rank())
        if labels is None:
            return logits.transpose(0, 1).contiguous()
        losses: Tensor = self.compute_language_model_loss(labels, logits)
        return losses


class RelativePositions(nn.Module):
    """What is added to the scores of each head for the distance of key and query, the same in all layers of a stack.

    Args:
        architecture: Of the model.
        config: The engine's configuration.
        both_ways: Whether keys behind the query are told from those before it.

    Attributes:
        weight: ``(buckets, heads)``, in every process.
    """

    def __init__(self, architecture: T5Config, config: Any, *, both_ways: bool) -> None:
        super().__init__()
        self.both_ways, self.max_distance = both_ways, architecture.max_distance
        device = None if config.use_cpu_initialization else "cuda"
        size = architecture.buckets, architecture.num_heads
        self.weight = nn.Parameter(torch.zeros(size, dtype=config.params_dtype, device=device))

    def forward(self, length: int) -> Tensor:
        """Return ``(1, heads / tensor, length, length)``."""
        places = torch.arange(length, device=self.weight.device)
        distances = places[None] - places[:, None]
        values = self.weight[bucket_of(distances, self.weight.shape[0], self.max_distance, self.both_ways)]
        values = tensor_parallel.scatter_to_tensor_model_parallel_region(values)
        return values.permute(2, 0, 1)[None]


def bucket_of(distances: Tensor, buckets: int, max_distance: int, both_ways: bool) -> Tensor:
    """Return the bucket of each distance (key minus query).

    Half of the buckets have one distance each, the others ever more, in steps of equal ratio.

    >>> bucket_of(torch.tensor([-200, -9, -3, 0, 3]), 8, 16, both_ways=False).tolist()
    [7, 6, 3, 0, 0]
    >>> bucket_of(torch.tensor([-200, -1, 0, 1, 200]), 8, 16, both_ways=True).tolist()
    [3, 1, 0, 5, 7]
    """
    if both_ways:
        buckets //= 2
        start = (distances > 0).long() * buckets
        distances = distances.abs()
    else:
        start = torch.zeros_like(distances)
        distances = (-distances).clamp(min=0)
    exact = buckets // 2
    ratio = torch.log(distances.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
    return start + torch.where(distances < exact, distances, far)


class _SelfAttention(attention.SelfAttention):
    """The engine's self-attention, with a bias of the scores in the place of rotary embedding.

    In that place it is among what recomputation of activations hands on with its gradient.
    """

    def forward(self, hidden_states: Tensor, attention_mask: Any, *args: Any, **options: Any) -> Any:
        """Attend; see the engine."""
        options["attention_bias"] = options.pop("rotary_pos_emb", None)
        return super().forward(hidden_states, attention_mask, *args, rotary_pos_emb=None, **options)

    def _checkpointed_attention_forward(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, *args: Any, **options: Any
    ) -> Any:
        def attend(query: Tensor, key: Tensor, value: Tensor, mask: Any, bias: Any) -> Tensor:
            return self.core_attention(query, key, value, mask, attention_bias=bias)

        bias = options.get("attention_bias")
        return tensor_parallel.checkpoint(attend, False, query, key, value, attention_mask, bias)


def _block(config: Any, parts: Parts, *, decoder: bool) -> TransformerBlockSubmodules:
    cross: dict[str, Any] = {}
    if decoder:
        cross = {
            "pre_cross_attn_layernorm": parts.norm,
            "cross_attention": ModuleSpec(
                CrossAttention,
                params={"attn_mask_type": AttnMaskType.padding},
                submodules=CrossAttentionSubmodules(
                    linear_q=parts.column, linear_kv=parts.column, core_attention=SDPAttention, linear_proj=parts.row
                ),
            ),
            "cross_attn_bda": get_bias_dropout_add,
        }
    layer = ModuleSpec(
        TransformerLayer,
        submodules=TransformerLayerSubmodules(
            input_layernorm=parts.norm,
            self_attention=ModuleSpec(
                _SelfAttention,
                params={"attn_mask_type": AttnMaskType.causal if decoder else AttnMaskType.padding},
                submodules=SelfAttentionSubmodules(
                    linear_qkv=parts.column,
                    core_attention=SDPAttention,
                    linear_proj=parts.row,
                    q_layernorm=IdentityOp,
                    k_layernorm=IdentityOp,
                ),
            ),
            self_attn_bda=get_bias_dropout_add,
            **cross,
            pre_mlp_layernorm=parts.norm,
            mlp=feed_forward_part(parts, config.ffn_hidden_size),
            mlp_bda=get_bias_dropout_add,
        ),
    )
    return TransformerBlockSubmodules(layer_specs=[layer] * config.num_layers, layer_norm=parts.norm)


def build_t5(
    config: T5Config,
    *,
    pre_process: bool = True,
    post_process: bool = True,
    vp_stage: int | None = None,
    dtype: torch.dtype = torch.float32,
    layout: Layout | None = None,
    seed: int | None = 0,
    parts: Parts | None = None,
    **engine_options: Any,
) -> T5:
    """Build this process's part of a T5; the engine must run. Arguments as :func:`~nemo_llm.models.gpt.build_gpt`.

    Raises:
        ConfigError: The layout divides what cannot be divided.

    >>> from nemo_llm.megatron import engine
    >>> small = T5Config(vocab_size=65, hidden_size=32, num_layers=2, num_decoder_layers=1, num_heads=4, ffn_size=64)
    >>> with engine():
    ...     model = build_t5(small)
    >>> sum(each.numel() for each in model.parameters()) == small.num_parameters
    True
    """
    layout = layout or running_layout()
    problems = config.layout_problems(layout)
    if problems:
        raise ConfigError("\n  ".join(["this layout is not possible:", *problems]))
    engine = engine_config(config.stack(), layout, dtype=dtype, **engine_options)
    decoder = engine_config(config.stack(config.decoder_layers), layout, dtype=dtype, **engine_options)
    # Transformer Engine's attention has no bias of scores: these are ours everywhere.
    model = T5(config, engine, decoder, parts=parts or local_parts())
    if seed is not None:
        initialise(model, engine, seed=seed, deviation=lambda name: _deviation(config, name))
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, _SelfAttention):
                    # Scores are not scaled, so queries are: their rows come first in each head's share.
                    size = config.head_size
                    module.linear_qkv.weight.view(-1, 3, size, config.hidden_size)[:, 0].mul_(size**-0.5)
    return model


def _deviation(config: T5Config, name: str) -> float:
    """Return the standard deviation of a new weight, as published."""
    H, inner = config.hidden_size, config.num_heads * config.head_size
    if "word_embeddings" in name:
        found = 1.0
    elif name.endswith("linear_q.weight"):
        found = (H * config.head_size) ** -0.5
    elif name.endswith("linear_proj.weight"):
        found = inner**-0.5
    elif name.endswith("linear_fc2.weight"):
        found = config.ffn_size**-0.5
    else:
        found = H**-0.5
    return config.init_scale * found


def build_chunks(
    config: T5Config, layout: Layout | None = None, dtype: torch.dtype = torch.float32, **options: Any
) -> list[T5]:
    """Build this process's part of a T5, in a list."""
    return build_parts(build_t5, config, layout, dtype, **options)
