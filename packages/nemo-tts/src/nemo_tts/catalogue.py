"""The catalogue of the models of synthesis that NVIDIA has published: names, addresses, languages, as facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nemo_core.plugins import Registry

__all__ = ["register_published_models"]

_NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/nemo/{folder}/versions/{version}/files/{file}.nemo"
_TERMS = "LicenseRef-NVIDIA-NGC"  # what the model's page in NVIDIA's NGC catalogue says

#: Folder and version on NGC, languages, what they are; then name and, where it differs, file of each model.
_FASTPITCH = (
    ("tts_en_fastpitch 1.8.1", "en", "LJSpeech, ARPABET, 22050 Hz", "tts_en_fastpitch tts_en_fastpitch_align"),
    ("tts_en_fastpitch IPA_1.13.0", "en", "LJSpeech, IPA, 22050 Hz", "tts_en_fastpitch_ipa tts_en_fastpitch_align_ipa"),
    (
        "tts_en_multispeaker_fastpitchhifigan 1.10.0",
        "en",
        "HiFiTTS, 10 voices, ARPABET, 44100 Hz",
        "tts_en_fastpitch_multispeaker",
    ),
    (
        "tts_de_fastpitch_multispeaker_5 1.11.0",
        "de",
        "HUI Audio Corpus German, 5 voices, 44100 Hz",
        "tts_de_fastpitch_multispeaker_5",
    ),
    (
        "tts_de_fastpitchhifigan 1.15.0",
        "de",
        "Thorsten Neutral 21.02, letters, 22050 Hz",
        "tts_de_fastpitch_singleSpeaker_thorstenNeutral_2102 tts_de_fastpitch_thorstens2102",
    ),
    (
        "tts_de_fastpitchhifigan 1.15.0",
        "de",
        "Thorsten Neutral 22.10, letters, 22050 Hz",
        "tts_de_fastpitch_singleSpeaker_thorstenNeutral_2210 tts_de_fastpitch_thorstens2210",
    ),
    (
        "tts_es_multispeaker_fastpitchhifigan 1.15.0",
        "es",
        "Latin American Spanish, 174 voices, IPA, 44100 Hz",
        "tts_es_fastpitch_multispeaker",
    ),
    (
        "tts_zh_fastpitch_hifigan_sfspeech 1.15.0",
        "zh en",
        "SFSpeech, Mandarin with English words, pinyin, 22050 Hz",
        "tts_zh_fastpitch_sfspeech",
    ),
)
_HIFIGAN = (
    ("tts_hifigan 1.0.0rc1", "en", "LJSpeech, 22050 Hz", "tts_en_hifigan tts_hifigan"),
    ("tts_en_lj_hifigan 1.6.0", "en", "LJSpeech, tuned to Mixer-TTS, 22050 Hz", "tts_en_lj_hifigan_ft_mixertts"),
    ("tts_en_lj_hifigan 1.6.0", "en", "LJSpeech, tuned to Mixer-TTS-X, 22050 Hz", "tts_en_lj_hifigan_ft_mixerttsx"),
    (
        "tts_en_multispeaker_fastpitchhifigan 1.10.0",
        "en",
        "HiFiTTS, tuned to FastPitch, 44100 Hz",
        "tts_en_hifitts_hifigan_ft_fastpitch",
    ),
    (
        "tts_de_fastpitch_multispeaker_5 1.11.0",
        "de",
        "HUI Audio Corpus German, tuned to FastPitch, 44100 Hz",
        "tts_de_hui_hifigan_ft_fastpitch_multispeaker_5",
    ),
    (
        "tts_de_fastpitchhifigan 1.15.0",
        "de",
        "Thorsten Neutral 21.02, tuned to FastPitch, 22050 Hz",
        "tts_de_hifigan_singleSpeaker_thorstenNeutral_2102 tts_de_hifigan_thorstens2102",
    ),
    (
        "tts_de_fastpitchhifigan 1.15.0",
        "de",
        "Thorsten Neutral 22.10, tuned to FastPitch, 22050 Hz",
        "tts_de_hifigan_singleSpeaker_thorstenNeutral_2210 tts_de_hifigan_thorstens2210",
    ),
    (
        "tts_es_multispeaker_fastpitchhifigan 1.15.0",
        "es",
        "Latin American Spanish, tuned to FastPitch, 44100 Hz",
        "tts_es_hifigan_ft_fastpitch_multispeaker",
    ),
    (
        "tts_zh_fastpitch_hifigan_sfspeech 1.15.0",
        "zh en",
        "SFSpeech, tuned to FastPitch, 22050 Hz",
        "tts_zh_hifigan_sfspeech",
    ),
)


def register_published_models(registry: Registry) -> None:
    """Register NVIDIA's published models.

    Example:
        >>> from nemo_core.plugins import Registry
        >>> registry = Registry()
        >>> register_published_models(registry)
        >>> entry = registry.get("pretrained", "tts_en_fastpitch")
        >>> entry.name, entry.metadata["languages"]
        ('nvidia/tts_en_fastpitch', ('en',))
    """
    for model, kind, published in (("tts.FastPitch", "FastPitch", _FASTPITCH), ("tts.HiFiGan", "HiFi-GAN", _HIFIGAN)):
        for place, languages, what, names in published:
            folder, version = place.split()
            name, _, file = names.partition(" ")
            registry.pretrained(
                f"nvidia/{name}",
                location=_NGC.format(folder=folder, version=version, file=file or name),
                aliases=(name,),
                summary=f"{kind}: {what}",
                license=_TERMS,
                model=model,
                languages=tuple(languages.split()),
            )
