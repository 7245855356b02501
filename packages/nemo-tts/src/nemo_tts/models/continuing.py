"""A trained voice as the start of another one: the same model, with a voice more or other statistics of pitch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nemo_core.errors import ConfigError
from nemo_core.models import restore
from nemo_tts.models.fastpitch import FastPitch

__all__ = ["continued_voice", "restored_voice"]


def restored_voice(archive: str | Path | None) -> FastPitch:
    """Return the FastPitch of an archive.

    Raises:
        ConfigError: None is given.
        ArchiveError: It holds another model.
    """
    if archive is None or isinstance(archive, Mapping):
        raise ConfigError("there is no voice to start from", hint="init_from=ARCHIVE names one: a path or a name")
    voice: FastPitch = restore(archive, expect=FastPitch)
    return voice


def continued_voice(
    archive: str | Path | None,
    speaker: str | None = None,
    like: str | None = None,
    pitch_mean: float | None = None,
    pitch_std: float | None = None,
) -> FastPitch:
    """Return the model of an archive, made ready to be trained on another voice.

    Args:
        archive: What to start from.
        speaker: Name of a voice to add to the model's; None: those that it has are trained on.
        like: The voice that the new one starts as; the mean of all if not given.
        pitch_mean: Mean of the pitch of the new data, Hz, in the place of the archive's, which stays otherwise.
        pitch_std: Deviation of it, Hz.

    Raises:
        ConfigError: The model has no table of voices to add to, has such a voice already, or not the one that the new
            one is to be like; or its old voices would lose what their pitch means.
    """
    voice = restored_voice(archive)
    changes: dict[str, Any] = {}
    if (pitch_mean is None) != (pitch_std is None):
        raise ConfigError("one of pitch_mean and pitch_std is given, and the other is not", hint="give both or none")
    if pitch_mean is not None:
        if speaker is not None:
            raise ConfigError(
                "a voice is added beside those whose pitch other statistics describe",
                hint="leave pitch_mean and pitch_std out: the archive's are kept",
            )
        changes |= {"pitch_mean": pitch_mean, "pitch_std": pitch_std}
    weights = voice.state_dict()
    if speaker is not None:
        names = _names(voice, speaker)
        if like is not None and like not in names:
            raise ConfigError(f"there is no voice {like!r} to start from", hint=f"one of {', '.join(names)}")
        table = weights["speaker_emb.weight"]
        start = table.mean(0) if like is None else table[names.index(like)]
        weights["speaker_emb.weight"] = torch.cat([table, start.unsqueeze(0)])
        changes |= {"n_speakers": len(names) + 1, "speakers": [*names, speaker]}
    elif like is not None:
        raise ConfigError(f"no voice is added that could be like {like!r}", hint="name the new one: speaker=NAME")
    if not changes:
        return voice.train()
    given = voice.to_config()
    del given["_target_"]
    # Parts are taken as they are: a node of a tokenizer names files that are in the archive only.
    parts = {name: getattr(voice, name) for name, value in given.items() if isinstance(value, Mapping)}
    made = FastPitch(**{**given, **parts, **changes})
    made.load_state_dict(weights)
    return made.train()


def _names(voice: FastPitch, speaker: str) -> list[str]:
    if voice.speaker_emb is None:
        raise ConfigError(
            "the model has one voice, and no table that another could be added to",
            hint="leave speaker out: the voice itself is trained on",
        )
    names = voice.speakers or [str(number) for number in range(voice.n_speakers)]
    if speaker in names:
        raise ConfigError(f"the model has a voice {speaker!r} already", hint="leave speaker out to train on that")
    return names
