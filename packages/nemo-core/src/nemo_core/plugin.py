"""What nemo-core itself registers, through the same hook that any plugin uses."""

from __future__ import annotations
