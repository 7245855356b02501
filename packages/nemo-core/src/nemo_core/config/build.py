"""Build objects from configuration: the only place where a configuration turns into code that runs.

The rules are fewer than those of ``hydra.utils.instantiate``, which is not used:

- a mapping with ``_target_`` becomes a call of what it names, with the other keys as keyword arguments and ``_args_``,
  a list, as positional ones; ``_partial_: true`` gives a ``functools.partial`` instead (never from an archive);
- everything inside is built first; other mappings and lists arrive as plain dicts and lists;
- the whole tree is judged by :class:`~nemo_core.config.trust.Trust` before anything of it is imported.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import Container, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nemo_core.config.problems import Problem, join, raise_problems
from nemo_core.config.trust import Target, Trust
from nemo_core.errors import ConfigError, NemoError, UntrustedTargetError
from nemo_core.plugins import Registry

__all__ = ["check", "instantiate", "plain"]

_MAX_DEPTH = 64  # Deeper than any model's configuration; a document that refers to itself ends here.
_SPECIAL = re.compile(r"_[a-z]+_")
_KNOWN = ("_target_", "_args_", "_partial_")
# What is no plain reference such as "${a.b}": "${name:...}" calls a resolver, that is, code; "${oc.${a}...}" may.
_NO_PLAIN_REFERENCE = re.compile(r"\$\{[^}]*?(:|\$\{)")


def instantiate(node: Any, *, trust: Trust, registry: Registry | None = None, at: str = "", **overrides: Any) -> Any:
    """Build the object that a node describes, and all objects inside it.

    Args:
        node: A mapping with ``_target_``, a list or dict of such, or any plain value (returned as it is).
        trust: Who wrote the node; see :class:`~nemo_core.config.trust.Trust`.
        registry: Where names are looked up; the process's registry if not given.
        at: Where the node stands in its configuration (``experiment.loggers[0]``), for errors.
        overrides: Arguments for the outermost object, replacing those of the node; used as they are.

    Raises:
        UntrustedTargetError: Something in the tree may not be named; nothing was imported.
        ConfigError: A value is missing or cannot be resolved, or a constructor refused its arguments.

    Example:
        >>> layer = instantiate({"_target_": "torch.nn.Linear", "in_features": 2}, trust=Trust.user(), out_features=3)
        >>> layer.weight.shape
        torch.Size([3, 2])
        >>> instantiate({"_target_": "os.system", "command": "echo hello"}, trust=Trust.user())
        Traceback (most recent call last):
        nemo_core.errors.UntrustedTargetError: the configuration has 1 mistake:
          _target_ os.system is not trusted; ...
    """
    registry = registry if registry is not None else _process_registry()
    raise_problems(check(node, trust, registry=registry, path=at), "the configuration", UntrustedTargetError)
    tree = plain(node)
    if overrides:
        if not isinstance(tree, dict) or "_target_" not in tree:
            raise ConfigError("only a node with a _target_ takes further arguments")
        tree = tree | overrides
    return _build(tree, at, trust, registry, given=frozenset(overrides))


def check(node: Any, trust: Trust, *, registry: Registry | None = None, path: str = "") -> list[Problem]:
    """Return every reason not to build a node; imports nothing of what the node names.

    Example:
        >>> [problem.path for problem in check({"a": [{"_target_": "builtins.eval"}]}, Trust.archive())]
        ['a[0]']
    """
    if not trust.by_person:
        calls = _resolver_calls(node, path)
        if calls:
            return calls  # resolving what comes next would run them
    registry = registry if registry is not None else _process_registry()
    try:
        tree = plain(node, missing=True)
    except ConfigError as error:
        return [Problem(path, error.message, error.hint)]
    return list(_check(tree, path, trust, registry, depth=0))


def plain(node: Any, *, missing: bool = False) -> Any:
    """Return a node as plain dicts, lists and scalars, interpolations resolved.

    Args:
        node: A configuration of OmegaConf; anything else is returned as it is.
        missing: Whether ``???`` may remain.

    Raises:
        ConfigError: An interpolation leads nowhere, or a value is missing.
    """
    if not isinstance(node, Container):
        return node
    try:
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=not missing)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0] + (f" (at {error.full_key})" if error.full_key else "")) from error
    except RecursionError as error:
        raise ConfigError("an interpolation refers to itself") from error


def _check(tree: Any, path: str, trust: Trust, registry: Registry, depth: int) -> Iterator[Problem]:
    if depth > _MAX_DEPTH:
        yield Problem(path[:80] + "...", f"nested more than {_MAX_DEPTH} deep")
    elif isinstance(tree, (list, tuple)):
        for index, item in enumerate(tree):
            yield from _check(item, join(path, index), trust, registry, depth + 1)
    elif isinstance(tree, Mapping):
        yield from _check_keys(tree, path, trust)
        if "_target_" in tree:
            found = trust.resolve(tree["_target_"], registry, path)
            if isinstance(found, Problem):
                yield found
        for key, item in tree.items():
            yield from _check(item, join(path, str(key)), trust, registry, depth + 1)


def _check_keys(tree: Mapping[Any, Any], path: str, trust: Trust) -> Iterator[Problem]:
    for key in tree:
        if not isinstance(key, str) or not _SPECIAL.fullmatch(key):
            continue
        if key not in _KNOWN:
            yield Problem(join(path, key), "is not supported", f"known: {', '.join(_KNOWN)}")
        elif "_target_" not in tree:
            yield Problem(join(path, key), "has no meaning without _target_")
    if "_args_" in tree and not isinstance(tree["_args_"], (list, tuple)):
        yield Problem(join(path, "_args_"), f"must be a list, not {tree['_args_']!r}")
    if "_partial_" in tree:
        if not trust.by_person:
            yield Problem(join(path, "_partial_"), "is never accepted from an archive")
        elif not isinstance(tree["_partial_"], bool):
            yield Problem(join(path, "_partial_"), f"must be true or false, not {tree['_partial_']!r}")
    # The form of Hydra 0.x and NeMo 1.0: never executed here, and not passed on as if it were data.
    for key in ("cls", "target"):
        if "params" in tree and isinstance(tree.get(key), str) and "_target_" not in tree:
            yield Problem(join(path, key), "is the old form of _target_", "write _target_ and the arguments beside it")


def _resolver_calls(node: Any, path: str) -> list[Problem]:
    # An interpolation can lead to any place of the document, so all of it is looked at.
    tree = OmegaConf.to_container(node._get_root(), resolve=False) if isinstance(node, Container) else node
    return [
        Problem(where, f"{text!r} may call a resolver", "configurations in archives can only refer to their own values")
        for where, text in _strings(tree, path, 0)
        if _NO_PLAIN_REFERENCE.search(text)
    ]


def _strings(tree: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(tree, str):
        yield path, tree
    elif depth > _MAX_DEPTH:
        return
    elif isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from _strings(item, join(path, str(key)), depth + 1)
    elif isinstance(tree, (list, tuple)):
        for index, item in enumerate(tree):
            yield from _strings(item, join(path, index), depth + 1)


def _build(tree: Any, path: str, trust: Trust, registry: Registry, given: frozenset[str] = frozenset()) -> Any:
    if isinstance(tree, (list, tuple)):
        return [_build(item, join(path, index), trust, registry) for index, item in enumerate(tree)]
    if not isinstance(tree, dict):
        return tree
    built = {
        key: item if key in given else _build(item, join(path, str(key)), trust, registry) for key, item in tree.items()
    }
    if "_target_" not in built:
        return built
    name, args, partial = built.pop("_target_"), built.pop("_args_", ()), built.pop("_partial_", False)
    target = trust.resolve(name, registry, path)
    if not isinstance(target, Target):  # check() has refused these before anything was built
        raise UntrustedTargetError(str(target))
    callee = target.load()
    where = f"{path}: " if path else ""
    try:
        return functools.partial(callee, *args, **built) if partial else callee(*args, **built)
    except NemoError:
        raise
    except ImportError as error:
        raise ConfigError(
            f"{where}{name} needs what is not installed: {error}", hint="install it, or leave this part out"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"{where}{name} cannot be built: {type(error).__name__}: {error}", hint="see --debug for the traceback"
        ) from error


def _process_registry() -> Registry:
    from nemo_core.plugins import registry

    return registry()
