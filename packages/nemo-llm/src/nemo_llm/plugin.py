"""What nemo-llm registers with nemo-core."""

from __future__ import annotations
