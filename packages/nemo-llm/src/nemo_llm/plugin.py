"""What nemo-llm registers with nemo-core."""

from __future__ import annotations

from nemo_core.plugins import Registry, hookimpl


@hookimpl
def nemo_components(registry: Registry) -> None:
    """Register models, strategies, data, tokenizers, recipes and commands of language models."""
    registry.model(
        "llm.LanguageModel", "nemo_llm.models.language_model:LanguageModel", summary="Decoder-only language model"
    )
    registry.strategy(
        "llm.MegatronStrategy",
        "nemo_llm.megatron.strategy:MegatronStrategy",
        summary="Tensor, pipeline, context, expert and data parallelism on Megatron-core",
    )
    registry.callback(
        "llm.Throughput", "nemo_llm.training.throughput:Throughput", summary="Tokens per second, TFLOP/s and MFU"
    )
    registry.recipes("nemo_llm.conf", prefix="llm", summary="Language models")
    registry.command("llm", summary="Tools for language models")
    registry.command("llm import", summary="Take over models from elsewhere")
    registry.command("llm export", summary="Write models for elsewhere")
