"""A Sphinx extension that writes the pages of ``reference/`` from the code, before the site is read.

The command line, the hooks, the components and the tree of element types are described where they are defined, and
nowhere a second time.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).parent / "reference"
API_PACKAGES = ("nemo_core", "nemo_asr", "nemo_tts", "nemo_llm", "nemo_mm")
# Of these all is shown: the keys of recipes, and the hooks.
WHOLE = {"nemo_core.config.schema", "nemo_core.plugins.hookspecs"}


def write_pages(app: Any) -> None:
    pages = {
        "generated/cli": cli_page(),
        "generated/hooks": hooks_page(),
        "generated/components": components_page(),
        "generated/elements": elements_page(),
        **{f"api/{group}": api_page(group, modules) for group, modules in api_groups().items()},
    }
    for stale in {*REFERENCE.glob("*/*.md")} - {REFERENCE / f"{name}.md" for name in pages}:
        stale.unlink()
    for name, lines in pages.items():
        text = "\n".join(lines) + "\n"
        target = REFERENCE / f"{name}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


def cli_page() -> Iterator[str]:
    from nemo_core.cli.main import root

    command = root()
    context = command.make_context("nemo", [], resilient_parsing=True)
    yield from _command(command, context, level=2)


def _command(command: Any, context: Any, level: int) -> Iterator[str]:
    yield f"{'#' * min(level, 4)} `{context.command_path}`\n"
    yield f"```text\n{command.get_help(context)}\n```\n"
    if not hasattr(command, "list_commands"):
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        inner = child.make_context(name, [], parent=context, resilient_parsing=True)
        yield from _command(inner.command, inner, level + 1)


def hooks_page() -> Iterator[str]:
    from nemo_core.plugins import hookspecs

    for name, _ in inspect.getmembers(hookspecs, inspect.isfunction):
        if name.startswith("nemo_"):
            yield f"```{{eval-rst}}\n.. autofunction:: nemo_core.plugins.hookspecs.{name}\n```\n"


def components_page() -> Iterator[str]:
    from nemo_core.plugins import registry

    components = [each for each in registry().components() if each.kind not in {"cli", "recipes"}]
    for kind in dict.fromkeys(component.kind for component in components):
        yield f"## {kind}\n"
        yield "| name | from | what |\n|---|---|---|"
        for component in components:
            if component.kind == kind:
                summary = component.summary.replace("|", "\\|")
                yield f"| `{component.name}` | {component.distribution} | {summary} |"
        yield ""


def elements_page() -> Iterator[str]:
    from nemo_core import types

    def tree(cls: type, depth: int) -> Iterator[str]:
        summary = (inspect.getdoc(cls) or "").splitlines()[0]
        yield f"{'  ' * depth}- `{cls.__name__}`: {summary}"
        for child in cls.__subclasses__():
            if child.__module__.startswith("nemo_core."):
                yield from tree(child, depth + 1)

    yield from tree(types.ElementType, 0)


def api_groups() -> dict[str, list[str]]:
    """Public modules by the sub-package that a reader looks for them in: ``nemo_core.types``, ``nemo_asr.modules``."""
    groups: dict[str, list[str]] = {}
    for package in API_PACKAGES:
        for module in _public_modules(package):
            groups.setdefault(".".join(module.split(".")[:2]), []).append(module)
    return groups


def api_page(group: str, modules: list[str]) -> Iterator[str]:
    yield f"# {group}\n"
    for module in modules:
        if module != group:
            yield f"## {module.removeprefix(group + '.')}\n"
        names = ", ".join(_exported(module))
        # The hooks have a page of their own, which is the one to link to.
        index = "   :no-index:\n" if module == "nemo_core.plugins.hookspecs" else ""
        yield f"```{{eval-rst}}\n.. automodule:: {module}\n   :members: {names}\n   :show-inheritance:\n{index}```\n"


def _public_modules(package: str) -> Iterator[str]:
    """Public modules that define what they export, in the order of their names."""
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, prefix=f"{package}."):
        parts = found.name.split(".")
        skip = any(part.startswith("_") for part in parts) or "cli" in parts or "template" in parts
        if not skip and not found.ispkg and _exported(found.name):
            yield found.name


def _exported(name: str) -> list[str]:
    """What a module offers to readers: what the packages around it pass on; all, if it is at the top or ``WHOLE``."""
    module = importlib.import_module(name)
    parts = name.split(".")
    around = [importlib.import_module(".".join(parts[:depth])) for depth in range(2, len(parts))]
    offered = getattr(module, "__all__", ())
    return [
        each
        for each in offered
        if not around
        or name in WHOLE
        or any(getattr(package, each, None) is getattr(module, each) for package in around)
    ]


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
