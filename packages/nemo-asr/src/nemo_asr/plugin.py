"""What nemo-asr registers with nemo-core."""

from __future__ import annotations
