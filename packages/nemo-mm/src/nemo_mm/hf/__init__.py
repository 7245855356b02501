"""Model folders of Hugging Face's transformers, read and written."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_mm.hf.convert import export_hf as export_hf
    from nemo_mm.hf.convert import import_hf as import_hf
    from nemo_mm.hf.llava import export_llava as export_llava
    from nemo_mm.hf.llava import import_llava as import_llava

__getattr__, __dir__ = attach(__name__)
