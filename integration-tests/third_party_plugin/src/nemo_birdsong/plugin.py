"""What nemo-birdsong brings; nothing is imported to say so."""

from __future__ import annotations

from collections.abc import Iterator

from nemo_core.plugins import Check, Registry, hookimpl


@hookimpl
def nemo_components(registry: Registry) -> None:
    """Register the module, the model, the data, the recipe and the commands."""
    registry.module(
        "birdsong.Encoder",
        "nemo_birdsong.encoder:SongEncoder",
        summary="Strided convolutions over the spectrogram of a song",
        example={"width": 8},
        example_sizes={"T": 8000},
    )
    registry.model("birdsong.Classifier", "nemo_birdsong.model:SongClassifier", summary="Which bird sings")
    registry.dataset("birdsong.Songs", "nemo_birdsong.data:Songs", summary="Songs of four birds, synthesised")
    registry.dataset(
        "birdsong.Data",
        "nemo_birdsong.data:SongData",
        summary="Songs to train, validate and test on",
        example={"size": 8},
    )
    registry.recipes("nemo_birdsong.conf")
    registry.command("birdsong", summary="Birds and their songs")
    registry.command("birdsong sing", "nemo_birdsong.cli:sing", summary="Write the song of a bird to a WAV file")
    registry.command("birdsong identify", "nemo_birdsong.cli:identify", summary="Tell which birds sing in WAV files")


@hookimpl
def nemo_doctor() -> Iterator[Check]:
    """Say which birds are known."""
    from nemo_birdsong.songs import SPECIES

    yield Check("birds", "ok", ", ".join(SPECIES))
