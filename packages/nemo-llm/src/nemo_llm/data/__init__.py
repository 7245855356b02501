"""Data for language models: token files, blends, packing, and the data modules that make batches of them."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_llm.data.module import LanguageDataModule as LanguageDataModule
    from nemo_llm.data.packing import Packing as Packing
    from nemo_llm.data.packing import pack as pack
    from nemo_llm.data.packing import packed_row as packed_row

__getattr__, __dir__ = attach(__name__)
