"""Text to speech with trained models: :class:`Synthesizer`, and what it gives."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_tts.synthesis.loading import load_synthesizer as load_synthesizer
    from nemo_tts.synthesis.prosody import Prosody as Prosody
    from nemo_tts.synthesis.sentences import split_sentences as split_sentences
    from nemo_tts.synthesis.speech import Speech as Speech
    from nemo_tts.synthesis.speech import write_wav as write_wav
    from nemo_tts.synthesis.synthesizer import Synthesizer as Synthesizer

__getattr__, __dir__ = attach(__name__)
