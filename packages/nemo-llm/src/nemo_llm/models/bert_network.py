"""BERT on the engine's parts: a process's part of one, built from a configuration."""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.models.common.embeddings.language_model_embedding import LanguageModelEmbedding
from megatron.core.models.common.language_module.language_module import LanguageModule
from megatron.core.tensor_parallel import (
    ColumnParallelLinear,
    gather_from_sequence_parallel_region,
    get_cuda_rng_tracker,
    scatter_to_sequence_parallel_region,
)
from megatron.core.transformer.attention import SelfAttentionSubmodules
from megatron.core.transformer.enums import AttnMaskType, ModelType
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import (
    TransformerBlock,
    TransformerBlockSubmodules,
    get_num_layers_to_build,
)
from megatron.core.transformer.transformer_layer import TransformerLayer, TransformerLayerSubmodules
from torch import Tensor, nn

from nemo_llm.megatron.layout import Layout
from nemo_llm.models.bert import BertConfig
from nemo_llm.models.chunks import build_parts
from nemo_llm.models.engine_configs import engine_config
from nemo_llm.models.initialisation import initialise
from nemo_llm.models.layers.context import positions_of
from nemo_llm.models.layers.logits import hide_padding
from nemo_llm.models.layers.masks import Masks
from nemo_llm.models.layers.norms import AddNorm
from nemo_llm.models.layers.spec import Parts, feed_forward_part, parts_at_hand

__all__ = ["Bert", "build_bert", "build_chunks"]


class Bert(LanguageModule):
    """A process's part of a BERT.

    ``model(tokens, position_ids=None, segment_ids=None, token_types=None, labels=None)``, all ``(B, S)``; see
    :class:`~nemo_llm.models.gpt.GPT` for segments. Returned are hidden states ``(S, B, H)`` of a part that is not the
    last; logits ``(B, S, V / tensor)``, with ``runtime_gather_output=True`` ``(B, S, V)``; or, with labels, the loss of
    each token ``(B, S)``, float32.

    Attributes:
        architecture: The configuration it was built from.
    """

    def __init__(
        self,
        architecture: BertConfig,
        config: Any,
        *,
        parts: Parts,
        pre_process: bool = True,
        post_process: bool = True,
        vp_stage: int | None = None,
    ) -> None:
        super().__init__(config=config)
        self.architecture = architecture
        self.pre_process, self.post_process, self.vp_stage = pre_process, post_process, vp_stage
        self.vp_size = config.virtual_pipeline_model_parallel_size
        self.vocab_size = architecture.padded_vocab(config.tensor_model_parallel_size)
        self.share_embeddings_and_output_weights = architecture.tied_embeddings
        self.model_type = ModelType.encoder_or_decoder
        if pre_process:
            self.embedding = _Embedding(architecture, config, self.vocab_size, parts)
        self.encoder = TransformerBlock(
            config=config,
            spec=_block(config, parts, vp_stage),
            pre_process=pre_process,
            post_process=post_process,
            vp_stage=vp_stage,
        )
        masks = Masks()
        for layer in self.encoder.layers:
            if hasattr(layer.self_attention.core_attention, "masks"):
                layer.self_attention.core_attention.masks = masks
        if post_process:
            self.lm_head = _Head(config, parts)
            self.output_layer = ColumnParallelLinear(
                config.hidden_size,
                self.vocab_size,
                config=config,
                init_method=config.init_method,
                bias=True,
                skip_bias_add=False,
                gather_output=False,
                skip_weight_param_allocation=pre_process and architecture.tied_embeddings,
            )
            if architecture.next_sentence:
                self.pooler, self.next_sentence = _kept(config, config.hidden_size), _kept(config, 2)
        if pre_process or post_process:
            self.setup_embeddings_and_output_layer()

    def set_input_tensor(self, input_tensor: Any) -> None:
        """Take what the stage before has made."""
        self.encoder.set_input_tensor(input_tensor[0] if isinstance(input_tensor, list) else input_tensor)

    def forward(
        self,
        tokens: Tensor,
        position_ids: Tensor | None = None,
        segment_ids: Tensor | None = None,
        token_types: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        runtime_gather_output: bool = False,
    ) -> Tensor:
        """Run; see the class."""
        hidden: Any = None
        if self.pre_process:
            if position_ids is None:
                size = self.config.context_parallel_size
                places = positions_of(self.pg_collection.cp.rank(), size, tokens.shape[1])
                position_ids = places.to(tokens.device)[None]
            hidden = self.embedding(tokens, position_ids, token_types)
        hidden = self.encoder(hidden_states=hidden, attention_mask=segment_ids)
        if not self.post_process:
            return hidden
        weight = self.shared_embedding_or_output_weight() if self.share_embeddings_and_output_weights else None
        logits, _ = self.output_layer(
            self.lm_head(hidden), weight=weight, runtime_gather_output=runtime_gather_output or None
        )
        logits = hide_padding(logits, self.architecture.vocab_size, self.vocab_size, self.pg_collection.tp.rank())
        if labels is None:
            return logits.transpose(0, 1).contiguous()
        losses: Tensor = self.compute_language_model_loss(labels, logits)
        return losses

    def pooled(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the pooler makes of encoded texts ``(S, B, H)``, ``(B, H)``, and logits of next sentences."""
        if self.config.sequence_parallel:
            hidden = gather_from_sequence_parallel_region(hidden)
        first = torch.tanh(self.pooler(hidden[0]))
        return first, self.next_sentence(first)


class _Embedding(LanguageModelEmbedding):
    """Words, positions and kinds of tokens, added up and normalised before dropout: ``(B, S) -> (S, B, H)``."""

    def __init__(self, architecture: BertConfig, config: Any, vocab_size: int, parts: Parts) -> None:
        super().__init__(
            config, vocab_size, architecture.max_length, "learned_absolute", num_tokentypes=architecture.token_types
        )
        self.norm = parts.norm(config=config, hidden_size=config.hidden_size, eps=config.layernorm_epsilon)
        to_type(self.position_embeddings, self.tokentype_embeddings, dtype=config.params_dtype)

    def forward(self, input_ids: Tensor, position_ids: Tensor, tokentype_ids: Any = None) -> Tensor:
        """Embed."""
        hidden = self.word_embeddings(input_ids) + self.position_embeddings(position_ids)
        if self.tokentype_embeddings is not None:
            hidden = hidden + self.tokentype_embeddings(
                torch.zeros_like(input_ids) if tokentype_ids is None else tokentype_ids
            )
        hidden = hidden.transpose(0, 1).contiguous()
        if not self.config.sequence_parallel:
            return self.embedding_dropout(self.norm(hidden))
        hidden = scatter_to_sequence_parallel_region(hidden, group=self.tp_group)
        with get_cuda_rng_tracker().fork():
            return self.embedding_dropout(self.norm(hidden))


class _Head(nn.Module):
    """What stands between encoder and output layer: a matrix, an activation, a norm."""

    def __init__(self, config: Any, parts: Parts) -> None:
        super().__init__()
        self.dense = plain_linear(config, config.hidden_size)
        self.activation = config.activation_func
        self.norm = parts.norm(config=config, hidden_size=config.hidden_size, eps=config.layernorm_epsilon)
        for parameter in self.dense.parameters():
            parameter.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]

    def forward(self, hidden: Tensor) -> Tensor:
        """``(S, B, H) -> (S, B, H)``."""
        return self.norm(self.activation(self.dense(hidden)))


def plain_linear(config: Any, outputs: int) -> nn.Linear:
    """Return a matrix that no parallelism divides."""
    device = None if config.use_cpu_initialization else "cuda"
    return nn.Linear(config.hidden_size, outputs, dtype=config.params_dtype, device=device)


def to_type(*modules: nn.Module | None, dtype: torch.dtype) -> None:
    """Give embeddings the type of the others; the engine makes them in float32."""
    for module in modules:
        if module is not None:
            module.to(dtype)


def _kept(config: Any, outputs: int) -> nn.Linear:
    return plain_linear(config, outputs).requires_grad_(False)


def _block(config: Any, parts: Parts, vp_stage: int | None) -> TransformerBlockSubmodules:
    add = ModuleSpec(AddNorm, params={"norm": parts.norm, "config": config})
    layer = ModuleSpec(
        TransformerLayer,
        submodules=TransformerLayerSubmodules(
            input_layernorm=IdentityOp,
            self_attention=ModuleSpec(
                parts.self_attention,
                params={"attn_mask_type": AttnMaskType.padding},
                submodules=SelfAttentionSubmodules(
                    linear_qkv=parts.column, core_attention=parts.attention, linear_proj=parts.row
                ),
            ),
            self_attn_bda=add,
            pre_mlp_layernorm=IdentityOp,
            mlp=feed_forward_part(parts, config.ffn_hidden_size),
            mlp_bda=add,
        ),
    )
    return TransformerBlockSubmodules(layer_specs=[layer] * get_num_layers_to_build(config, vp_stage=vp_stage))


def build_bert(
    config: BertConfig,
    *,
    pre_process: bool = True,
    post_process: bool = True,
    vp_stage: int | None = None,
    dtype: torch.dtype = torch.float32,
    layout: Layout | None = None,
    seed: int | None = 0,
    parts: Parts | None = None,
    **engine_options: Any,
) -> Bert:
    """Build this process's part of a BERT; the engine must run. Arguments as :func:`~nemo_llm.models.gpt.build_gpt`.

    >>> from nemo_llm.megatron import engine
    >>> small = BertConfig(vocab_size=65, hidden_size=32, num_layers=2, num_heads=4, ffn_size=64, next_sentence=True)
    >>> with engine():
    ...     model = build_bert(small)
    >>> sum(each.numel() for each in model.parameters()) == small.num_parameters
    True
    """
    engine = engine_config(config.stack, layout, dtype=dtype, **engine_options)
    model = Bert(
        config,
        engine,
        parts=parts or parts_at_hand(config.stack),
        pre_process=pre_process,
        post_process=post_process,
        vp_stage=vp_stage,
    )
    if seed is not None:
        initialise(model, engine, seed=seed)
    return model


def build_chunks(
    config: BertConfig, layout: Layout | None = None, dtype: torch.dtype = torch.float32, **options: Any
) -> list[Bert]:
    """Build all of this process's parts of a BERT: one, or several in an interleaved pipeline."""
    return build_parts(build_bert, config, layout, dtype, **options)
