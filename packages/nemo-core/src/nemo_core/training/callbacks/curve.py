"""The picture of a training: losses, learning rate and metrics over steps."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from nemo_core.training.csv_log import read_metrics

__all__ = ["Curve", "draw_curve"]

logger = logging.getLogger(__name__)

_INK, _GRID = "#1f2933", "#e4e7eb"
_COLOURS = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#dc2626", "#0891b2")
_SKIP = {"step", "epoch", "step_seconds", "lr"}


class Curve(Callback):
    """Draws ``curve.png`` from ``metrics.csv`` when training ends, in whatever way.

    Args:
        metrics: The CSV file.
        picture: The PNG file.
        title: Written above.
    """

    def __init__(self, metrics: Path, picture: Path, title: str) -> None:
        self.metrics, self.picture, self.title = metrics, picture, title

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        self._draw(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Draw what there is."""
        self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero or not self.metrics.exists():
            return
        try:
            draw_curve(self.metrics, self.picture, self.title)
        except Exception as error:  # a picture is no reason to lose a run
            logger.warning("the training curve could not be drawn: %s", error)


def draw_curve(metrics: Path, picture: Path, title: str) -> None:
    """Draw losses, learning rate and other metrics, each group in a panel of its own, and save it as ``picture``."""
    # The object interface of matplotlib: pyplot would keep global state and pick a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    series = {name: points for name, points in read_metrics(metrics).items() if name not in _SKIP and points}
    rate = read_metrics(metrics).get("lr", [])
    losses = {name: points for name, points in series.items() if "loss" in name and not name.startswith("test")}
    others = {name: points for name, points in series.items() if "loss" not in name and not name.startswith("test")}
    panels: list[tuple[str, dict[str, Any]]] = [("loss", losses), ("metric", others), ("learning rate", {"lr": rate})]
    panels = [(label, lines) for label, lines in panels if any(lines.values())]
    if not panels:
        return
    figure = Figure(figsize=(9, 1.2 + 2.4 * len(panels)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    heights = [1 if label == "learning rate" else 2 for label, _ in panels]
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=_INK)
    for axis, (label, lines) in zip(axes, panels, strict=True):
        for colour, (name, points) in zip(_COLOURS * len(lines), sorted(lines.items()), strict=False):
            _plot(axis, name, points, colour)
        _style(axis, label, legend=label != "learning rate")
    positive = [value for points in losses.values() for _, value in points if value > 0]
    if panels[0][0] == "loss" and positive and max(positive) > 50 * min(positive):
        axes[0].set_yscale("log")
    axes[-1].set_xlabel("optimiser step", color=_INK)
    temporary = picture.with_name(f".{picture.name}")
    figure.savefig(temporary, dpi=150, format="png")
    temporary.replace(picture)


def _plot(axis: Any, name: str, points: list[tuple[int, float]], colour: str) -> None:
    steps, values = [step for step, _ in points], [value for _, value in points]
    noisy = len(values) > 40 and name != "lr"
    axis.plot(steps, values, color=colour, linewidth=1, alpha=0.25 if noisy else 1, label=None if noisy else name)
    if noisy:
        axis.plot(steps, _smooth(values), color=colour, linewidth=1.8, label=name)
    elif len(values) <= 40:
        axis.plot(steps, values, "o", color=colour, markersize=3)
    last = _smooth(values)[-1] if noisy else values[-1]
    if name != "lr":
        axis.annotate(
            f"{last:.3g}", (steps[-1], last), xytext=(5, 0), textcoords="offset points", color=colour, fontsize=8
        )


def _smooth(values: list[float]) -> list[float]:
    """Exponential mean over about a fortieth of the series, corrected for its start."""
    decay = 1 - min(1.0, 40 / len(values))
    smooth, mean, weight = [], 0.0, 0.0
    for value in values:
        mean, weight = decay * mean + (1 - decay) * value, decay * weight + (1 - decay)
        smooth.append(mean / weight)
    return smooth


def _style(axis: Any, label: str, legend: bool) -> None:
    axis.set_ylabel(label, color=_INK)
    axis.grid(True, color=_GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=_INK, labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(_GRID)
    if legend:
        axis.legend(frameon=False, fontsize=8, loc="best")
