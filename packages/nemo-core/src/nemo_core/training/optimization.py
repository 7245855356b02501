"""From the ``optim`` section of a recipe to what Lightning's ``configure_optimizers`` returns."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch.optim import Optimizer

from nemo_core.errors import ConfigError
from nemo_core.plugins import Registry
from nemo_core.plugins import registry as process_registry

__all__ = ["attach_optimizer", "build_optimizer", "build_scheduler", "parameter_groups"]

_OPTIM_KEYS = {"name", "scheduler", "decay_bias_and_norm", "param_groups"}
_SCHEDULER_KEYS = {"name", "interval", "frequency", "monitor"}
# These count epochs by nature, unless a recipe says otherwise; all others count steps.
_BY_EPOCH = {"ExponentialLR", "ReduceLROnPlateau"}


def attach_optimizer(
    model: Any, optim: Mapping[str, Any], *, monitor: str = "val_loss", registry: Registry | None = None
) -> None:
    """Give ``model`` the optimiser that a recipe's ``optim`` section describes.

    A model that overrides ``configure_optimizers`` keeps its own and reads ``model.optim`` if it likes.

    Args:
        model: Any Lightning module; its ``optim`` and ``optimizer_factory`` are set.
        optim: ``name``, the optimiser's arguments, ``scheduler``, ``decay_bias_and_norm``, ``param_groups``.
        monitor: The metric that ReduceLROnPlateau watches, where the scheduler's section names none.
        registry: Where names are looked up; the process's registry if not given.

    Example:
        >>> model = LightningModule()
        >>> model.layer = torch.nn.Linear(2, 2)
        >>> attach_optimizer(model, {"name": "adamw", "lr": 0.1})
        >>> type(model.optimizer_factory(model)["optimizer"]).__name__
        'AdamW'
    """
    # A partial of a function at the top of a module, unlike a closure, can be copied and pickled with the model.
    factory = functools.partial(_configure, optim=dict(optim), monitor=monitor, registry=registry)
    model.optim, model.optimizer_factory = dict(optim), factory


def _configure(
    model: LightningModule, *, optim: dict[str, Any], monitor: str, registry: Registry | None
) -> dict[str, Any]:
    optimizer = build_optimizer(model, optim, registry=registry)
    configured: dict[str, Any] = {"optimizer": optimizer}
    if optim.get("scheduler"):
        trainer = model._trainer
        steps = trainer.estimated_stepping_batches if trainer is not None else float("inf")
        max_steps = int(steps) if steps not in (float("inf"), -1) else None
        configured["lr_scheduler"] = build_scheduler(
            optimizer, optim["scheduler"], max_steps=max_steps, monitor=monitor, registry=registry
        )
    return configured


def build_optimizer(model: torch.nn.Module, optim: Mapping[str, Any], *, registry: Registry | None = None) -> Optimizer:
    """Build the optimiser named ``optim["name"]`` for the trainable parameters of ``model``.

    Raises:
        ComponentNotFoundError: There is no optimiser of that name.
        ConfigError: An argument or a parameter group does not fit.
    """
    component = (registry or process_registry()).get("optimizer", str(optim["name"]))
    arguments = {key: value for key, value in optim.items() if key not in _OPTIM_KEYS and value is not None}
    groups = parameter_groups(
        model,
        getattr(model, "optim_param_groups", None) or optim.get("param_groups") or {},
        decay_bias_and_norm=bool(optim.get("decay_bias_and_norm", True)),
    )
    if not groups:
        raise ConfigError("the model has no trainable parameters", hint="unfreeze some, or do not train it")
    optimizer: Optimizer = _call(component.load(), component.name, "optim", groups, arguments)
    return optimizer


def build_scheduler(
    optimizer: Optimizer,
    settings: Mapping[str, Any],
    *,
    max_steps: int | None,
    monitor: str = "val_loss",
    registry: Registry | None = None,
) -> dict[str, Any]:
    """Build the scheduler named ``settings["name"]`` and say when Lightning shall step it.

    ``max_steps`` is handed to schedulers that take it, unless ``settings`` has it.
    """
    component = (registry or process_registry()).get("scheduler", str(settings["name"]))
    arguments = {key: value for key, value in settings.items() if key not in _SCHEDULER_KEYS and value is not None}
    cls = component.load()
    if "max_steps" in inspect.signature(cls).parameters:
        arguments.setdefault("max_steps", max_steps)
    scheduler = _call(cls, component.name, "optim.scheduler", optimizer, arguments)
    plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    return {
        "scheduler": scheduler,
        "interval": settings.get("interval") or ("epoch" if cls.__name__ in _BY_EPOCH else "step"),
        "frequency": settings.get("frequency") or 1,
        "monitor": settings.get("monitor") or monitor,
        "reduce_on_plateau": plateau,
        "strict": True,
    }


def parameter_groups(
    model: torch.nn.Module, groups: Mapping[str, Mapping[str, Any]], *, decay_bias_and_norm: bool = True
) -> list[dict[str, Any]]:
    """Divide the trainable parameters of ``model`` among the groups of an optimiser.

    Args:
        model: Whose parameters.
        groups: Name of a submodule or parameter (``encoder``, ``encoder.layers.0``) -> options of its group (``lr``,
            ``weight_decay``). The longest name that fits a parameter wins; what fits none keeps the optimiser's own.
        decay_bias_and_norm: If false, parameters with less than two dimensions (biases, norms, scales) are not decayed.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
        >>> groups = parameter_groups(model, {"1": {"lr": 0.01}}, decay_bias_and_norm=False)
        >>> [(len(group["params"]), {k: v for k, v in group.items() if k != "params"}) for group in groups]
        [(1, {}), (1, {'weight_decay': 0.0}), (1, {'lr': 0.01}), (1, {'lr': 0.01, 'weight_decay': 0.0})]
    """
    names = sorted(groups, key=len, reverse=True)
    divided: dict[tuple[str, bool], list[torch.nn.Parameter]] = {}
    for parameter_name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        fits = (name for name in names if parameter_name == name or parameter_name.startswith(f"{name}."))
        spared = not decay_bias_and_norm and parameter.ndim < 2
        divided.setdefault((next(fits, ""), spared), []).append(parameter)
    for name in groups:
        known = dict(model.named_modules()).keys() | dict(model.named_parameters()).keys()
        if name not in known:
            raise ConfigError(
                f"optim.param_groups: the model has no submodule or parameter {name!r}",
                hint="it has " + ", ".join(child for child, _ in model.named_children()),
            )
    order = {"": 0} | {name: number for number, name in enumerate(groups, start=1)}
    return [
        {"params": parameters, **(groups[name] if name else {}), **({"weight_decay": 0.0} if spared else {})}
        for (name, spared), parameters in sorted(divided.items(), key=lambda item: (order[item[0][0]], item[0][1]))
    ]


def _call(cls: Any, name: str, where: str, first: Any, arguments: dict[str, Any]) -> Any:
    """Construct, with errors that name the section of the recipe."""
    try:
        inspect.signature(cls).bind(first, **arguments)
    except TypeError as error:
        known = [key for key in inspect.signature(cls).parameters if key not in ("self", "params", "optimizer")]
        raise ConfigError(f"{where}: {name}: {error}", hint=f"it takes {', '.join(known)}") from None
    try:
        return cls(first, **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{where}: {name} cannot be built: {error}") from error
