"""What the tests of audio share."""

from __future__ import annotations

from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[5] / "shared" / "fixtures" / "nvidia"


@pytest.fixture
def nvidia() -> Path:
    """Folder of archives and outputs of NVIDIA NeMo."""
    if not REFERENCE.is_dir():
        pytest.skip("reference outputs of NVIDIA NeMo are not here")
    return REFERENCE
