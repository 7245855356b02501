"""Megatron-core's optimizer as Lightning sees one: a ``torch.optim.Optimizer`` that schedulers and callbacks know."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from nemo_core.errors import ConfigError, TrainingError
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["EngineOptimizer", "build_optimizer"]

_NAMES = {"adam": "adam", "adamw": "adam", "fusedadam": "adam", "fused_adam": "adam", "sgd": "sgd"}
_COMMON = {"name", "lr", "weight_decay", "scheduler", "decay_bias_and_norm", "param_groups"}
_OWN = {"adam": {"betas", "eps", "decoupled"}, "sgd": {"momentum"}}


class EngineOptimizer(torch.optim.Optimizer):
    """Wraps the engine's optimizer.

    A step has two parts, so that whoever watches (``NaNGuard``) can look between them: :meth:`prepare` brings gradients
    into the form that the optimizer uses and returns their norm over all processes; :meth:`step` clips and updates.

    Args:
        inner: Megatron-core's optimizer.
        chunks: The parts of the model, wrapped for data parallelism.
        clip: Largest norm of all gradients; 0: they are not clipped.
    """

    def __init__(self, inner: Any, chunks: Sequence[Any], clip: float = 0.0) -> None:
        self.inner, self.chunks, self.clip = inner, list(chunks), clip
        self._norm: float | None = None
        self._skip = False
        self.skipped_steps = 0
        super().__init__([torch.nn.Parameter(torch.zeros(()))], {})

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The engine's own groups: a rate set here is the rate that is used."""
        groups: list[dict[str, Any]] = self.inner.param_groups
        return groups or self._empty

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        self._empty = [{"params": [], "lr": 0.0}]  # of a stage that has nothing to train

    @property
    def state(self) -> Any:
        """Nothing: checkpoints take the state from the engine."""
        return {}

    @state.setter
    def state(self, value: Any) -> None:
        """The engine keeps it."""

    def prepare(self) -> float:
        """Return the norm of all gradients, before clipping; infinite where a loss scale was too large."""
        if self._norm is None:
            overflow = self.inner.prepare_grads()
            self._norm = math.inf if overflow else float(self.inner.get_grad_norm() or 0.0)
        return self._norm

    def gradients_finite(self) -> bool:
        """Whether all gradients of all processes are finite; asked by ``NaNGuard``."""
        if self.scales_loss:  # the scaler skips such steps itself, and lowers its scale
            self.prepare()
            return True
        return math.isfinite(self.prepare())

    def skip(self) -> None:
        """Leave the weights as they are in the step to come."""
        self._skip = True

    @property
    def scales_loss(self) -> bool:
        """Whether there is a loss scale that overflowing steps lower (fp16)."""
        return bool(self.inner.config.fp16)

    def scale_loss(self, loss: torch.Tensor) -> torch.Tensor:
        """Return the loss times the loss scale."""
        scaled: torch.Tensor = self.inner.scale_loss(loss)
        return scaled

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Run the closure (forward and backward), clip the gradients and update the weights."""
        result = closure() if closure is not None else None
        norm = self.prepare()
        skip = self._skip or not math.isfinite(norm)
        self._norm, self._skip = None, False
        if skip:
            self.skipped_steps += 1
            return result
        with self._clipped(self.clip / (norm + 1e-6) if 0.0 < self.clip < norm else 1.0):
            if not self.inner.step_with_ready_grads():
                raise TrainingError("the optimizer could not update the weights")
        return result

    @contextlib.contextmanager
    def _clipped(self, factor: float) -> Iterator[None]:
        """Multiply the gradients; where the update can do that on the way, leave it to the update."""
        fused = []
        for each in getattr(self.inner, "chained_optimizers", [self.inner]):
            if getattr(each, "is_stub_optimizer", False):
                continue
            if _in_one_pass(each.optimizer):
                fused.append(each.optimizer)
            elif factor != 1.0:
                self._scale(each, factor)
        for each in fused:
            each.grad_scale = torch.tensor(1.0 / factor)
        try:
            yield
        finally:
            for each in fused:
                del each.grad_scale

    def _scale(self, each: Any, factor: float) -> None:
        gradients = []
        for parameter in each.get_parameters():
            gradient = getattr(parameter, "decoupled_grad", None)
            gradient = parameter.grad if gradient is None else gradient
            if gradient is not None:
                gradients.append(getattr(gradient, "_local_tensor", gradient))
        if gradients:
            torch._foreach_mul_(gradients, factor)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Do nothing: a step begins with empty gradients, since forward and backward are one call of the engine."""

    def clear(self) -> None:
        """Empty the gradients."""
        for chunk in self.chunks:
            chunk.zero_grad_buffer()
        self.inner.zero_grad()
        self._norm = None


def _in_one_pass(optimizer: Any) -> bool:
    """Have torch's Adam update all that belongs to a weight in one pass over memory, on a processor; say if it does."""
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return False
    tensors = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if not tensors or any(type(each) not in (torch.Tensor, torch.nn.Parameter) or each.is_cuda for each in tensors):
        return False
    for group in optimizer.param_groups:
        group["fused"], group["foreach"] = True, None
    optimizer._step_supports_amp_scaling = True
    return True


def build_optimizer(
    optim: Mapping[str, Any], chunks: Sequence[Any], *, dtype: torch.dtype, sharding: str, clip: float, options: Any
) -> EngineOptimizer:
    """Build the engine's optimizer of a recipe's ``optim`` section.

    Args:
        optim: ``name`` (adamw, adam or sgd), ``lr``, ``betas``, ``eps``, ``momentum``, ``weight_decay``, ...
        chunks: The parts of the model, wrapped for data parallelism.
        dtype: What weights are stored in.
        sharding: As in :class:`~nemo_llm.megatron.options.Options`.
        clip: Largest norm of all gradients; 0: not clipped.
        options: :class:`~nemo_llm.megatron.options.Options`.

    Raises:
        ConfigError: The engine has no such optimizer, or it does not take an argument.
    """
    from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer, get_standard_config_overrides

    name = str(optim["name"])
    kind = _NAMES.get(name.lower())
    if kind is None:
        raise ConfigError(f"optim.name: Megatron-core has no optimizer {name!r}", hint="one of adamw, adam, sgd")
    known = _COMMON | _OWN[kind]
    for key, value in optim.items():
        if key not in known and value is not None:
            raise ConfigError(f"optim.{key} is not an argument of {name}", hint=did_you_mean(str(key), sorted(known)))
    rate, decay = float(optim["lr"]), float(optim.get("weight_decay") or 0.0)
    beta1, beta2 = optim.get("betas") or (0.9, 0.999)
    config = OptimizerConfig(
        optimizer=kind,
        lr=rate,
        min_lr=0.0,
        weight_decay=decay,
        adam_beta1=float(beta1),
        adam_beta2=float(beta2),
        adam_eps=float(optim.get("eps") or 1e-8),
        decoupled_weight_decay=optim.get("decoupled", True) if name.lower() != "adam" else False,
        sgd_momentum=float(optim.get("momentum") or 0.0),
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        params_dtype=dtype,
        use_distributed_optimizer=sharding != "fsdp2" and chunks[0].ddp_config.use_distributed_optimizer,
        overlap_param_gather=options.overlap_param_gather,
        clip_grad=clip,
        loss_scale=options.fp16_loss_scale,
        initial_loss_scale=2.0**16,
        optimizer_cpu_offload=options.cpu_offload_optimizer > 0,
        optimizer_offload_fraction=options.cpu_offload_optimizer,
        **options.optimizer,
    )
    overrides = {} if optim.get("decay_bias_and_norm", True) else get_standard_config_overrides(config)
    overrides |= _own_groups(optim.get("param_groups") or {}, chunks)
    inner = get_megatron_optimizer(
        config, list(chunks), config_overrides=overrides, use_gloo_process_groups=torch.cuda.is_available()
    )
    for group in inner.param_groups:
        group["lr"] = float(group.get("max_lr") or rate)
        group["weight_decay"] = decay * group.get("wd_mult", 1.0)
    return EngineOptimizer(inner, chunks, clip)


def _own_groups(groups: Mapping[str, Mapping[str, Any]], chunks: Sequence[Any]) -> dict[Any, Any]:
    """Return the engine's overrides for ``optim.param_groups``: name of a part -> its lr or weight_decay."""
    from megatron.core.optimizer import ParamKey

    found: dict[Any, Any] = {}
    names = [name for chunk in chunks for name, _ in chunk.named_parameters()]
    for pattern, values in groups.items():
        for key in values:
            if key not in ("lr", "wd_mult"):
                raise ConfigError(f"optim.param_groups.{pattern}.{key} is not known", hint="give lr or wd_mult")
        if not any(pattern in name for name in names):
            raise ConfigError(f"optim.param_groups: the model has no part {pattern!r}", hint=f"it has {names[:5]}, ...")
        change = {"max_lr" if key == "lr" else key: value for key, value in values.items()}
        found[ParamKey(name=f"*{pattern}*")] = change
    return found
