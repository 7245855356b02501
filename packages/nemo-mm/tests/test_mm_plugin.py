from __future__ import annotations

import importlib.metadata
import subprocess
import sys

from nemo_core.plugins import plugin_manager


def test_the_package_is_found_through_its_entry_point() -> None:
    (entry,) = [
        point for point in importlib.metadata.entry_points(group="nemo.plugins") if point.value == "nemo_mm.plugin"
    ]
    assert entry.dist is not None
    assert entry.dist.name == "nemo-mm"


def test_the_plugin_is_loaded_without_complaint() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nemo_core.cli.main", "plugins", "show", "nemo-mm"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "nemo-mm" in done.stdout
    assert done.stderr == ""


def test_the_version_is_the_one_that_is_installed() -> None:
    import nemo_mm

    assert nemo_mm.__version__ == importlib.metadata.version("nemo-mm")
    assert plugin_manager() is not None
