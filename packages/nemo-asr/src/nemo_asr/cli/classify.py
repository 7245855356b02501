"""``nemo asr classify``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nemo_core.cli.audio import BatchSizeOption, ChannelOption, channel_of
from nemo_core.cli.devices import DeviceOption, device_of
from nemo_core.cli.output import JsonOption, print_json, print_problem, table

__all__ = ["classify"]


def classify(
    model: Annotated[str, typer.Argument(help="Archive (.nemo) of a classifier, or name of a published one.")],
    audio: Annotated[list[str], typer.Argument(help="Files, folders, globs in quotes, or manifests (.jsonl).")],
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many classes are shown of each audio.")] = 1,
    batch_size: BatchSizeOption = 16,
    channel: ChannelOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Say which class audio is in: which command, language or speaker, speech or not.

    Exit code 1 if an audio could not be read; the others are classified.

    Example:
      nemo asr classify commands.nemo yes.wav "recordings/*.wav" --top 3
    """
    from nemo_asr.models.audio_classifier import AudioClassifier
    from nemo_core.models import restore

    classifier = restore(model, expect=AudioClassifier, map_location=device_of(device))  # type: ignore[type-abstract]
    found = classifier.classify(list(audio), batch_size=batch_size, channel=channel_of(channel))
    records: list[dict[str, Any]] = []
    for one in found:
        if one.error is not None:
            records.append({"audio_filepath": one.source, "error": one.error.message})
            continue
        ranked = sorted(zip(classifier.labels, one.probabilities, strict=True), key=lambda pair: -pair[1])[:top]
        classes = [{"label": label, "probability": round(probability, 6)} for label, probability in ranked]
        records.append({"audio_filepath": one.source, "label": one.label, "classes": classes})
    if json:
        print_json(records)
    else:
        good = [record for record in records if "error" not in record]
        table("", ["audio", "class", "probability"], [row for record in good for row in _rows(record)])
    failed = [one.error for one in found if one.error is not None]
    for error in failed:
        print_problem("error", error.message, error.hint)
    if failed:
        raise typer.Exit(1)


def _rows(record: dict[str, Any]) -> list[tuple[str, str, float]]:
    names = [record["audio_filepath"], *[""] * (len(record["classes"]) - 1)]
    return [(name, one["label"], one["probability"]) for name, one in zip(names, record["classes"], strict=True)]
