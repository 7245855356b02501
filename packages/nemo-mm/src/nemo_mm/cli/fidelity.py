"""``nemo mm fidelity``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, OverwriteOption, print_json, progress, refuse_overwrite, table
from nemo_core.errors import ConfigError
from nemo_mm.cli.sample import load_generator

__all__ = ["fidelity"]


def fidelity(
    model: Annotated[str, typer.Argument(help="Generator: archive (.nemo), run folder, or published name.")],
    judge: Annotated[str, typer.Option(metavar="MODEL", help="Classifier that tells the same classes apart.")],
    text: Annotated[
        str | None,
        typer.Option(
            "--text", "-t", metavar="TEXT", help="What a generator of texts is asked for, with {} for classes."
        ),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Real pictures, a folder for each class. [default: MNIST's test images]"),
    ] = None,
    others: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Further real pictures, for the floor of the Fréchet distance."),
    ] = None,
    per_class: Annotated[int, typer.Option(metavar="N", help="Pictures to make of each class.")] = 100,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Of the sampler. [default: the model's]")] = None,
    guidance: Annotated[float | None, typer.Option(metavar="X", help="[default: the model's]")] = None,
    sampler: Annotated[str | None, typer.Option(metavar="NAME", help="Such as heun, euler, ddim, ddpm.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same pictures.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PNG", help="Where the first pictures of each class go.")
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Pictures that are made at once.")] = 100,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Say how many pictures a classifier recognises, and how far they are from real ones.

    Example:
      nemo mm fidelity runs/dit_digits/latest --judge runs/digit_judge/latest -o grid.png
      nemo mm fidelity runs/dit_captions/latest --judge runs/digit_judge/latest --text "a handwritten {}"
    """
    if per_class < 1:
        raise ConfigError(f"--per-class {per_class}: nothing would be made", hint="100, say")
    if output is not None:
        refuse_overwrite(output, overwrite)
    from nemo_core.models import restore
    from nemo_mm.data.folder import PictureFolder
    from nemo_mm.data.mnist import Mnist
    from nemo_mm.evaluation.fidelity import measure_fidelity
    from nemo_mm.models.image_classifier import ImageClassifier

    knows = restore(judge, expect=ImageClassifier)
    makes = load_generator(model, device)
    knows.to(makes.device)
    known = Mnist("test") if real is None else PictureFolder(real, knows.transform, class_names=knows.class_names)
    further: Any = None
    if others is not None:
        further = PictureFolder(others, knows.transform, class_names=knows.class_names)
    elif real is None:
        further = Mnist("train")
    count = steps or makes.steps
    with progress("Sampling", total=per_class * len(knows.class_names) * count, unit="steps") as advance:
        found = measure_fidelity(
            makes,
            knows,
            known,
            others=further,
            per_class=per_class,
            text=text,
            after_step=advance,
            steps=steps,
            guidance=guidance,
            sampler=sampler,
            seed=seed,
            batch_size=batch_size,
        )
    if output is not None:
        from nemo_mm.images.grid import picture_grid, save_picture

        shown = min(per_class, 10)
        images = found.images.unflatten(0, (-1, per_class))[:, :shown].flatten(0, 1)
        save_picture(picture_grid(images.numpy(), shown), output)
    summary = {name: value for name, value in vars(found).items() if name != "images"}
    if json:
        print_json({**summary, "picture": None if output is None else str(output)})
        return
    rows: list[tuple[str, object]] = [
        ("pictures", found.samples),
        ("recognised", f"{100 * found.recognized:.1f} %"),
        ("least recognised", "{} {:.1f} %".format(*_least(found.by_class))),
        ("real ones recognised", f"{100 * found.judge_accuracy:.1f} %"),
        ("Fréchet distance", f"{found.frechet:.3f}"),
        ("of real ones", None if found.frechet_floor is None else f"{found.frechet_floor:.3f}"),
        ("steps", f"{found.steps} ({found.evaluations} evaluations), guidance {found.guidance:g}"),
        ("time", f"{found.seconds:.1f} s"),
    ]
    table("Fidelity", ("what", "value"), rows)


def _least(by_class: dict[str, float]) -> tuple[str, float]:
    name = min(by_class, key=lambda each: by_class[each])
    return name, 100 * by_class[name]
