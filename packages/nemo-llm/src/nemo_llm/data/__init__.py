"""Data for language models: token files, blends, packing, and the data modules that make batches of them."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_llm.data.blend import Blend as Blend
    from nemo_llm.data.chat import ChatEncoder as ChatEncoder
    from nemo_llm.data.indexed import TokenFile as TokenFile
    from nemo_llm.data.indexed import TokenWriter as TokenWriter
    from nemo_llm.data.masked import MaskedTextData as MaskedTextData
    from nemo_llm.data.masked import Masking as Masking
    from nemo_llm.data.mock import MockData as MockData
    from nemo_llm.data.module import LanguageDataModule as LanguageDataModule
    from nemo_llm.data.packing import Packing as Packing
    from nemo_llm.data.packing import pack as pack
    from nemo_llm.data.packing import packed_row as packed_row
    from nemo_llm.data.preference import PreferenceData as PreferenceData
    from nemo_llm.data.pretraining import PretrainingData as PretrainingData
    from nemo_llm.data.sft import ChatData as ChatData
    from nemo_llm.data.spans import SpanCorruption as SpanCorruption
    from nemo_llm.data.spans import SpanCorruptionData as SpanCorruptionData
    from nemo_llm.data.text import TextData as TextData
    from nemo_llm.data.text import tiny_shakespeare as tiny_shakespeare

__getattr__, __dir__ = attach(__name__)
