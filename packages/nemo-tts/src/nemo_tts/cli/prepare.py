"""``nemo tts prepare``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.output import JsonOption, print_json, print_problem, progress, table
from nemo_core.errors import ConfigError

__all__ = ["prepare"]


def prepare(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests (.jsonl) of a corpus.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where features go.")],
    recipe: Annotated[
        str, typer.Option(metavar="NAME", help="Recipe that says what spectrograms are like.")
    ] = "tts/ljspeech_fastpitch",
    override: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe; can be repeated.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Processes. [default: all cores]")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out what cannot be read.")] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="Take only lines with this, such as split=train; can be repeated."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find pitch and energy of a corpus before a training needs them.

    Writes a manifest that names them. What is there already is kept, so a run that was cut off goes on.

    Example:
      nemo tts prepare corpus.jsonl -o features --recipe tts/ljspeech_fastpitch
    """
    from nemo_core.audio.manifest import Manifest
    from nemo_core.config import compose, trust_of
    from nemo_core.config.build import instantiate, plain
    from nemo_tts.data.preparing import prepare_features

    wanted = dict(_pair(each) for each in where or [])
    config = compose(recipe, override or [], validate=False)  # what only a training needs may still be missing
    node = plain(config, missing=True)["data"].get("features")
    if node is None:
        raise ConfigError(f"{recipe} has no data.features", hint="name a recipe that trains an acoustic model")
    features = instantiate(node, trust=trust_of(config))
    with progress("Finding pitch", total=len(Manifest(manifests)), unit="utterances") as advance:
        found = prepare_features(
            manifests, output, features, jobs=jobs, skip_bad=skip_bad, where=wanted, progress=advance
        )
    for reason in found.skipped:
        print_problem("warning", f"left out: {reason}")
    if json:
        print_json(asdict(found))
        return
    rows = [
        ("utterances", f"{found.utterances:,} ({found.made:,} new)"),
        ("audio", f"{found.seconds / 60:.1f} min, {100 * found.voiced:.0f} % voiced"),
        ("pitch_mean", f"{found.pitch_mean:.2f} Hz"),
        ("pitch_std", f"{found.pitch_std:.2f} Hz"),
        ("speakers", ", ".join(found.speakers) or "not said"),
        ("manifest", str(output / "manifest.jsonl")),
    ]
    table("Prepared", ("what", "value"), rows)
    command = f"data.train={output / 'manifest.jsonl'}"
    typer.echo(
        f"nemo train {recipe} {command} model.pitch_mean={found.pitch_mean:.2f} model.pitch_std={found.pitch_std:.2f}"
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigError(f"--where {text} is not FIELD=VALUE", hint="for example --where split=train")
    return name, value
