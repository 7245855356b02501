"""HiFi-GAN: a vocoder trained against discriminators."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.audio.mel import MelSpectrogram
from nemo_core.errors import ConfigError
from nemo_core.models.turns import TrainedInTurn
from nemo_tts.losses.adversarial import DiscriminatorLoss, FeatureMatchingLoss, GeneratorLoss
from nemo_tts.losses.spectral import MultiResolutionSTFTLoss
from nemo_tts.models.batches import VocoderBatch
from nemo_tts.models.vocoder import Vocoder, check_element
from nemo_tts.modules.discriminators import MultiPeriodDiscriminator, MultiScaleDiscriminator
from nemo_tts.modules.hifigan import HiFiGanGenerator, ISTFTGenerator
from nemo_tts.modules.vocos import VocosGenerator

if TYPE_CHECKING:
    from nemo_core.models import NvidiaModel

__all__ = ["HiFiGan"]


class HiFiGan(Vocoder, TrainedInTurn):
    """A generator of audio, and the discriminators it is trained against (Kong et al., NeurIPS 2020).

    For synthesis the generator is enough; the discriminators are what training needs. In each step they learn first
    to tell real audio from generated audio, and then the generator learns to pass, to look the same to them, and to
    have the mel spectrogram it was made from. It logs ``train_loss`` and the parts of it, and ``val_loss``, the
    distance of mel spectrograms.

    Discriminators are most of the work, and have little to say while the generator still makes noise: with
    ``discriminators_from_step`` the first steps go without them.

    Args:
        preprocessor: How the spectrograms are made.
        generator: Spectrogram to audio.
        mpd: Discriminator of periods.
        msd: Discriminator of scales.
        l1_loss_factor: Weight of the distance of mel spectrograms.
        trg_mel_highfreq: Upper edge, Hz, of the spectrograms of that distance; half the sample rate if not given, so
            that it hears what the generator's input does not tell.
        stft_loss: Distance of short-time spectra, which the generator learns from as well.
        discriminators_from_step: Steps of the generator before the discriminators begin.

    Raises:
        ConfigError: The generator does not fit the spectrograms.

    Example:
        >>> mel = MelSpectrogram(
        ...     22050, n_window_size=1024, n_window_stride=256, features=80, highfreq=8000, normalize=None, preemph=None
        ... )
        >>> vocoder = HiFiGan(mel, HiFiGanGenerator(upsample_initial_channel=32))
        >>> vocoder.vocode(torch.zeros(80, 10)).shape
        torch.Size([2560])
    """

    turns = {"generator": ("generator",), "discriminators": ("mpd", "msd")}

    def __init__(
        self,
        preprocessor: MelSpectrogram,
        generator: HiFiGanGenerator | ISTFTGenerator | VocosGenerator,
        mpd: MultiPeriodDiscriminator | None = None,
        msd: MultiScaleDiscriminator | None = None,
        l1_loss_factor: float = 45.0,
        trg_mel_highfreq: float | None = None,
        stft_loss: MultiResolutionSTFTLoss | None = None,
        discriminators_from_step: int = 0,
    ) -> None:
        super().__init__()
        check_element(preprocessor, generator.hop_length, generator.n_mels)
        self.preprocessor = preprocessor
        self.generator = generator
        self.mpd = mpd
        self.msd = msd
        self.l1_loss_factor = l1_loss_factor
        self.stft_loss = stft_loss
        self.discriminators_from_step = discriminators_from_step
        settings = {**preprocessor.to_config(), "highfreq": trg_mel_highfreq, "dither": 0.0}
        del settings["_target_"]
        self.target_mel = MelSpectrogram(**settings)
        self.discriminator_loss = DiscriminatorLoss()
        self.generator_loss = GeneratorLoss()
        self.feature_loss = FeatureMatchingLoss()

    @nt.typed
    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return audio (B, T) in [-1, 1]."""
        audio: Tensor = self.generator(spectrogram=spectrogram)
        return audio

    def training_step(self, batch: VocoderBatch, batch_index: int) -> None:
        """Train the discriminators, when they have begun, and then the generator."""
        real, spectrogram = batch.audio, self._spectrogram(batch)
        made = self._fitted(self.generator(spectrogram=spectrogram), real)
        parts = {"mel": self.l1_loss_factor * self._mel_distance(made, batch)}
        if self.stft_loss is not None:
            parts["stft"] = self.stft_loss(real=real, generated=made)
        judges: dict[str, Tensor] = {}
        if self.global_step >= self.discriminators_from_step:
            judges["discriminators"] = self._teach_judges(real, made.detach())
            with self.only("generator"):
                parts.update(self._convince_judges(real, made))
                loss = torch.stack(list(parts.values())).sum()
                self.take_turn("generator", loss)
        else:
            loss = torch.stack(list(parts.values())).sum()
            self.take_turn("generator", loss)
        self.log("train_loss", loss.detach(), prog_bar=True, batch_size=len(real))
        logged = {f"train_{name}": part.detach() for name, part in {**parts, **judges}.items()}
        self.log_dict(logged, batch_size=len(real))

    def _teach_judges(self, real: Tensor, made: Tensor) -> Tensor:
        judged, _ = self._judge(real)
        told, _ = self._judge(made)
        loss: Tensor = self.discriminator_loss(real=judged, generated=told)
        self.take_turn("discriminators", loss)
        return loss

    def _convince_judges(self, real: Tensor, made: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            _, seen = self._judge(real)
        scores, features = self._judge(made)
        return {
            "adversarial": self.generator_loss(generated=scores),
            "features": self.feature_loss(real=seen, generated=features),
        }

    def validation_step(self, batch: VocoderBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Log the distance of mel spectrograms, ``val_loss``."""
        self._evaluate("val", batch)

    def test_step(self, batch: VocoderBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Log the distance of mel spectrograms, ``test_loss``."""
        self._evaluate("test", batch)

    def _evaluate(self, prefix: str, batch: VocoderBatch) -> None:
        made = self._fitted(self.generator(spectrogram=self._spectrogram(batch)), batch.audio)
        distance = self._mel_distance(made, batch)
        self.log(f"{prefix}_loss", distance, prog_bar=True, batch_size=len(batch.audio), sync_dist=True)

    def _spectrogram(self, batch: VocoderBatch) -> Tensor:
        if batch.spectrogram is not None:
            return batch.spectrogram
        spectrogram, _ = self.preprocessor(audio=batch.audio, length=batch.audio_length)
        return spectrogram

    def _fitted(self, made: Tensor, real: Tensor) -> Tensor:
        """Return what was made, as long as what is real: a hop that is not full has no frame."""
        missing = real.shape[1] - made.shape[1]
        return F.pad(made, (0, missing)) if missing > 0 else made[:, : real.shape[1]]

    def _judge(self, audio: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        if self.mpd is None and self.msd is None:
            raise ConfigError(
                "HiFiGan has no discriminators, which training needs",
                hint="set mpd to tts.MultiPeriodDiscriminator and msd to tts.MultiScaleDiscriminator",
            )
        scores: list[Tensor] = []
        features: list[Tensor] = []
        for discriminator in (self.mpd, self.msd):
            if discriminator is not None:
                found = discriminator(audio=audio)
                scores += found[0]
                features += found[1]
        return scores, features

    def _mel_distance(self, made: Tensor, batch: VocoderBatch) -> Tensor:
        with torch.no_grad():
            wanted, frames = self.target_mel.differentiable(batch.audio, batch.audio_length)
        found, _ = self.target_mel.differentiable(made, batch.audio_length)
        return (found - wanted).abs().sum() / (frames.sum() * wanted.shape[1]).clamp(min=1)

    @classmethod
    def from_nvidia(cls, config: Mapping[str, Any], artifacts: Mapping[str, Path]) -> dict[str, Any]:
        """Return our configuration for that of NVIDIA's ``HifiGanModel``."""
        from nemo_tts.models.nvidia import hifigan_config

        return hifigan_config(config)

    def nvidia_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return NVIDIA's weights under our names; those of discriminators only if this model has them."""
        from nemo_tts.models.nvidia import hifigan_weights

        return hifigan_weights(state, self.state_dict())

    def to_nvidia(self) -> NvidiaModel:
        """Return this model in NVIDIA's words."""
        from nemo_tts.export.nvidia import hifigan_model

        return hifigan_model(self)
