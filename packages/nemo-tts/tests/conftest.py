"""What the tests of nemo-tts share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[4] / "shared" / "fixtures" / "nvidia"
SUPPORT = Path(__file__).parent / "support"
if str(SUPPORT) not in sys.path:
    sys.path.insert(0, str(SUPPORT))
DICTIONARIES = Path(__file__).parents[4] / "shared" / "data" / "g2p-dictionaries"


@pytest.fixture
def nvidia() -> Path:
    """Folder of archives and outputs of NVIDIA NeMo."""
    if not REFERENCE.is_dir():
        pytest.skip("reference outputs of NVIDIA NeMo are not here")
    return REFERENCE


@pytest.fixture
def dictionaries() -> Path:
    """Folder of pronunciation dictionaries, and of sentences with marked polyphones."""
    if not DICTIONARIES.is_dir():
        pytest.skip("the pronunciation dictionaries are not here")
    return DICTIONARIES
