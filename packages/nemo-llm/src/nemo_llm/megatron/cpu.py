"""Megatron-core on a machine without a GPU: the engine's own code, unchanged, over gloo.

The engine takes a CUDA device for granted in a handful of ways. Each has an entry in :data:`SUBSTITUTIONS` that says
why it is there; a test shows for each that the engine still needs it. They are active between :func:`activate` and
:func:`deactivate`, and only where torch sees no CUDA device. All but two touch nothing outside the engine: its modules
get a stand-in for the name ``torch`` that answers questions about CUDA for the CPU. The two are ``Tensor.cuda`` and
``Module.cuda``, which would fail in any case and return what they are called on instead.

What needs no substitution is set in the engine's configuration (:func:`nemo_llm.models.gpt.engine_config`): no fused
kernels, no batched point-to-point messages (over gloo they deliver wrong gradients to interleaved pipelines), weights
initialised on the CPU; and norms that are ours, since the engine's own refuse sequence parallelism.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import logging
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nemo_core.errors import ConfigError

__all__ = ["SUBSTITUTIONS", "SUPPORTED", "Substitution", "activate", "check_version", "deactivate", "import_engine"]

#: Versions of megatron-core that this is written for and tested with.
SUPPORTED = ("0.16", "0.17")

# Parts of the engine that we use; all are imported before any substitution, so that none is missed.
_PARTS = (
    "parallel_state",
    "tensor_parallel.random",
    "tensor_parallel.mappings",
    "tensor_parallel.layers",
    "tensor_parallel.data",
    "distributed.distributed_data_parallel",
    "distributed.torch_fully_sharded_data_parallel",
    "distributed.finalize_model_grads",
    "distributed.param_and_grad_buffer",
    "optimizer",
    "optimizer.optimizer",
    "optimizer.distrib_optimizer",
    "optimizer.clip_grads",
    "optimizer.grad_scaler",
    "pipeline_parallel.schedules",
    "pipeline_parallel.p2p_communication",
    "models.gpt.gpt_model",
    "models.gpt.gpt_layer_specs",
    "models.bert.bert_model",
    "models.T5.t5_model",
    "models.common.embeddings.rotary_pos_embedding",
    "models.common.embeddings.yarn_rotary_pos_embedding",
    "transformer.attention",
    "transformer.utils",
    "transformer.multi_latent_attention",
    "transformer.moe.experts",
    "transformer.moe.moe_layer",
    "transformer.moe.moe_utils",
    "transformer.moe.router",
    "transformer.moe.shared_experts",
    "transformer.moe.token_dispatcher",
    "dist_checkpointing",
    "dist_checkpointing.strategies.torch",
)


class Patches:
    """Values that were put in the place of others, and how to undo that; collects what the stand-in answers."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}  # dotted name below ``torch`` -> what the engine finds there
        self._undo = contextlib.ExitStack()

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute until :meth:`undo`."""
        if name in vars(owner):
            self._undo.callback(setattr, owner, name, vars(owner)[name])
        else:
            self._undo.callback(delattr, owner, name)
        setattr(owner, name, value)

    def at_end(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function`` when all is put back."""
        self._undo.callback(function, *args)

    def undo(self) -> None:
        """Put everything back."""
        self._undo.close()


@dataclass(frozen=True)
class Substitution:
    """One thing that the engine assumes about CUDA, and what it gets instead.

    Attributes:
        name: What it is called.
        reason: What the engine does, and why that cannot work here.
        apply: Puts it in place.
    """

    name: str
    reason: str
    apply: Callable[[Patches], None]


def _current_device(patches: Patches) -> None:
    cpu = torch.device("cpu")
    patches.answers |= {
        "cuda.current_device": lambda: cpu,
        "cuda.synchronize": lambda *_: None,
        "cuda.empty_cache": lambda: None,
    }


def _factories(patches: Patches) -> None:
    for name in ("tensor", "zeros", "ones", "empty", "full", "arange", "zeros_like", "ones_like", "empty_like", "eye"):
        patches.answers[name] = _on_the_cpu(getattr(torch, name))


def _on_the_cpu(factory: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(factory)
    def create(*args: Any, **options: Any) -> Any:
        if str(options.get("device", "")).startswith("cuda"):
            options["device"] = "cpu"
        if options.get("pin_memory"):  # a copy from page-locked memory to nowhere
            options["pin_memory"] = False
        return factory(*args, **options)

    return create


def _move_to_gpu(patches: Patches) -> None:
    patches.set(torch.Tensor, "cuda", lambda self, *args, **options: self)
    patches.set(torch.nn.Module, "cuda", lambda self, *args, **options: self)


def _random_numbers(patches: Patches) -> None:
    patches.answers |= {
        "cuda.get_rng_state": lambda *_, **__: torch.get_rng_state(),
        "cuda.set_rng_state": lambda state, *_, **__: torch.set_rng_state(state),
        "cuda.manual_seed": torch.manual_seed,
    }
    random = _module("tensor_parallel.random")
    patches.set(random, "_get_cuda_rng_state", lambda *_, **__: torch.get_rng_state())
    patches.set(random, "_set_cuda_rng_state", lambda state, *_, **__: torch.set_rng_state(state))
    # It warns that what is done under CUDA's generator has moved the CPU's; here the two are one.
    log = logging.getLogger(random.__name__)
    log.addFilter(_not_of_two_generators)
    patches.at_end(log.removeFilter, _not_of_two_generators)


def _not_of_two_generators(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("CPU RNG state changed")


def _streams(patches: Patches) -> None:
    stream = _Inert()
    patches.answers |= {
        "cuda.Stream": lambda *_, **__: stream,
        "cuda.Event": lambda *_, **__: stream,
        "cuda.current_stream": lambda *_: stream,
        "cuda.default_stream": lambda *_: stream,
        "cuda.stream": lambda *_: contextlib.nullcontext(),
        "cuda.set_stream": lambda *_: None,
    }


class _Inert:
    """A stream or an event where there is no other: all work is done in order, so there is nothing to wait for."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_, **__: self


def _type_names(patches: Patches) -> None:
    optimizer, distributed = _module("optimizer.optimizer"), _module("optimizer.distrib_optimizer")
    clipping = _module("optimizer.clip_grads")
    for owner, name in (
        (optimizer.Float16OptimizerWithFloat16Params, "__init__"),
        (distributed.DistributedOptimizer, "__init__"),
        (distributed.DistributedOptimizer, "_build_model_and_main_param_groups"),
        (clipping, "clip_grad_by_total_norm_fp32"),
        (optimizer, "clip_grad_by_total_norm_fp32"),
    ):
        patches.set(owner, name, _with_cuda_type_names(vars(owner)[name]))


def _with_cuda_type_names(function: Any) -> Any:
    """Let ``tensor.type()`` say ``torch.cuda.FloatTensor`` for ``torch.FloatTensor`` while ``function`` runs."""
    inner = function.__func__ if isinstance(function, classmethod) else function
    real = torch.Tensor.type

    def type_(self: torch.Tensor, dtype: Any = None, *args: Any, **options: Any) -> Any:
        if dtype is not None:
            return real(self, dtype, *args, **options)
        return str(real(self)).replace("torch.", "torch.cuda.", 1)

    @functools.wraps(inner)
    def call(*args: Any, **options: Any) -> Any:
        before = torch.Tensor.type
        torch.Tensor.type = type_  # type: ignore[assignment]
        try:
            return inner(*args, **options)
        finally:
            torch.Tensor.type = before  # type: ignore[method-assign]

    return classmethod(call) if isinstance(function, classmethod) else call


def _router_product(patches: Patches) -> None:
    patches.set(_module("transformer.moe.moe_utils"), "te_general_gemm", None)


def _fp8_state(patches: Patches) -> None:
    random = _module("tensor_parallel.random")
    patches.set(random, "FP8GlobalStateManager", types.SimpleNamespace(is_fp8_enabled=lambda: False))
    patches.set(random, "activation_recompute_forward", lambda **_: contextlib.nullcontext())
    patches.set(random, "fp8_autocast", lambda **_: contextlib.nullcontext())


def _split_sizes(patches: Patches) -> None:
    mappings = _module("tensor_parallel.mappings")
    inner = mappings.all_to_all

    def all_to_all(group: Any, input_: Any, output_split_sizes: Any = None, input_split_sizes: Any = None) -> Any:
        as_list = [s.tolist() if isinstance(s, torch.Tensor) else s for s in (output_split_sizes, input_split_sizes)]
        return inner(group, input_, *as_list)

    for module in _modules():
        if vars(module).get("all_to_all") is inner:
            patches.set(module, "all_to_all", all_to_all)


def _compiled_functions(patches: Patches) -> None:
    for module in _modules():
        owners = [module, *(each for each in vars(module).values() if inspect.isclass(each))]
        for owner in owners:
            for name, value in list(vars(owner).items()):
                plain = getattr(value, "_torchdynamo_orig_callable", None)
                if plain is not None:
                    patches.set(owner, name, plain)


def _device_mesh(patches: Patches) -> None:
    module = _module("distributed.torch_fully_sharded_data_parallel")
    mesh = module.DeviceMesh

    class CPUMesh(mesh):  # type: ignore[misc, valid-type]
        @staticmethod
        def from_group(group: Any, device_type: str, *args: Any, **options: Any) -> Any:
            return mesh.from_group(group, "cpu", *args, **options)

    patches.set(module, "DeviceMesh", CPUMesh)


SUBSTITUTIONS: Mapping[str, Substitution] = types.MappingProxyType(
    {
        each.name: each
        for each in (
            Substitution(
                "current_device",
                "buffers are made on torch.cuda.current_device(), and torch.cuda.synchronize() is called around "
                "point-to-point messages; a build without CUDA raises in both",
                _current_device,
            ),
            Substitution(
                "factories",
                'scalars, counters and masks are made with device="cuda" written out',
                _factories,
            ),
            Substitution(
                "move_to_gpu",
                "weights and scales are moved with .cuda(), which raises without a CUDA device",
                _move_to_gpu,
            ),
            Substitution(
                "random_numbers",
                "the tracker that gives tensor-parallel ranks dropout of their own keeps states of CUDA's generator",
                _random_numbers,
            ),
            Substitution(
                "streams",
                "shared experts and token dispatch overlap on CUDA streams and events, made even when not used",
                _streams,
            ),
            Substitution(
                "type_names",
                "mixed precision, the distributed optimizer and clipping compare tensor.type() with "
                "'torch.cuda.FloatTensor' and refuse all others",
                _type_names,
            ),
            Substitution(
                "router_product",
                "the router of experts asks for te_general_gemm, a name that exists only with Transformer Engine",
                _router_product,
            ),
            Substitution(
                "fp8_state",
                "recomputation of norms and latent projections asks Transformer Engine whether fp8 is on, there or not",
                _fp8_state,
            ),
            Substitution(
                "split_sizes",
                "token dispatch by all-to-all keeps its split sizes as tensors, which gloo's binding refuses",
                _split_sizes,
            ),
            Substitution(
                "compiled_functions",
                "small functions are wrapped in torch.compile at import; on a CPU that calls a C++ compiler, which "
                "a user need not have",
                _compiled_functions,
            ),
            Substitution(
                "device_mesh",
                'FSDP2\'s mesh is made of device type "cuda"',
                _device_mesh,
            ),
        )
    }
)

_active: list[Patches] = []


def check_version(version: str | None = None) -> None:
    """Refuse a megatron-core that this was not written for.

    Raises:
        ConfigError: It is not installed, or of another version.

    >>> check_version("0.16.1")
    >>> check_version("0.19.0")
    Traceback (most recent call last):
    nemo_core.errors.ConfigError: megatron-core 0.19.0 is installed; nemo-llm works with >=0.16,<0.17
      pip install "megatron-core>=0.16,<0.17"
    """
    from importlib import metadata

    from packaging.version import Version

    low, high = SUPPORTED
    hint = f'pip install "megatron-core>={low},<{high}"'
    if version is None:
        try:
            version = metadata.version("megatron-core")
        except metadata.PackageNotFoundError:
            raise ConfigError("megatron-core is not installed", hint=hint) from None
    if not Version(low) <= Version(version) < Version(high):
        raise ConfigError(f"megatron-core {version} is installed; nemo-llm works with >={low},<{high}", hint=hint)


@functools.cache
def import_engine() -> None:
    """Import the parts of Megatron-core that are used, without its warnings about packages that are not there."""
    check_version()
    with warnings.catch_warnings(), _without_compiler():
        warnings.simplefilter("ignore")
        for part in _PARTS:
            importlib.import_module(f"megatron.core.{part}")


@contextlib.contextmanager
def _without_compiler() -> Iterator[None]:
    """Let ``torch.compile`` do nothing where there is no GPU; see the substitution ``compiled_functions``.

    The engine calls it while it is imported, which takes two seconds to load the compiler, in every process.
    """
    if torch.cuda.is_available():
        yield
        return
    before = torch.compile
    torch.compile = _as_it_is  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compile = before


def _as_it_is(function: Any = None, **_: Any) -> Any:
    return (lambda other: other) if function is None else function


def activate(*, without: tuple[str, ...] = ()) -> None:
    """Put the substitutions in place, if there is no CUDA device and they are not in place already.

    Args:
        without: Names of substitutions to leave out; for tests of whether they are needed.
    """
    import_engine()
    if torch.cuda.is_available() or _active:
        return
    patches = Patches()
    _active.append(patches)
    for substitution in SUBSTITUTIONS.values():
        if substitution.name not in without:
            substitution.apply(patches)
    stand_in = _stand_in("torch", torch, patches.answers)
    for module in _modules():
        if vars(module).get("torch") is torch:
            patches.set(module, "torch", stand_in)


def deactivate() -> None:
    """Put everything back as it was."""
    while _active:
        _active.pop().undo()


class _StandIn(types.ModuleType):
    """A module that answers some names itself and hands all others on."""

    def __init__(self, name: str, real: types.ModuleType, answers: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.__dict__.update(answers)
        self.__dict__["_real"] = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_real"], name)


def _stand_in(name: str, real: types.ModuleType, answers: Mapping[str, Any]) -> types.ModuleType:
    direct: dict[str, Any] = {}
    below: dict[str, dict[str, Any]] = {}
    for path, value in answers.items():
        first, _, rest = path.partition(".")
        if rest:
            below.setdefault(first, {})[rest] = value
        else:
            direct[first] = value
    for first, rest_answers in below.items():
        direct[first] = _stand_in(f"{name}.{first}", getattr(real, first), rest_answers)
    return _StandIn(name, real, direct)


def _module(part: str) -> Any:
    return sys.modules[f"megatron.core.{part}"]


def _modules() -> Iterator[types.ModuleType]:
    for name, module in list(sys.modules.items()):
        if name.startswith("megatron.core") and isinstance(module, types.ModuleType):
            yield module
