"""Text from a language model: sampling, a cache of keys and values, batches of any lengths, streaming."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_llm.generation.decoder import Decoder as Decoder
    from nemo_llm.generation.generating import Generation as Generation
    from nemo_llm.generation.generating import generate as generate
    from nemo_llm.generation.generating import stream as stream
    from nemo_llm.generation.loading import LoadedModel as LoadedModel
    from nemo_llm.generation.loading import load_for_generation as load_for_generation
    from nemo_llm.generation.sampling import Sampling as Sampling

__getattr__, __dir__ = attach(__name__)
