"""What the tests of audio share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

REFERENCE = Path(__file__).parents[5] / "shared" / "fixtures" / "nvidia"


@pytest.fixture
def nvidia() -> Path:
    """Folder of archives and outputs of NVIDIA NeMo."""
    if not REFERENCE.is_dir():
        pytest.skip("reference outputs of NVIDIA NeMo are not here")
    return REFERENCE


@pytest.fixture
def wav(tmp_path: Path) -> Callable[..., Path]:
    """Write a WAV file of noise and return its path: ``wav("a.wav", seconds=1.0, rate=8000, channels=1)``."""
    import soundfile

    def write(name: str = "a.wav", seconds: float = 1.0, rate: int = 8000, channels: int = 1) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate), channels)), rate)
        return path

    return write
