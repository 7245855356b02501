"""``nemo mm sample``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, OverwriteOption, print_json, progress, refuse_overwrite
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_mm.models.image_generator import ImageGenerator

__all__ = ["load_generator", "sample"]


def sample(
    model: Annotated[str, typer.Argument(help="Image generator: archive (.nemo), run folder, or published name.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="One picture of all; or a folder, for one of each.")
    ],
    classes: Annotated[
        list[str] | None, typer.Option("--class", "-c", metavar="NAME", help="Class, by name or number; repeatable.")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", "-t", metavar="TEXT", help="Description; repeatable.")
    ] = None,
    n: Annotated[int, typer.Option("--n", "-n", metavar="N", help="Pictures of each class or text.")] = 1,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Of the sampler. [default: the model's]")] = None,
    guidance: Annotated[
        float | None, typer.Option(metavar="X", help="1 is none; more is more typical. [default: the model's]")
    ] = None,
    sampler: Annotated[str | None, typer.Option(metavar="NAME", help="Such as heun, euler, ddim, ddpm.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same pictures.")] = 0,
    columns: Annotated[int | None, typer.Option(min=1, metavar="N", help="Pictures in a row of the grid.")] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Pictures that are made at once.")] = 64,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Make pictures of a class or a text.

    Example:
      nemo mm sample runs/dit_digits/latest --class 7 --n 16 -o grid.png
    """
    folder = not output.suffix
    if n < 1:
        raise ConfigError(f"--n {n}: no picture would be made", hint="give 1 or more")
    count = n * max(len(classes or []), len(text or []), 1)
    names = [output / f"{number}.png" for number in range(1, count + 1)] if folder else [output]
    for path in names:
        refuse_overwrite(path, overwrite)
    made_by = load_generator(model, device)
    steps = made_by.steps if steps is None else steps
    started = time.perf_counter()
    with progress("Sampling", total=count * max(1, steps), unit="steps") as advance:
        images = made_by.sample(
            classes=classes or None,
            texts=text or None,
            n=n,
            steps=steps,
            guidance=guidance,
            sampler=sampler,
            seed=seed,
            batch_size=batch_size,
            after_step=advance,
        ).numpy()
    seconds = time.perf_counter() - started
    from nemo_mm.images.grid import picture_grid, save_picture

    if folder:
        for picture, path in zip(images, names, strict=True):
            save_picture(picture.transpose(1, 2, 0), path)
    else:
        several = max(len(classes or []), len(text or [])) > 1
        save_picture(picture_grid(images, columns or (n if several else None)), output)
    said: dict[str, Any] = {
        "pictures": len(images),
        "paths": [str(path) for path in names],
        "steps": steps,
        "evaluations": made_by.process.evaluations(steps, sampler),
        "guidance": made_by.guidance if guidance is None else guidance,
        "seed": seed,
        "seconds": round(seconds, 3),
    }
    if json:
        print_json(said)
        return
    where = f"in {output}" if folder else f"on {output}"
    typer.echo(f"{len(images)} pictures {where}: {steps} steps, {seconds:.1f} s")


def load_generator(model: str, device: str) -> ImageGenerator:
    """Return a trained image generator."""
    from nemo_core.cli.devices import device_of
    from nemo_core.models import restore
    from nemo_mm.models.image_generator import ImageGenerator

    found: ImageGenerator = restore(model, expect=ImageGenerator, map_location=device_of(device))
    return found
