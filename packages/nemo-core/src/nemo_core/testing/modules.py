"""What a neural module must live up to: its types are true, its weights and its configuration say all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load, save

from nemo_core.config import Trust, instantiate
from nemo_core.errors import NeuralTypeError
from nemo_core.modules import NeuralModule
from nemo_core.plugins import Component, registry

if TYPE_CHECKING:
    Sizes = Mapping[str, int | Mapping[str, int]] | None

__all__ = ["build", "check_config", "check_module", "check_types", "check_weights"]


def check_module(make: str | Component | Callable[[], NeuralModule], *, sizes: Sizes = None) -> None:
    """Check that a module keeps its promises; run this on each module that you write.

    Its types are declared and hold on made-up inputs, wrong inputs are refused, weights saved and loaded into another
    instance give the same outputs, and the configuration it writes builds its like.

    Args:
        make: A function that makes the module; or a component or its name, built from its ``example``.
        sizes: How large the made-up inputs are, as ``NeuralModule.input_example`` takes it.

    Raises:
        AssertionError: It does not; the message says in what.

    Example:
        >>> from nemo_core.types import Logits, NeuralType, typed
        >>> class Careless(NeuralModule):
        ...     input_types = output_types = {"logits": NeuralType(("B", "D"), Logits())}
        ...
        ...     @typed
        ...     def forward(self, logits):
        ...         return logits[0]
        >>> check_module(Careless)
        Traceback (most recent call last):
        AssertionError: Careless: made-up inputs: Tensor of shape (8) does not fit Careless.logits...
    """
    if isinstance(make, str):
        found = registry().find(make)
        assert found is not None, f"nothing is registered as {make}"
        make = found
    if isinstance(make, Component):
        component = make
        sizes = sizes or component.metadata.get("example_sizes")
        make = lambda: build(component)  # noqa: E731
    check_types(make, sizes)
    check_weights(make, sizes)
    check_config(make)


def build(component: Component) -> Any:
    """Build a component from its ``example``; without one, without arguments."""
    return instantiate({"_target_": component.name, **component.metadata.get("example", {})}, trust=Trust.user())


def check_types(make: Callable[[], NeuralModule], sizes: Sizes = None) -> None:
    """Check that the declared types are true of a call, and that a call that breaks them is refused."""
    module = make()
    name = type(module).__qualname__
    assert isinstance(module, NeuralModule), f"{name} is not a NeuralModule"
    assert module.input_types, f"{name} declares no input_types"
    assert module.output_types, f"{name} declares no output_types"
    inputs = module.input_example(sizes)
    _outputs(module, inputs)
    tensors = [
        port
        for port, value in inputs.items()
        if isinstance(value, torch.Tensor) and getattr(module.input_types[port], "axes", None)
    ]
    for port in tensors[:1]:
        try:
            _call(module, {**inputs, port: inputs[port].unsqueeze(0)})
        except NeuralTypeError:
            continue
        except Exception as error:
            raise AssertionError(f"{name}: {port} with an axis too many: {error!r}; is forward @typed?") from error
        raise AssertionError(f"{name}: {port} with an axis too many is accepted; is forward @typed?")


def check_weights(make: Callable[[], NeuralModule], sizes: Sizes = None) -> None:
    """Check that weights saved from one instance and loaded into another give the same outputs."""
    first, second = make(), make()
    name = type(first).__qualname__
    first.eval()
    second.eval()
    state = {key: value.detach().clone().contiguous() for key, value in first.state_dict().items()}
    report = second.load_state_dict(load(save(state)), strict=False)
    assert not report.missing_keys, f"{name}: not among the saved weights: {', '.join(report.missing_keys)}"
    assert not report.unexpected_keys, f"{name}: saved but not expected: {', '.join(report.unexpected_keys)}"
    inputs = first.input_example(sizes)
    expected, found = _outputs(first, inputs), _outputs(second, inputs)
    assert len(expected) == len(found), f"{name}: two instances give different numbers of outputs"
    for index, (one, other) in enumerate(zip(expected, found, strict=True)):
        assert torch.equal(one, other), f"{name}: output {index} differs after weights were saved and loaded"


def check_config(make: Callable[[], Any]) -> None:
    """Check that what an object's ``to_config`` says builds an object of its class that says the same."""
    made = make()
    name = type(made).__qualname__
    assert hasattr(made, "to_config"), f"{name} has no to_config: derive it from nemo_core.config.Configured"
    config = made.to_config()
    again = instantiate(config, trust=Trust.user((type(made).__module__.partition(".")[0],)))
    assert type(again) is type(made), f"{name}: its configuration builds a {type(again).__qualname__}"
    assert again.to_config() == config, f"{name}: {config} built {again.to_config()}"


def _outputs(module: NeuralModule, inputs: Mapping[str, Any]) -> list[torch.Tensor]:
    """Call the module, with the same random numbers each time, and return all tensors that come out."""
    torch.manual_seed(0)
    try:
        return _tensors(_call(module, inputs))
    except NeuralTypeError as error:
        raise AssertionError(f"{type(module).__qualname__}: made-up inputs: {error}") from error


def _call(module: NeuralModule, inputs: Mapping[str, Any]) -> Any:
    with torch.no_grad():
        return module(**inputs)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, list | tuple) else []
