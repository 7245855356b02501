"""The catalogue of the models of synthesis that NVIDIA has published: names, addresses, languages, as facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nemo_core.plugins import Registry

__all__ = ["register_published_models"]

_HUB = "hf://nvidia/{name}/{name}.nemo"
_NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/nemo/{folder}/versions/{version}/files/{file}.nemo"
_CC_BY = "CC-BY-4.0"
_NGC_TERMS = "LicenseRef-NVIDIA-NGC"  # what the model's page in NVIDIA's NGC catalogue says

_FASTPITCH, _HIFIGAN = "tts.FastPitch", "tts.HiFiGan"

#: Name, model, what it is, languages.
_ON_HUB = (
    ("tts_en_fastpitch", _FASTPITCH, "FastPitch with learned alignment, one voice (LJSpeech), 22050 Hz", "en"),
    ("tts_hifigan", _HIFIGAN, "HiFi-GAN v1 for the spectrograms of tts_en_fastpitch, 22050 Hz", "en"),
)
#: Name, model, what it is, languages, folder, version, file.
_ON_NGC = (
    (
        "tts_en_hifigan",
        _HIFIGAN,
        "HiFi-GAN v1, one voice (LJSpeech), 22050 Hz",
        "en",
        "tts_hifigan",
        "1.0.0rc1",
        "tts_hifigan",
    ),
    (
        "tts_zh_fastpitch_sfspeech",
        _FASTPITCH,
        "FastPitch, one voice (SFSpeech), Mandarin with English words, 22050 Hz",
        "zh en",
        "tts_zh_fastpitch_hifigan_sfspeech",
        "1.15.0",
        "tts_zh_fastpitch_sfspeech",
    ),
    (
        "tts_zh_hifigan_sfspeech",
        _HIFIGAN,
        "HiFi-GAN for the spectrograms of tts_zh_fastpitch_sfspeech, 22050 Hz",
        "zh en",
        "tts_zh_fastpitch_hifigan_sfspeech",
        "1.15.0",
        "tts_zh_hifigan_sfspeech",
    ),
)


def register_published_models(registry: Registry) -> None:
    """Register NVIDIA's published models.

    Example:
        >>> from nemo_core.plugins import Registry
        >>> registry = Registry()
        >>> register_published_models(registry)
        >>> registry.get("pretrained", "tts_en_fastpitch").target
        'hf://nvidia/tts_en_fastpitch/tts_en_fastpitch.nemo'
    """
    entries = [(*each, _HUB.format(name=each[0]), _CC_BY) for each in _ON_HUB]
    for name, model, summary, languages, folder, version, file in _ON_NGC:
        location = _NGC.format(folder=folder, version=version, file=file)
        entries.append((name, model, summary, languages, location, _NGC_TERMS))
    for name, model, summary, languages, location, license in entries:
        registry.pretrained(
            f"nvidia/{name}",
            location=location,
            aliases=(name,),
            summary=summary,
            license=license,
            model=model,
            languages=tuple(languages.split()),
        )
