"""Restoring speech models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nemo_asr.models.speech_model import SpeechModel
from nemo_core.models import restore as restore_any

__all__ = ["restore"]


def restore(path_or_name: str | Path, **options: Any) -> Any:
    """Restore a model that hears speech from an archive, ours or NVIDIA's; see :func:`nemo_core.models.restore`.

    Raises:
        ArchiveError: The archive is damaged or holds another kind of model.
    """
    return restore_any(path_or_name, expect=SpeechModel, **options)  # type: ignore[type-abstract]
