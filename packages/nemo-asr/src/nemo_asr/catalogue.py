"""The catalogue of what NVIDIA has published: names, addresses, languages and licences, as facts.

Each model is called as on Hugging Face, ``nvidia/parakeet-tdt-0.6b-v2``, and answers to the short name that NVIDIA NeMo
has for it too. Where a model is on both sites, the address is Hugging Face's, whose pages state a licence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nemo_core.plugins import Registry

__all__ = ["register_published_models"]

_HUB = "hf://nvidia/{name}/{name}.nemo"
_NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/{folder}/versions/{version}/files/{file}"
_CC_BY = "CC-BY-4.0"
_NGC_TERMS = "LicenseRef-NVIDIA-NGC"  # what the model's page in NVIDIA's NGC catalogue says

_EUROPEAN = [
    *("bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "hr", "hu", "it"),
    *("lt", "lv", "mt", "nl", "pl", "pt", "ro", "ru", "sk", "sl", "sv", "uk"),
]
# In names of models, some languages are called otherwise than in BCP 47, and some names stand for two.
_CODES = {"ua": "uk", "by": "be", "enes": "en es", "kk_ru": "kk ru"}


@dataclass(frozen=True)
class _Family:
    """Models of one architecture.

    Attributes:
        model: Registry name of their class.
        summary: What they are.
        hub: Names of those on Hugging Face.
        ngc: Those on NGC: name -> version, or version and file, or version, file and folder where these differ from
            the name.
        languages: Of all of them; where there are none, the names say which.
        license: Of those on Hugging Face.
    """

    model: str
    summary: str
    hub: Sequence[str] = ()
    ngc: Mapping[str, str] = field(default_factory=dict)
    languages: Sequence[str] | None = None
    license: str = _CC_BY

    def entries(self) -> Iterator[tuple[str, str, str]]:
        """Yield name, location and licence of each."""
        for name in self.hub:
            yield name, _HUB.format(name=name), self.license
        for name, place in self.ngc.items():
            version, file, folder, *_ = *place.split(), "", ""
            location = _NGC.format(folder=folder or f"nemo/{name}", version=version, file=file or f"{name}.nemo")
            yield name, location, _NGC_TERMS


_FAMILIES = (
    # -- CTC
    _Family(
        "asr.CTCModel",
        "QuartzNet 15x5 (19 M), characters, CTC",
        ngc={
            "QuartzNet15x5Base-En": "1.0.0a5 QuartzNet15x5Base-En.nemo nemospeechmodels",
            "stt_en_quartznet15x5": "1.0.0rc1",
        },
        languages=["en"],
    ),
    _Family(
        "asr.CTCModel",
        "QuartzNet 15x5 (19 M), characters, CTC",
        ngc={f"stt_{code}_quartznet15x5": "1.0.0rc1" for code in ["ca", "it", "fr", "es", "de", "pl", "ru"]},
    ),
    _Family("asr.CTCModel", "Jasper 10x5 DR (333 M), characters, CTC", ngc={"stt_en_jasper10x5dr": "1.0.0rc1"}),
    _Family(
        "asr.CTCModel",
        "Citrinet, subwords, CTC",
        ngc={
            "stt_en_citrinet_256": "1.0.0rc1",
            "stt_en_citrinet_512": "1.0.0rc1",
            "stt_en_citrinet_1024": "1.0.0rc1",
            "stt_en_citrinet_256_gamma_0_25": "1.0.0",
            "stt_en_citrinet_512_gamma_0_25": "1.0.0",
            "stt_en_citrinet_1024_gamma_0_25": "1.0.0",
            "stt_es_citrinet_512": "1.0.0",
            "stt_es_citrinet_1024_gamma_0_25": "1.8.0",
            "stt_de_citrinet_1024": "1.5.0",
            "stt_fr_citrinet_1024_gamma_0_25": "1.5",
            "stt_fr_no_hyphen_citrinet_1024_gamma_0_25": "1.5 stt_fr_no_hyphen_citrinet_1024_gamma_0_25.nemo "
            "nemo/stt_fr_citrinet_1024_gamma_0_25",
        },
    ),
    _Family(
        "asr.CTCModel",
        "Citrinet, characters, CTC",
        ngc={"stt_zh_citrinet_512": "1.0.0rc1", "stt_zh_citrinet_1024_gamma_0_25": "1.0.0"},
    ),
    _Family(
        "asr.CTCModel",
        "Conformer, subwords, CTC",
        hub=("stt_en_conformer_ctc_small", "stt_en_conformer_ctc_large"),
        ngc={
            "stt_en_conformer_ctc_medium": "1.6.0",
            "stt_en_conformer_ctc_xlarge": "1.10.0",
            "stt_en_conformer_ctc_small_ls": "1.0.0",
            "stt_en_conformer_ctc_medium_ls": "1.0.0",
            "stt_en_conformer_ctc_large_ls": "1.0.0",
            "stt_fr_conformer_ctc_large": "1.5.1",
            "stt_fr_no_hyphen_conformer_ctc_large": "1.5.1 stt_fr_no_hyphen_conformer_ctc_large.nemo "
            "nemo/stt_fr_conformer_ctc_large",
            "stt_de_conformer_ctc_large": "1.5.0",
            "stt_es_conformer_ctc_large": "1.8.0",
            "stt_hi_conformer_ctc_medium": "1.6.0",
            "stt_mr_conformer_ctc_medium": "1.6.0",
            "stt_enes_conformer_ctc_large": "1.0.0",
            "stt_enes_conformer_ctc_large_codesw": "1.0.0",
            "stt_ca_conformer_ctc_large": "1.11.0",
            "stt_rw_conformer_ctc_large": "1.11.0",
            "stt_be_conformer_ctc_large": "1.12.0",
            "stt_hr_conformer_ctc_large": "1.11.0",
            "stt_it_conformer_ctc_large": "1.13.0",
            "stt_ru_conformer_ctc_large": "1.13.0",
            "stt_eo_conformer_ctc_large": "1.14.0",
        },
    ),
    _Family(
        "asr.CTCModel",
        "Squeezeformer, subwords, CTC; LibriSpeech",
        ngc={
            f"stt_en_squeezeformer_ctc_{size}_ls": "1.13.0"
            for size in ("xsmall", "small", "small_medium", "medium", "medium_large", "large")
        },
    ),
    _Family(
        "asr.CTCModel",
        "FastConformer, subwords, CTC",
        hub=tuple(f"stt_en_fastconformer_ctc_{size}" for size in ("large", "xlarge", "xxlarge")),
        ngc={"stt_en_fastconformer_ctc_large_ls": "1.0.0"},
    ),
    _Family(
        "asr.CTCModel",
        "Parakeet: FastConformer, subwords, CTC",
        hub=("parakeet-ctc-0.6b", "parakeet-ctc-1.1b"),
        languages=["en"],
    ),
    # -- transducers
    _Family(
        "asr.TransducerModel",
        "ContextNet, subwords, RNN-T",
        ngc={
            "stt_en_contextnet_256": "1.6.0",
            "stt_en_contextnet_512": "1.6.0",
            "stt_en_contextnet_1024": "1.9.0",
            "stt_en_contextnet_256_mls": "1.0.0",
            "stt_en_contextnet_512_mls": "1.0.0",
            "stt_en_contextnet_1024_mls": "1.0.0",
            "stt_de_contextnet_1024": "1.4.0",
            "stt_fr_contextnet_1024": "1.5",
            "stt_es_contextnet_1024": "1.8.0",
            "stt_enes_contextnet_large": "1.0.0",
        },
    ),
    _Family(
        "asr.TransducerModel",
        "Conformer, subwords, RNN-T",
        hub=("stt_en_conformer_transducer_large", "stt_en_conformer_transducer_xlarge"),
        ngc={
            "stt_en_conformer_transducer_small": "1.6.0",
            "stt_en_conformer_transducer_medium": "1.6.0",
            "stt_en_conformer_transducer_large_ls": "1.8.0",
            "stt_en_conformer_transducer_xxlarge": "1.8.0",
            "stt_de_conformer_transducer_large": "1.5.0",
            "stt_fr_conformer_transducer_large": "1.5",
            "stt_es_conformer_transducer_large": "1.8.0",
            "stt_enes_conformer_transducer_large": "1.0.0",
            "stt_enes_conformer_transducer_large_codesw": "1.0.0",
            "stt_ca_conformer_transducer_large": "1.11.0",
            "stt_rw_conformer_transducer_large": "1.11.0",
            "stt_kab_conformer_transducer_large": "1.12.0",
            "stt_be_conformer_transducer_large": "1.12.0",
            "stt_hr_conformer_transducer_large": "1.11.0",
            "stt_it_conformer_transducer_large": "1.13.0",
            "stt_ru_conformer_transducer_large": "1.13.0",
            "stt_eo_conformer_transducer_large": "1.14.0",
        },
    ),
    _Family(
        "asr.TransducerModel",
        "Conformer, characters, RNN-T",
        ngc={"stt_zh_conformer_transducer_large": "1.8.0"},
    ),
    _Family(
        "asr.TransducerModel",
        "FastConformer, subwords, RNN-T",
        hub=tuple(f"stt_en_fastconformer_transducer_{size}" for size in ("large", "xlarge", "xxlarge")),
        ngc={"stt_en_fastconformer_transducer_large_ls": "1.0.0"},
    ),
    _Family(
        "asr.TransducerModel",
        "Parakeet: FastConformer, subwords, RNN-T",
        hub=("parakeet-rnnt-0.6b", "parakeet-rnnt-1.1b"),
        languages=["en"],
    ),
    _Family(
        "asr.TransducerModel",
        "Parakeet: FastConformer, subwords, TDT",
        hub=("parakeet-tdt-1.1b", "parakeet-tdt-0.6b-v2"),
        languages=["en"],
    ),
    _Family(
        "asr.TransducerModel",
        "Parakeet: FastConformer, subwords, TDT; 25 languages",
        hub=("parakeet-tdt-0.6b-v3",),
        languages=_EUROPEAN,
    ),
    # -- transducer and CTC
    _Family(
        "asr.HybridModel",
        "FastConformer, subwords, RNN-T and CTC; punctuation and capitals",
        hub=tuple(
            f"stt_{code}_fastconformer_hybrid_large_pc"
            for code in ["be", "de", "en", "es", "fr", "hr", "hy", "it", "ka", "nl", "pl", "pt", "ru", "ua", "uz"]
        ),
        ngc={"stt_by_fastconformer_hybrid_large_pc": "1.21.0"},
    ),
    _Family(
        "asr.HybridModel",
        "FastConformer, subwords, RNN-T and CTC; punctuation",
        hub=("stt_ar_fastconformer_hybrid_large_pc_v1.0", "stt_ar_fastconformer_hybrid_large_pcd_v1.0"),
    ),
    _Family(
        "asr.HybridModel",
        "FastConformer, subwords, RNN-T and CTC",
        hub=("stt_fa_fastconformer_hybrid_large", "stt_kk_ru_fastconformer_hybrid_large"),
    ),
    _Family(
        "asr.HybridModel",
        "FastConformer, subwords, RNN-T and CTC; punctuation and capitals",
        ngc={
            "stt_multilingual_fastconformer_hybrid_large_pc": "1.21.0",
            "stt_multilingual_fastconformer_hybrid_large_pc_blend_eu": "1.21.0",
        },
        languages=["be", "de", "en", "es", "fr", "hr", "it", "pl", "ru", "uk"],
    ),
    _Family(
        "asr.HybridModel",
        "FastConformer with limited context, subwords, RNN-T and CTC",
        hub=(
            "stt_en_fastconformer_hybrid_large_streaming_multi",
            "stt_ka_fastconformer_hybrid_transducer_ctc_large_streaming_80ms_pc",
        ),
        ngc={f"stt_en_fastconformer_hybrid_large_streaming_{delay}ms": "1.20.0" for delay in (80, 480, 1040)},
    ),
    _Family(
        "asr.HybridModel",
        "Parakeet: FastConformer, subwords, TDT and CTC",
        hub=("parakeet-tdt_ctc-110m", "parakeet-tdt_ctc-1.1b"),
        languages=["en"],
    ),
    _Family(
        "asr.HybridModel",
        "Parakeet: FastConformer, subwords, TDT and CTC",
        hub=("parakeet-tdt_ctc-0.6b-ja",),
        languages=["ja"],
    ),
    # -- attention
    _Family(
        "asr.MultitaskModel",
        "Canary: recognition and translation",
        hub=("canary-1b",),
        languages=["de", "en", "es", "fr"],
        license="CC-BY-NC-4.0",
    ),
    _Family(
        "asr.MultitaskModel",
        "Canary: recognition, translation, times",
        hub=("canary-1b-flash", "canary-180m-flash"),
        languages=["de", "en", "es", "fr"],
    ),
    _Family(
        "asr.MultitaskModel",
        "Canary: recognition and translation; 25 languages",
        hub=("canary-1b-v2",),
        languages=_EUROPEAN,
    ),
    # -- classes and speakers
    _Family(
        "asr.ClassificationModel",
        "MatchboxNet: spoken commands",
        ngc={
            f"commandrecognition_en_matchboxnet3x{repeat}x64_{data}": "1.0.0rc1"
            for data in ("v1", "v2", "v2_subset_task")
            for repeat in (1, 2)
        },
        languages=["en"],
    ),
    _Family(
        "asr.ClassificationModel",
        "MarbleNet: speech or not",
        ngc={
            "vad_multilingual_marblenet": "1.10.0",
            "vad_telephony_marblenet": "1.0.0rc1",
            "vad_marblenet": "1.0.0rc1",
        },
        languages=(),
    ),
    _Family(
        "asr.SpeakerModel",
        "TitaNet: speakers",
        hub=("speakerverification_en_titanet_large",),
        ngc={"titanet_large": "v1 titanet-l.nemo", "titanet_small": "1.19.0 titanet-s.nemo"},
        languages=(),
    ),
    _Family("asr.SpeakerModel", "SpeakerNet: speakers", ngc={"speakerverification_speakernet": "1.16.0"}, languages=()),
    _Family("asr.SpeakerModel", "AmberNet: languages", ngc={"langid_ambernet": "1.12.0 ambernet.nemo"}, languages=()),
)


def register_published_models(registry: Registry) -> None:
    """Register NVIDIA's published models.

    Example:
        >>> from nemo_core.plugins import Registry
        >>> registry = Registry()
        >>> register_published_models(registry)
        >>> entry = registry.get("pretrained", "parakeet-tdt-0.6b-v2")
        >>> entry.name, entry.target
        ('nvidia/parakeet-tdt-0.6b-v2', 'hf://nvidia/parakeet-tdt-0.6b-v2/parakeet-tdt-0.6b-v2.nemo')
    """
    for family in _FAMILIES:
        for name, location, license in family.entries():
            registry.pretrained(
                f"nvidia/{name}",
                location=location,
                aliases=(name,),
                summary=family.summary,
                license=license,
                model=family.model,
                languages=_languages(name) if family.languages is None else tuple(family.languages),
            )


def _languages(name: str) -> tuple[str, ...]:
    """Return the languages in a name.

    >>> _languages("stt_kk_ru_fastconformer_hybrid_large"), _languages("stt_ua_fastconformer_hybrid_large_pc")
    (('kk', 'ru'), ('uk',))
    """
    rest = name.removeprefix("stt_")
    code = next((code for code in _CODES if rest.startswith(f"{code}_")), rest.partition("_")[0])
    return tuple(_CODES.get(code, code).split())
