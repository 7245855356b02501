"""Hugging Face both ways: configurations, weights and folders of :mod:`transformers`, without needing it."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_llm.hf.config import config_from_hf as config_from_hf
    from nemo_llm.hf.config import config_to_hf as config_to_hf
    from nemo_llm.hf.config import read_hf_config as read_hf_config
    from nemo_llm.hf.convert import export_hf as export_hf
    from nemo_llm.hf.convert import import_hf as import_hf
    from nemo_llm.hf.load import check_hf as check_hf
    from nemo_llm.hf.load import load_hf as load_hf
    from nemo_llm.hf.save import save_hf as save_hf

__getattr__, __dir__ = attach(__name__)
