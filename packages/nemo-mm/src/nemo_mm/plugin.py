"""What nemo-mm registers with nemo-core."""

from __future__ import annotations
