"""Finding the models of a synthesis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nemo_core.errors import ConfigError
from nemo_core.models import restore
from nemo_tts.models.fastpitch import FastPitch
from nemo_tts.models.vocoder import Vocoder
from nemo_tts.synthesis.synthesizer import Synthesizer

__all__ = ["load_synthesizer"]


def load_synthesizer(
    acoustic: str | Path,
    vocoder: str | Path | None = None,
    *,
    device: str = "cpu",
    iterations: int = 60,
    **options: Any,
) -> Synthesizer:
    """Restore an acoustic model and a vocoder, from archives or by the names of published models.

    Args:
        acoustic: Archive, run folder, or name.
        vocoder: The same; ``griffin-lim``, or none, needs no archive.
        device: Where they compute.
        iterations: Of Griffin-Lim.
        options: As for :class:`Synthesizer`.

    Raises:
        ArchiveError: An archive is damaged, or holds another kind of model.
        NeuralTypeError: The two do not understand each other.
    """
    if iterations < 1:
        raise ConfigError(f"Griffin-Lim cannot go {iterations} times back and forth", hint="60 is usual")
    speaks = restore(acoustic, expect=FastPitch, map_location=device)
    speaks.eval()
    if vocoder is None or str(vocoder) == "griffin-lim":
        from nemo_tts.models.griffin_lim import GriffinLim

        sounds: Any = GriffinLim(speaks.preprocessor, iterations=iterations).to(device)
    else:
        sounds = restore(vocoder, expect=Vocoder, map_location=device)  # type: ignore[type-abstract]
    sounds.eval()
    return Synthesizer(speaks, sounds, **options)
