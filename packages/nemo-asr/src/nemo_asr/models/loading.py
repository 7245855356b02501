"""Restoring recognition models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nemo_asr.models.recognizer import SpeechRecognizer
from nemo_core.models import restore as restore_any

__all__ = ["restore"]


def restore(path_or_name: str | Path, **options: Any) -> Any:
    """Restore a speech recognition model from an archive, ours or NVIDIA's; see :func:`nemo_core.models.restore`.

    Raises:
        ArchiveError: The archive is damaged or does not hold a speech recognition model.
    """
    return restore_any(path_or_name, expect=SpeechRecognizer, **options)  # type: ignore[type-abstract]
