"""What nemo-tts registers with nemo-core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_core.plugins import hookimpl

if TYPE_CHECKING:
    from nemo_core.plugins import Registry

# NVIDIA's import paths are aliases, so that configurations and archives that name them work unchanged.
_NVIDIA_MODULES = "nemo.collections.tts.modules"
_NVIDIA_MODELS = "nemo.collections.tts.models"
_NVIDIA_TOKENIZERS = "nemo.collections.common.tokenizers.text_to_speech.tts_tokenizers"


@hookimpl
def nemo_components(registry: Registry) -> None:
    """Register all of speech synthesis."""
    registry.command("tts", summary="Tools for speech synthesis")
    _text(registry)
    _models(registry)
    _speech(registry)


def _models(registry: Registry) -> None:
    """Register modules, losses, models and published models."""
    from nemo_tts.catalogue import register_published_models

    sizes = {"n_layer": 1, "d_model": 8, "d_head": 4, "d_inner": 16, "dropout": 0.0, "dropatt": 0.0}
    registry.module(
        "tts.FFTransformerEncoder",
        "nemo_tts.modules.fft:FFTransformerEncoder",
        aliases=(f"{_NVIDIA_MODULES}.transformer.FFTransformerEncoder",),
        summary="Feed-forward transformer over tokens",
        example={"n_embed": 10, **sizes},
        example_sizes={"condition": {"T": 1, "D": 8}},
    )
    registry.module(
        "tts.FFTransformerDecoder",
        "nemo_tts.modules.fft:FFTransformerDecoder",
        aliases=(f"{_NVIDIA_MODULES}.transformer.FFTransformerDecoder",),
        summary="Feed-forward transformer over frames",
        example=sizes,
        example_sizes={"condition": {"T": 1, "D": 8}},
    )
    registry.module(
        "tts.TemporalPredictor",
        "nemo_tts.modules.predictor:TemporalPredictor",
        aliases=(f"{_NVIDIA_MODULES}.fastpitch.TemporalPredictor",),
        summary="A number for each token: duration, pitch or energy",
        example={"input_size": 8, "filter_size": 4, "dropout": 0.0},
        example_sizes={"condition": {"T": 1, "D": 8}},
    )
    registry.module(
        "tts.Aligner",
        "nemo_tts.modules.aligner:Aligner",
        aliases=(f"{_NVIDIA_MODULES}.aligner.AlignmentEncoder",),
        summary="Learns which frames belong to which token",
        example={"n_mel_channels": 8, "n_text_channels": 8, "n_att_channels": 4},
        example_sizes={"condition": {"T": 1, "D": 8}},
    )
    small = {"upsample_initial_channel": 16, "initial_input_size": 8}
    registry.module(
        "tts.HiFiGanGenerator",
        "nemo_tts.modules.hifigan:HiFiGanGenerator",
        aliases=(f"{_NVIDIA_MODULES}.hifigan_modules.Generator",),
        summary="Generator of HiFi-GAN: mel spectrogram to audio",
        example=small,
        example_sizes={"T": 4},
    )
    registry.module(
        "tts.ISTFTGenerator",
        "nemo_tts.modules.hifigan:ISTFTGenerator",
        summary="Generator that ends in an inverse Fourier transform: faster",
        example=small,
        example_sizes={"T": 4},
    )
    registry.module(
        "tts.VocosGenerator",
        "nemo_tts.modules.vocos:VocosGenerator",
        summary="Generator that makes Fourier coefficients of frames: the fastest",
        example={"hop_length": 4, "n_fft": 16, "dim": 8, "n_layers": 1, "initial_input_size": 8},
        example_sizes={"T": 4},
    )
    registry.module(
        "tts.MultiPeriodDiscriminator",
        "nemo_tts.modules.discriminators:MultiPeriodDiscriminator",
        aliases=(f"{_NVIDIA_MODULES}.hifigan_modules.MultiPeriodDiscriminator",),
        summary="Discriminator of HiFi-GAN over periods",
        example={"periods": [2, 3], "channels": [4, 8]},
        example_sizes={"T": 256},
    )
    registry.module(
        "tts.MultiScaleDiscriminator",
        "nemo_tts.modules.discriminators:MultiScaleDiscriminator",
        aliases=(f"{_NVIDIA_MODULES}.hifigan_modules.MultiScaleDiscriminator",),
        summary="Discriminator of HiFi-GAN over scales",
        example={"scales": 2, "width": 0.125},
        example_sizes={"T": 256},
    )
    registry.module(
        "tts.GriffinLimInversion",
        "nemo_tts.modules.griffin_lim:GriffinLimInversion",
        summary="Mel spectrogram to audio without a trained network",
        example={
            "mel": {"_target_": "MelSpectrogram", "features": 8, "normalize": None, "preemph": None},
            "iterations": 2,
        },
        example_sizes={"T": 8},
    )
    for name, module, summary in (
        ("MelLoss", "acoustic", "Distance of two spectrograms"),
        ("DurationLoss", "acoustic", "Distance of logarithmic durations"),
        ("PitchLoss", "acoustic", "Distance of the pitch of tokens"),
        ("EnergyLoss", "acoustic", "Distance of the energy of tokens"),
        ("ForwardSumLoss", "alignment", "Probability of all monotonic alignments"),
        ("BinarizationLoss", "alignment", "Makes soft alignments sharp"),
        ("DiscriminatorLoss", "adversarial", "Least squares for discriminators"),
        ("GeneratorLoss", "adversarial", "Least squares for generators"),
        ("FeatureMatchingLoss", "adversarial", "Distance of what discriminators see"),
        ("MultiResolutionSTFTLoss", "spectral", "Distance of spectra of several resolutions"),
    ):
        registry.loss(
            f"tts.{name}",
            f"nemo_tts.losses.{module}:{name}",
            summary=summary,
        )
    registry.model(
        "tts.FastPitch",
        "nemo_tts.models.fastpitch:FastPitch",
        aliases=(f"{_NVIDIA_MODELS}.FastPitchModel", f"{_NVIDIA_MODELS}.fastpitch.FastPitchModel"),
        summary="Text to mel spectrogram, with durations, pitch and energy in hand",
    )
    registry.model_builder(
        "tts.continued_voice",
        "nemo_tts.models.continuing:continued_voice",
        summary="The FastPitch of an archive, ready to learn another voice",
        example=None,
    )
    registry.model(
        "tts.HiFiGan",
        "nemo_tts.models.hifigan:HiFiGan",
        aliases=(f"{_NVIDIA_MODELS}.HifiGanModel", f"{_NVIDIA_MODELS}.hifigan.HifiGanModel"),
        summary="Mel spectrogram to audio: HiFi-GAN and iSTFTNet",
    )
    registry.model(
        "tts.GriffinLim", "nemo_tts.models.griffin_lim:GriffinLim", summary="Mel spectrogram to audio without weights"
    )
    register_published_models(registry)


def _speech(registry: Registry) -> None:
    """Register data, recipes and commands."""
    for name, module, summary in (
        ("TextToSpeechData", "synthesis_data", "Data module of acoustic models: text, audio, pitch, energy"),
        ("VocoderData", "synthesis_data", "Data module of vocoders: pieces of audio"),
        ("VoiceData", "continuing", "Data module to train the voice of an archive on"),
        ("VoiceFeatures", "continuing", "Pitch and energy as the voice of an archive has them"),
        ("ManifestSpeech", "manifest_data", "Audio, text and pitch of manifests"),
        ("SpokenDigits", "digits", "Strings of spoken digits, composed of embedded recordings"),
        ("SpeechFeatures", "features", "Pitch and energy of each frame"),
    ):
        registry.dataset(f"tts.{name}", f"nemo_tts.data.{module}:{name}", summary=summary)
    registry.recipes("nemo_tts.conf", prefix="tts", summary="Speech synthesis")
    registry.command("synthesize", "nemo_tts.cli.synthesize:synthesize", summary="Turn text into speech")
    registry.command(
        "tts manifest", "nemo_tts.cli.manifest:manifest", summary="Write the manifest of a published corpus"
    )
    registry.command("tts prepare", "nemo_tts.cli.prepare:prepare", summary="Find pitch and energy of a corpus")
    registry.command(
        "tts evaluate", "nemo_tts.cli.evaluate:evaluate", summary="Say the texts of a manifest, and measure"
    )


def _text(registry: Registry) -> None:
    """Register what turns text into words, sounds and tokens."""
    for name, target, summary in (
        ("EnglishNormalizer", "english.normalizer", "English text the way it is spoken"),
        ("MandarinNormalizer", "mandarin.normalizer", "Mandarin text the way it is spoken"),
        ("EnglishG2p", "english.g2p", "English text to ARPABET or IPA"),
        ("ChineseG2p", "mandarin.g2p", "Mandarin text to initials, finals and tones, pinyin or IPA"),
    ):
        registry.text_processor(f"tts.{name}", f"nemo_tts.text.{target}:{name}", summary=summary)
    registry.text_processor(
        "tts.IpaG2p",
        "nemo_tts.text.ipa:IpaG2p",
        aliases=("nemo.collections.tts.g2p.models.i18n_ipa.IpaG2p",),
        summary="Text of any language to IPA, by a dictionary",
    )
    registry.tokenizer(
        "tts.CharsTokenizer", "nemo_tts.tokenizers.chars:CharsTokenizer", summary="Letters of a language as tokens"
    )
    for language in ("English", "German", "Spanish", "French", "Italian", "Vietnamese"):
        registry.tokenizer(
            f"tts.{language}CharsTokenizer",
            f"nemo_tts.tokenizers.chars:{language}CharsTokenizer",
            aliases=(f"{_NVIDIA_TOKENIZERS}.{language}CharsTokenizer",),
            summary=f"{language} letters as tokens",
        )
    for name, module, summary in (
        ("GermanPhonemesTokenizer", "chars", "German in IPA, one character a token"),
        ("EnglishPhonemesTokenizer", "phonemes", "English sounds as tokens: ARPABET"),
        ("IPATokenizer", "ipa", "Sounds of any language as tokens: IPA"),
        ("ChinesePhonemesTokenizer", "chinese", "Mandarin initials, finals and tones as tokens"),
    ):
        registry.tokenizer(
            f"tts.{name}",
            f"nemo_tts.tokenizers.{module}:{name}",
            aliases=(f"{_NVIDIA_TOKENIZERS}.{name}",),
            summary=summary,
        )
    registry.command("tts normalize", "nemo_tts.cli.text:normalize", summary="Write texts the way they are spoken")
    registry.command("tts phonemes", "nemo_tts.cli.text:phonemes", summary="Show the sounds that texts are read with")
    registry.command("tts g2p", summary="Learn how letters sound")
    registry.command("tts g2p train", "nemo_tts.cli.g2p:train", summary="Learn how letters sound from a dictionary")
