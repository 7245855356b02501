"""What nemo-llm registers with nemo-core."""

from __future__ import annotations

from nemo_core.plugins import Registry, hookimpl
from nemo_llm.models.families import FAMILIES


@hookimpl
def nemo_components(registry: Registry) -> None:
    """Register models, strategies, data, tokenizers, recipes and commands of language models."""
    registry.model(
        "llm.LanguageModel", "nemo_llm.models.language_model:LanguageModel", summary="Decoder-only language model"
    )
    registry.model(
        "llm.MaskedLanguageModel", "nemo_llm.models.bert:MaskedLanguageModel", summary="Masked language model: BERT"
    )
    registry.model(
        "llm.EncoderDecoderModel", "nemo_llm.models.t5:EncoderDecoderModel", summary="Encoder and decoder: T5, Flan-T5"
    )
    for family, summary in FAMILIES.items():
        registry.model_builder(
            f"llm.{family}", f"nemo_llm.models.families.builders:{family}", summary=summary, example=None
        )
    for family, summary in (("bert", "BERT"), ("t5", "T5, T5 1.1 and Flan-T5")):
        registry.model_builder(
            f"llm.{family}", f"nemo_llm.models.families.encoders:{family}", summary=summary, example=None
        )
    registry.strategy(
        "llm.MegatronStrategy",
        "nemo_llm.megatron.strategy:MegatronStrategy",
        summary="Tensor, pipeline, context, expert and data parallelism on Megatron-core",
    )
    registry.callback(
        "llm.Throughput", "nemo_llm.training.throughput:Throughput", summary="Tokens per second, TFLOP/s and MFU"
    )
    for name, module, summary in (
        ("load_tokenizer", "loading", "Tokenizer of a file or a folder, whatever its kind"),
        ("ByteTokenizer", "byte", "Bytes as tokens"),
        ("CharacterTokenizer", "characters", "Characters as tokens"),
        ("HFTokenizer", "hugging_face", "Tokenizer of a tokenizer.json"),
        ("SentencePieceTokenizer", "sentence_piece", "Subwords of a SentencePiece model"),
        ("TiktokenTokenizer", "tiktoken_ranks", "Byte-level BPE of a tiktoken file"),
    ):
        registry.tokenizer(f"llm.{name}", f"nemo_llm.tokenizers.{module}:{name}", summary=summary)
    for name, module, summary in (
        ("PretrainingData", "pretraining", "Token files (.bin/.idx), blended, in sequences of one length"),
        ("TextData", "text", "Windows of a text that fits in memory"),
        ("MaskedTextData", "masked", "Windows of a text with masked tokens, for BERT"),
        ("SpanCorruptionData", "spans", "Windows of a text with missing spans, for T5"),
        ("MockData", "mock", "Random tokens, for benchmarks and tests"),
    ):
        registry.dataset(f"llm.{name}", f"nemo_llm.data.{module}:{name}", summary=summary)
    registry.dataset(
        "llm.ChatData", "nemo_llm.data.sft:ChatData", summary="Conversations to fine-tune on, padded or packed"
    )
    registry.dataset(
        "llm.PreferenceData", "nemo_llm.data.preference:PreferenceData", summary="Pairs of a better and a worse answer"
    )
    registry.recipes("nemo_llm.conf", prefix="llm", summary="Language models")
    registry.command("llm", summary="Tools for language models")
    registry.command(
        "llm prepare-data", "nemo_llm.cli.prepare_data:prepare_data", summary="Turn texts into token files for training"
    )
    registry.command("llm generate", "nemo_llm.cli.generate:generate", summary="Let a language model go on from texts")
    registry.command("llm merge", "nemo_llm.cli.adapters:merge", summary="Add an adapter to the weights of its model")
    registry.command("llm import", summary="Take over models from elsewhere")
    registry.command("llm export", summary="Write models for elsewhere")
    hf = "Hugging Face's transformers"
    registry.command("llm import hf", "nemo_llm.cli.import_:hf", summary=f"Take over a model folder of {hf}")
    registry.command("llm export hf", "nemo_llm.cli.export:hf", summary=f"Write a model folder for {hf}")
    adapter = "adapter of Hugging Face's peft"
    registry.command("llm import peft", "nemo_llm.cli.adapters:import_peft", summary=f"Take over an {adapter}")
    registry.command("llm export peft", "nemo_llm.cli.adapters:export_peft", summary=f"Write an {adapter}")
    registry.command("llm tokenizer", summary="Learn and show tokenizers")
    for name, summary in (
        ("train", "Learn the tokens of a tokenizer from texts"),
        ("show", "Show what a tokenizer is, or list its tokens"),
        ("encode", "Show the tokens that texts become"),
    ):
        registry.command(f"llm tokenizer {name}", f"nemo_llm.cli.tokenizer:{name}", summary=summary)
