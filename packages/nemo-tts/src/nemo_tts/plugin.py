"""What nemo-tts registers with nemo-core."""

from __future__ import annotations
