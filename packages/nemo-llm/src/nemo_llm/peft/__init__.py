"""Parameter-efficient fine-tuning: LoRA and DoRA on a frozen model, their files, and merging."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_llm.peft.apply import apply_peft as apply_peft
    from nemo_llm.peft.apply import merge as merge
    from nemo_llm.peft.apply import take_off as take_off
    from nemo_llm.peft.files import load_adapter as load_adapter
    from nemo_llm.peft.files import read_adapter as read_adapter
    from nemo_llm.peft.files import save_adapter as save_adapter
    from nemo_llm.peft.hf import export_peft as export_peft
    from nemo_llm.peft.hf import import_peft as import_peft
    from nemo_llm.peft.spec import LoRA as LoRA
    from nemo_llm.peft.spec import parse_spec as parse_spec

__getattr__, __dir__ = attach(__name__)
