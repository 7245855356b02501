"""A process's parts of a model, of whatever kind: one, or several in an interleaved pipeline."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch

from nemo_core.errors import ConfigError
from nemo_llm.megatron.layout import Layout

__all__ = ["KINDS", "build_parts", "chunks_of", "config_class", "kinds"]

#: Class of a configuration -> its module, and the module whose ``build_chunks`` builds what it describes. Those of
#: other packages: :func:`kinds`.
KINDS = {
    "ModelConfig": ("nemo_llm.models.config", "nemo_llm.models.gpt"),
    "BertConfig": ("nemo_llm.models.bert", "nemo_llm.models.bert_network"),
    "T5Config": ("nemo_llm.models.t5", "nemo_llm.models.t5_network"),
}


def kinds() -> Mapping[str, tuple[str, str]]:
    """Return :data:`KINDS` and what plugins add to it.

    A plugin names both modules where it registers its model: ``registry.model("demo.Model", "demo.model:Model",
    architecture="demo.model:DemoConfig", network="demo.network")``.

    >>> kinds()["BertConfig"]
    ('nemo_llm.models.bert', 'nemo_llm.models.bert_network')
    """
    from nemo_core.plugins import registry

    found = {}
    for component in registry().components("model"):
        where, network = component.metadata.get("architecture"), component.metadata.get("network")
        if where and network:
            module, _, name = where.partition(":")
            found[name] = (module, network)
    return {**found, **KINDS}


def config_class(kind: str) -> Any:
    """Return the class of a configuration; it has ``to_dict`` and ``from_dict``.

    >>> config_class("BertConfig")().family
    'bert'
    """
    return getattr(importlib.import_module(kinds()[kind][0]), kind)


def chunks_of(
    config: Any, layout: Layout | None = None, dtype: torch.dtype = torch.float32, **options: Any
) -> list[Any]:
    """Build all of this process's parts of the model that a configuration describes; the engine must run.

    Args:
        config: A ``ModelConfig``, a ``BertConfig``, a ``T5Config``, or what a plugin adds (:func:`kinds`).
        layout: How it is divided; that of the running engine if not given.
        dtype: Of the weights.
        options: Of the kind's ``build_chunks``: ``seed``, fields of the engine's configuration.
    """
    module = importlib.import_module(kinds()[type(config).__name__][1])
    return list(module.build_chunks(config, layout, dtype, **options))


def build_parts(
    build: Callable[..., Any], config: Any, layout: Layout | None, dtype: torch.dtype, **options: Any
) -> list[Any]:
    """Call ``build`` for each of this process's parts, with what it is to have.

    Args:
        build: Builds one part: ``(config, *, pre_process, post_process, vp_stage, dtype, layout, **options)``.
        config: The model.
        layout: How it is divided.
        dtype: Of the weights.
        options: Likewise of ``build``.

    Raises:
        ConfigError: The engine does not run.
    """
    from megatron.core import parallel_state

    from nemo_llm.models.engine_configs import running_layout

    if not parallel_state.model_parallel_is_initialized():
        raise ConfigError(
            "the engine does not run", hint="build models inside `with nemo_llm.megatron.engine(layout):`"
        )
    layout = layout or running_layout()
    first = parallel_state.is_pipeline_first_stage(ignore_virtual=True)
    last = parallel_state.is_pipeline_last_stage(ignore_virtual=True)
    pieces = layout.virtual_pipeline
    return [
        build(
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
