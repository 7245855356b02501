"""Import every module of the packages named on the command line: ``python import_every_module.py nemo_core nemo_asr``.

Run where only base dependencies are installed, it proves that optional ones are imported where they are used and not
before. It also proves that importing has no side effect on logging, and that package tops and plugins stay light.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
import subprocess
import sys

HEAVY = ("torch", "pytorch_lightning", "transformers", "matplotlib")
LIGHT = {"nemo_core": ("errors", "types", "plugins", "config", "cli", "cli.main", "plugin")}


def modules_of(package: str) -> list[str]:
    """Return the names of all modules of ``package``, itself first."""
    root = importlib.import_module(package)
    walk = pkgutil.walk_packages(root.__path__, prefix=f"{package}.", onerror=lambda name: None)
    return [package, *(found.name for found in walk if not found.name.endswith("__main__"))]


def heavy_after_import(module: str) -> str | None:
    """Return what is wrong with ``module`` as a fresh process meets it: it fails, or it loads heavy packages."""
    code = f"import {module}, sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        return f"{module}: {done.stderr.strip().splitlines()[-1]}"
    loaded = ", ".join(done.stdout.split())
    return f"{module} loads {loaded} when imported" if loaded else None


def main(packages: list[str]) -> int:
    """Import everything; report every failure, not only the first."""
    failures: list[str] = []
    for package in packages:
        light = [package, *(f"{package}.{name}" for name in LIGHT.get(package, ("plugin",)))]
        for module in light:
            failure = heavy_after_import(module)
            if failure:
                failures.append(failure)
    handlers = list(logging.getLogger().handlers)
    count = 0
    for package in packages:
        for module in modules_of(package):
            count += 1
            try:
                importlib.import_module(module)
            except Exception as error:
                failures.append(f"{module}: {type(error).__name__}: {error}")
    if logging.getLogger().handlers != handlers:
        failures.append("importing has put a handler on the root logger")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    print(f"{count} modules imported, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
