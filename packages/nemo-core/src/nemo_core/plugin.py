"""What nemo-core itself registers, through the same hook that any plugin uses."""

from __future__ import annotations

from nemo_core.plugins import Registry, hookimpl


@hookimpl
def nemo_components(registry: Registry) -> None:
    """Register the commands of the framework."""
    registry.command(
        "doctor", "nemo_core.cli.doctor:doctor", summary="Show versions, devices, plugins and what is missing"
    )
    registry.command("plugins", "nemo_core.cli.plugins:app", summary="List, check and create plugins")
    registry.command("recipes", "nemo_core.cli.recipes:app", summary="List and show training recipes")
    registry.command("components", "nemo_core.cli.components:app", summary="List and show what recipes can build")
    registry.command("train", "nemo_core.cli.train:train", summary="Train or fine-tune a model from a recipe")
    registry.command("archive", "nemo_core.cli.archive:app", summary="Show and verify model archives")
    registry.command("models", "nemo_core.cli.models:app", summary="List, show and fetch pretrained models")
