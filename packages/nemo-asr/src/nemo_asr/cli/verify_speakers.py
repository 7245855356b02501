"""``nemo asr verify-speakers``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.audio import ChannelOption, channel_of
from nemo_core.cli.devices import DeviceOption, device_of
from nemo_core.cli.output import JsonOption, print_json

__all__ = ["verify_speakers"]


def verify_speakers(
    model: Annotated[str, typer.Argument(help="Archive (.nemo) of a speaker model, or name of a published one.")],
    first: Annotated[Path, typer.Argument(help="An audio file.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, metavar="X", help="The least similarity of one speaker.")
    ] = 0.7,
    channel: ChannelOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Say whether two audios are of one speaker.

    The similarity is (cosine + 1) / 2 of the embeddings of the two, from 0 to 1.

    Example:
      nemo asr verify-speakers titanet.nemo call.wav enrolled.wav --threshold 0.75
    """
    from nemo_asr.models import SpeakerModel
    from nemo_core.models import restore

    speaker = restore(model, expect=SpeakerModel, map_location=device_of(device))
    similarity = speaker.speaker_similarity(first, second, channel=channel_of(channel))
    same = similarity >= threshold
    if json:
        print_json({"same": same, "similarity": round(similarity, 6), "threshold": threshold})
    else:
        verdict = "the same speaker" if same else "different speakers"
        typer.echo(f"{verdict}: similarity {similarity:.3f}, threshold {threshold:g}")
