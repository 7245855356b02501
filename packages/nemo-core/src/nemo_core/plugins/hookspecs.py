"""The hooks that a plugin can implement.

A plugin implements a hook by a function of the same name, marked :data:`hookimpl`, in the module that its entry point
names. It may take fewer parameters than the hook has. Plugins are called last registered first, unless an
implementation asks for ``hookimpl(tryfirst=True)`` or ``hookimpl(trylast=True)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from nemo_core.plugins.components import Registry

if TYPE_CHECKING:
    from pytorch_lightning import Callback

__all__ = [
    "NAMESPACE",
    "Check",
    "hookimpl",
    "hookspec",
    "nemo_callbacks",
    "nemo_components",
    "nemo_config_problems",
    "nemo_doctor",
]

NAMESPACE = "nemo"

hookspec = pluggy.HookspecMarker(NAMESPACE)

#: Marks a function of a plugin as the implementation of the hook that has its name.
hookimpl = pluggy.HookimplMarker(NAMESPACE)


@dataclass(frozen=True)
class Check:
    """One line of ``nemo doctor``.

    Attributes:
        name: What was looked at, such as ``"sox"``.
        status: ``"ok"``; ``"missing"`` where something optional is absent; ``"broken"`` where something is at fault.
        detail: What was found, such as a version or a path.
        cost: What does not work because of it; empty when all is well.
        hint: What to do about it.
    """

    name: str
    status: Literal["ok", "missing", "broken"]
    detail: str = ""
    cost: str = ""
    hint: str = ""


@hookspec(historic=True)
def nemo_components(registry: Registry) -> None:
    """Register the components that the plugin offers.

    Called once, as soon as the plugin is loaded, by whatever first asks for the registry; that includes
    ``nemo --help``, so neither this function nor the module around it may import torch, Lightning or anything else that
    takes time. Name what you offer by its import path.

    What wins: nobody. A name that two plugins register is an error that names both distributions. If this function
    raises, nothing that it registered remains.

    Args:
        registry: Where to register, with ``registry.module(name, target, summary=...)`` and its siblings.
    """


@hookspec
def nemo_callbacks(config: Mapping[str, Any]) -> Iterable[Callback]:  # type: ignore[empty-body]
    """Offer Lightning callbacks for a training run.

    Called once per process of a run, after the model and the data are built and before the trainer is. Import what you
    need inside the function.

    What wins: all results are used. They are added after the callbacks that the configuration itself asks for.

    Args:
        config: The complete configuration of the run, resolved. Do not change it.

    Returns:
        Callbacks; an empty sequence if the run does not concern you.
    """


@hookspec
def nemo_config_problems(config: Mapping[str, Any]) -> Iterable[Any]:  # type: ignore[empty-body]
    """Find mistakes in a configuration that schemas cannot see, such as two sections that do not agree.

    Called whenever a configuration is validated, after the checks of the framework. Must not import torch.

    What wins: all results are reported, beside the framework's own.

    Args:
        config: The composed configuration. Interpolations may be unresolved.

    Returns:
        ``nemo_core.config.Problem`` records; an empty sequence if there is nothing to say.
    """


@hookspec
def nemo_doctor() -> Iterable[Check]:  # type: ignore[empty-body]
    """Look at what the plugin needs from its surroundings: optional packages, programs, devices.

    Called by ``nemo doctor``. May import heavy packages. An implementation that raises is reported as a broken check.

    What wins: all results are shown.

    Returns:
        One :class:`Check` for each thing looked at.
    """
