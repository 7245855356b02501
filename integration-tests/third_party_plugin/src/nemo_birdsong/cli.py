"""``nemo birdsong``."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nemo_birdsong.songs import SAMPLE_RATE, SPECIES
from nemo_core.cli.output import JsonOption, OverwriteOption, print_json, refuse_overwrite, table
from nemo_core.errors import DataError, NemoError
from nemo_core.plugins.nearest import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["identify", "sing"]


def sing(
    species: Annotated[
        str, typer.Argument(help=f"One of: {', '.join(SPECIES)}.", autocompletion=lambda: list(SPECIES))
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="WAV file to write.")],
    seconds: Annotated[float, typer.Option(help="Length of the song.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Which singer.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Write the song of a bird to a WAV file.

    Example:
      nemo birdsong sing cuckoo -o cuckoo.wav --seconds 3
    """
    import numpy as np

    from nemo_birdsong import songs

    if species not in SPECIES:
        hint = did_you_mean(species, SPECIES) or f"the birds are {', '.join(SPECIES)}"
        raise NemoError(f"no bird is called {species}", hint=hint)
    song = songs.sing(species, seconds, np.random.default_rng(seed))
    with wave.open(str(refuse_overwrite(output, overwrite)), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((song * 32767).astype("<i2").tobytes())


def identify(
    model: Annotated[str, typer.Argument(help="Archive of a trained model.")],
    files: Annotated[list[Path], typer.Argument(help="WAV files: 16 bit, mono, 16 kHz.")],
    json: JsonOption = False,
) -> None:
    """Tell which birds sing in WAV files.

    Example:
      nemo birdsong identify runs/birdsong_tiny/latest/model.nemo cuckoo.wav
    """
    import torch

    from nemo_birdsong.model import SongClassifier

    songs = [_read(file) for file in files]
    restored = SongClassifier.restore(model).eval()
    found = []
    with torch.no_grad():
        for file, song in zip(files, songs, strict=True):
            probability, label = restored(song.unsqueeze(0)).softmax(-1)[0].max(dim=-1)
            found.append({"file": file, "species": restored.species[label], "probability": float(probability)})
    if json:
        print_json(found)
    else:
        table("", ["file", "bird", "probability"], [tuple(each.values()) for each in found])


def _read(path: Path) -> Tensor:
    import numpy as np
    import torch

    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, SAMPLE_RATE):
                raise DataError(f"{path} is not 16 bit mono audio at {SAMPLE_RATE} Hz", hint="convert it first")
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    except (OSError, EOFError, wave.Error) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="give a WAV file") from error
    if len(samples) < 256:
        raise DataError(f"{path} is too short to hear anything: {len(samples)} samples")
    return torch.from_numpy(samples.astype("float32") / 32768)
