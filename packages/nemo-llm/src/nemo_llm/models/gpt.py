"""Decoder-only language models: a process's part of one, built from a configuration."""

from __future__ import annotations

from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from torch import Tensor

from nemo_core.errors import ConfigError
from nemo_llm.megatron.layout import Layout
from nemo_llm.models.config import ModelConfig
from nemo_llm.models.engine_configs import engine_config, running_layout
from nemo_llm.models.initialisation import initialise
from nemo_llm.models.layers.context import positions_of
from nemo_llm.models.layers.cross_entropy import linear_cross_entropy
from nemo_llm.models.layers.linear import ColumnParallel, make_ours
from nemo_llm.models.layers.masks import Masks
from nemo_llm.models.layers.rope import RotaryEmbedding
from nemo_llm.models.layers.spec import Parts, block_spec

__all__ = ["GPT", "build_chunks", "build_gpt", "engine_config"]


class GPT(GPTModel):
    """The engine's model, with rotary embedding from explicit positions, scaled embeddings and capped logits.

    ``model(tokens, position_ids, attention_mask, labels=None, loss_mask=None)``, where

    - ``tokens``: ``(B, S)``, int64; with context parallelism this process's part of the sequence;
    - ``position_ids``: ``(B, S)``, int64, or None: the place in the sequence. Give them only where they are something
      else (new tokens behind a cache, documents that each start at 0): the table of rotations is then computed anew;
    - ``attention_mask``: segments, int32 ``(B, S)``: 0 is padding, 1 and up the documents of a packed row; or None;
    - returned are logits ``(B, S, V / tensor)``, with ``runtime_gather_output=True`` ``(B, S, V)``; or, with labels
      ``(B, S)``, the loss of each token ``(B, S)``, float32. Logits of rows that only fill up the vocabulary are minus
      infinity;
    - ``loss_mask``: ``(B, S)``, 0 where the loss does not count and need not be computed: it may be anything there.

    Attributes:
        architecture: The configuration it was built from.
    """

    architecture: ModelConfig

    def __init__(self, architecture: ModelConfig, config: Any, **options: Any) -> None:
        learned = architecture.positions == "learned"
        super().__init__(
            config,
            vocab_size=architecture.padded_vocab(config.tensor_model_parallel_size),
            max_sequence_length=architecture.max_length,
            share_embeddings_and_output_weights=architecture.tied_embeddings,
            position_embedding_type="learned_absolute" if learned else "none",
            **options,
        )
        self.architecture = architecture
        scale = architecture.embedding_scale
        # Rounded to the type of the weights, as the published models were trained.
        self.embedding_scale = None if scale is None else float(torch.tensor(scale, dtype=config.params_dtype))
        self.rotary = RotaryEmbedding(architecture) if architecture.positions == "rope" else None
        masks = Masks()
        for layer in self.decoder.layers:
            attention = layer.self_attention
            if self.rotary is not None:
                attention.rotary_kind = self.rotary.kind_of(attention.window)
            if hasattr(attention.core_attention, "masks"):
                attention.core_attention.masks = masks
        if self.post_process:
            make_ours(self.output_layer)
            self.output_layer.register_forward_hook(self._finish_logits)

    def _preprocess(
        self,
        input_ids: Tensor | None,
        position_ids: Tensor | None,
        decoder_input: Tensor | None = None,
        inference_context: Any = None,
        packed_seq_params: Any = None,
        padding_mask: Tensor | None = None,
    ) -> Any:
        count, dtype, device = self._tokens_at_hand(input_ids, decoder_input)
        part = self.pg_collection.cp.rank(), self.config.context_parallel_size
        needed = position_ids
        if position_ids is None and self.pre_process and decoder_input is None and self.rotary is None:
            needed = positions_of(*part, count, device)[None]
        hidden, _, *rest = super()._preprocess(
            input_ids, needed, decoder_input, inference_context, packed_seq_params, padding_mask
        )
        if self.pre_process and decoder_input is None:
            if self.embedding_scale is not None:
                hidden = hidden * self.embedding_scale
            hidden = self.amend(hidden)
        table = None
        if self.rotary is not None and position_ids is not None:
            table = self.rotary(position_ids, dtype)
        elif self.rotary is not None:
            table = self.rotary.of_sequence(count * part[1], dtype, device, part)
        return hidden, table, *rest

    def amend(self, hidden: Tensor) -> Tensor:
        """Return the embeddings that the first layer is to see: ``hidden``; a subclass may replace some of them.

        Args:
            hidden: ``(S, B, H)``; with sequence parallelism this process's share of the sequence, ``(S / tensor, B,
                H)``.
        """
        return hidden

    def _tokens_at_hand(self, input_ids: Any, decoder_input: Any) -> tuple[int, torch.dtype, torch.device]:
        dtype = self.config.params_dtype
        if input_ids is not None:
            return input_ids.shape[1], dtype, input_ids.device
        hidden = decoder_input if decoder_input is not None else self.decoder.input_tensor
        parts = self.config.tensor_model_parallel_size if self.config.sequence_parallel else 1
        return hidden.shape[0] * parts, dtype, hidden.device

    def _postprocess(
        self, hidden_states: Tensor, *, labels: Tensor | None = None, loss_mask: Tensor | None = None, **options: Any
    ) -> Any:
        layer, architecture = getattr(self, "output_layer", None), self.architecture
        whole = (
            labels is not None
            and self.post_process
            and not hidden_states.is_cuda
            and self.config.tensor_model_parallel_size == 1
            and self.config.mtp_num_layers is None
            and architecture.logit_softcap is None
            and type(layer) is ColumnParallel
            and layer.bias is None
        )
        if not whole or labels is None or layer is None:
            return super()._postprocess(hidden_states=hidden_states, labels=labels, loss_mask=loss_mask, **options)
        if loss_mask is not None:
            labels = labels.masked_fill(loss_mask == 0, -1)
        tied = self.share_embeddings_and_output_weights
        weight = self.shared_embedding_or_output_weight() if tied else layer.weight
        rows = hidden_states.reshape(-1, hidden_states.shape[-1])
        return linear_cross_entropy(rows, weight, labels.t().reshape(-1)).view(labels.t().shape).t()

    def _finish_logits(self, module: Any, inputs: Any, output: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
        logits, bias = output
        cap, valid = self.architecture.logit_softcap, self.architecture.vocab_size
        if cap is not None:
            logits = torch.tanh(logits / cap) * cap
        if self.vocab_size > valid:
            columns = logits.shape[-1]
            first = 0 if columns == self.vocab_size else self.pg_collection.tp.rank() * columns
            if first + columns > valid:
                hidden = torch.arange(first, first + columns, device=logits.device) >= valid
                logits = logits.masked_fill(hidden, float("-inf"))
        return logits, bias


def build_gpt(
    config: ModelConfig,
    *,
    pre_process: bool = True,
    post_process: bool = True,
    vp_stage: int | None = None,
    dtype: torch.dtype = torch.float32,
    layout: Layout | None = None,
    seed: int | None = 0,
    parts: Parts | None = None,
    kind: type[GPT] = GPT,
    **engine_options: Any,
) -> GPT:
    """Build this process's part of a language model; the engine must run.

    Args:
        config: The model.
        pre_process: Whether the part has the embedding.
        post_process: Whether it has the output layer.
        vp_stage: Which of the process's parts it is, in an interleaved pipeline.
        dtype: Of the weights.
        layout: How the model is divided; that of the running engine, without sequence parallelism, if not given.
        seed: Of the initial weights, the same in all processes; None: leave them as they are, since others are loaded.
        parts: What layers are built of; the best at hand if not given.
        kind: A subclass to build.
        engine_options: Values of the engine's configuration (:func:`engine_config`).

    Raises:
        ConfigError: The engine does not run, or refuses the configuration.

    >>> from nemo_llm.megatron import engine
    >>> small = ModelConfig(vocab_size=65, hidden_size=64, num_layers=2, num_heads=4, ffn_size=128)
    >>> with engine():
    ...     model = build_gpt(small)
    ...     logits = model(torch.zeros(1, 8, dtype=torch.int64), None, None)
    >>> logits.shape, sum(each.numel() for each in model.parameters()) == small.num_parameters
    (torch.Size([1, 8, 65]), True)
    """
    if not parallel_state.model_parallel_is_initialized():
        raise ConfigError(
            "the engine does not run", hint="build models inside `with nemo_llm.megatron.engine(layout):`"
        )
    engine = engine_config(config, layout, dtype=dtype, **engine_options)
    try:
        model = kind(
            config,
            engine,
            transformer_layer_spec=block_spec(config, engine, vp_stage=vp_stage, parts=parts),
            pre_process=pre_process,
            post_process=post_process,
            vp_stage=vp_stage,
        )
    except AssertionError as error:  # how the engine says what it cannot do
        raise ConfigError(f"the engine refuses to build this model: {error}") from error
    if seed is not None:
        initialise(model, engine, seed=seed)
    return model


def build_chunks(
    config: ModelConfig, layout: Layout | None = None, dtype: torch.dtype = torch.float32, **options: Any
) -> list[GPT]:
    """Build all of this process's parts of a model: one, or several in an interleaved pipeline.

    Args:
        config: The model.
        layout: How it is divided.
        dtype: Of the weights.
        options: Of :func:`build_gpt`.
    """
    layout = layout or running_layout()
    first, last = (
        parallel_state.is_pipeline_first_stage(ignore_virtual=True),
        parallel_state.is_pipeline_last_stage(ignore_virtual=True),
    )
    pieces = layout.virtual_pipeline
    return [
        build_gpt(
            config,
            pre_process=first and piece == 0,
            post_process=last and piece == pieces - 1,
            vp_stage=piece if pieces > 1 else None,
            dtype=dtype,
            layout=layout,
            **options,
        )
        for piece in range(pieces)
    ]
