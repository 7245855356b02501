"""Muon for matrices and AdamW for all else, as one optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import AdamW, Optimizer

from nemo_core.errors import ConfigError
from nemo_core.training.optim.per_tensor import evaluate

__all__ = ["Muon"]


class Muon(Optimizer):
    """Orthogonalised momentum (Keller Jordan, 2024; kellerjordan.github.io/posts/muon) where a parameter is a matrix.

    torch's Muon takes matrices only. Here the other parameters of each group (biases, norms, convolutions) go to AdamW
    with rates of its own, so that one optimiser, as a training loop expects, serves a whole model. Groups with
    ``muon: false`` go to AdamW altogether; the authors advise it for embeddings and output layers.

    Args:
        params: Parameters or groups.
        lr: Learning rate for matrices.
        weight_decay: Decoupled weight decay, for all.
        momentum: Momentum for matrices.
        nesterov: Whether it is Nesterov's.
        ns_steps: Newton-Schulz iterations.
        adjust_lr_fn: How the rate is adapted to a matrix's shape: ``original`` or ``match_rms_adamw``.
        adamw_lr: Learning rate for all else.
        adamw_betas: Decay of AdamW's moments.
        adamw_eps: AdamW's epsilon.

    Example:
        >>> layer = torch.nn.Linear(4, 3)
        >>> optimizer = Muon(layer.parameters(), lr=0.02, adamw_lr=0.001)
        >>> [(group["muon"], len(group["params"]), group["lr"]) for group in optimizer.param_groups]
        [(True, 1, 0.02), (False, 1, 0.001)]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        adamw_lr: float = 3e-4,
        adamw_betas: tuple[float, float] = (0.9, 0.95),
        adamw_eps: float = 1e-8,
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise ConfigError("the optimiser muon needs torch >= 2.9", hint="upgrade torch, or use adamw")
        given: list[Any] = list(params)
        groups = given if given and isinstance(given[0], dict) else [{"params": given}]
        divided = []
        for group in groups:
            members = [group["params"]] if isinstance(group["params"], torch.Tensor) else list(group["params"])
            options = {key: value for key, value in group.items() if key not in ("params", "muon", "adamw_lr")}
            matrices = [p for p in members if p.ndim == 2 and group.get("muon", True)]
            rest = [p for p in members if p.ndim != 2 or not group.get("muon", True)]
            if matrices:
                divided.append({"lr": lr, **options, "params": matrices, "muon": True})
            if rest:
                # A group's own lr is that of its matrices; what goes to AdamW scales with it.
                scale = float(options.get("lr", lr)) / lr if lr else 1.0  # type: ignore[arg-type]
                divided.append(
                    {**options, "lr": group.get("adamw_lr", adamw_lr * scale), "params": rest, "muon": False}
                )
        shared = {"weight_decay": weight_decay}
        super().__init__(divided, {"lr": lr, "muon": True, **shared})
        self._options: dict[bool, dict[str, Any]] = {
            True: {
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
                **shared,
            },
            False: {"betas": tuple(adamw_betas), "eps": adamw_eps, **shared},
        }
        self._bind()

    def _bind(self) -> None:
        """Let the two optimisers at work share this one's groups and state: schedulers and checkpoints see all."""
        self._parts: list[Optimizer] = []
        for muon, cls in ((True, torch.optim.Muon), (False, AdamW)):
            groups = [group for group in self.param_groups if group["muon"] is muon]
            if groups:
                part = cls([dict(group) for group in groups], **self._options[muon])
                for group, complete in zip(groups, part.param_groups, strict=True):
                    for key, value in complete.items():
                        group.setdefault(key, value)
                part.param_groups = groups
                part.state = self.state
                self._parts.append(part)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state; it replaces the groups, so they are shared anew."""
        super().load_state_dict(state_dict)
        self._bind()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step."""
        loss = evaluate(closure)
        for part in self._parts:
            part.step()
        return loss
