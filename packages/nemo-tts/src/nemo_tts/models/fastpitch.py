"""FastPitch: text to a mel spectrogram, with durations, pitch and energy in hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from nemo_core import types as nt
from nemo_core.audio.mel import MelSpectrogram
from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError
from nemo_core.models import Model
from nemo_tts.losses.acoustic import DurationLoss, EnergyLoss, MelLoss, PitchLoss
from nemo_tts.losses.alignment import BinarizationLoss, ForwardSumLoss
from nemo_tts.models.batches import AcousticBatch
from nemo_tts.modules.aligner import Aligner
from nemo_tts.modules.alignment import beta_binomial_prior, durations_of, monotonic_alignment
from nemo_tts.modules.fft import FFTransformerDecoder, FFTransformerEncoder
from nemo_tts.modules.masks import length_mask
from nemo_tts.modules.predictor import TemporalPredictor
from nemo_tts.modules.prosody import shift_energy, shift_pitch, spread_pitch
from nemo_tts.modules.regulation import average_features, log_to_duration, regulate_length, scale_durations

if TYPE_CHECKING:
    from nemo_core.models import NvidiaModel

__all__ = ["Aligned", "FastPitch", "Generated"]


class Generated(NamedTuple):
    """What an acoustic model makes of text."""

    spectrogram: Tensor
    """Mel spectrogram (B, D, M), zero beyond the ends."""
    length: Tensor
    """Frames of each utterance (B,)."""
    durations: Tensor
    """Frames of each token (B, T) as predicted or given, before pace and rounding."""
    pitch: Tensor
    """Pitch of each token (B, T), normalised as in training."""
    log_durations: Tensor
    """What the predictor gave, log(1 + frames) (B, T)."""
    frames: Tensor
    """Frames that each token has in the spectrogram (B, T), int64."""
    energy: Tensor | None = None
    """Energy of each token (B, T), where the model has one."""


class Aligned(NamedTuple):
    """Which frames of a recording belong to which token."""

    attention: Tensor
    """How much each frame attends to each token (M, T); a frame's add up to 1."""
    path: Tensor
    """The token of each frame in the best alignment in which time goes forward (M,)."""

    @property
    def on_path(self) -> float:
        """Share of the attention that is on the best alignment; 1 for one that is sharp and monotonic."""
        return float(self.attention.gather(1, self.path[:, None]).mean())


class _Outputs(NamedTuple):
    """What a training step needs."""

    predicted: Tensor
    log_durations: Tensor
    pitch: Tensor
    energy: Tensor | None
    scores: Tensor | None
    path: Tensor | None
    durations: Tensor
    wanted_pitch: Tensor
    wanted_energy: Tensor | None


class FastPitch(Model):
    """Parallel text to speech with pitch prediction (Łańcucki, ICASSP 2021), whose alignment is learned on the way.

    Text is encoded; durations, pitch and, if there is a predictor for it, energy of each token are predicted; pitch and
    energy are added to the encoding, tokens are repeated as long as they last, and decoded.

    Args:
        preprocessor: How spectrograms are made of audio; not normalised, since a vocoder has to undo it.
        encoder: Tokens to encoded tokens.
        decoder: Encoded frames to decoded frames.
        duration_predictor: Encoded tokens to log(1 + frames).
        pitch_predictor: Encoded tokens to pitch.
        aligner: Learns durations; without one, batches must have them.
        energy_predictor: Encoded tokens to energy.
        tokenizer: Text to tokens.
        n_speakers: Voices; 1 for a model that has one.
        speakers: Their names, in the order of their numbers.
        pitch_embedding_kernel_size: Tokens that a pitch is seen by; odd.
        energy_embedding_kernel_size: Tokens that an energy is seen by; odd.
        max_token_duration: Most frames of a token in synthesis.
        min_token_duration: Least frames of a token in synthesis.
        pitch_mean: Mean of the pitch of the training data, Hz: what a normalised pitch of 0 stands for. Without it, and
            the next, pitch is a number of no unit, which cannot be shifted by semitones.
        pitch_std: Deviation of the pitch of the training data, Hz.
        bin_loss_warmup_epochs: Epochs in which the weight of the binarisation loss grows from 0 to 1.
        loss_scale: Weight of the losses on durations, pitch and energy; by default 0.1 with an aligner, 1 without.

    Raises:
        ConfigError: Parts do not fit each other.

    Example:
        >>> sizes = dict(n_layer=1, d_model=16, d_head=8, d_inner=16)
        >>> model = FastPitch(
        ...     preprocessor=MelSpectrogram(22050, features=20, normalize=None, preemph=None),
        ...     encoder=FFTransformerEncoder(n_embed=30, padding_idx=29, **sizes),
        ...     decoder=FFTransformerDecoder(**sizes),
        ...     duration_predictor=TemporalPredictor(16, 8),
        ...     pitch_predictor=TemporalPredictor(16, 8),
        ... )
        >>> made = model.generate(torch.tensor([[3, 1, 4, 1, 5]]), durations=torch.tensor([[2, 2, 3, 1, 1]]))
        >>> made.spectrogram.shape, made.length
        (torch.Size([1, 20, 9]), tensor([9]))
    """

    def __init__(
        self,
        preprocessor: MelSpectrogram,
        encoder: FFTransformerEncoder,
        decoder: FFTransformerDecoder,
        duration_predictor: TemporalPredictor,
        pitch_predictor: TemporalPredictor,
        aligner: Aligner | None = None,
        energy_predictor: TemporalPredictor | None = None,
        tokenizer: Configured | None = None,
        n_speakers: int = 1,
        speakers: Sequence[str] | None = None,
        pitch_embedding_kernel_size: int = 3,
        energy_embedding_kernel_size: int = 3,
        max_token_duration: float = 75,
        min_token_duration: float = 0,
        pitch_mean: float | None = None,
        pitch_std: float | None = None,
        bin_loss_warmup_epochs: int = 100,
        loss_scale: float | None = None,
    ) -> None:
        super().__init__()
        width = encoder.d_model
        _check(preprocessor, encoder, decoder, tokenizer)
        self.preprocessor = preprocessor
        self.encoder, self.decoder = encoder, decoder
        self.duration_predictor, self.pitch_predictor = duration_predictor, pitch_predictor
        self.energy_predictor = energy_predictor
        self.aligner = aligner
        self.tokenizer = tokenizer
        if speakers is not None and len(speakers) != n_speakers:
            raise ConfigError(
                f"the model has {n_speakers} voices, but names of {len(speakers)}", hint="set n_speakers to how many"
            )
        self.n_speakers, self.speakers = n_speakers, None if speakers is None else list(speakers)
        self.max_token_duration, self.min_token_duration = max_token_duration, min_token_duration
        self.pitch_mean = 0.0 if pitch_mean is None else pitch_mean
        self.pitch_std = 1.0 if pitch_std is None else pitch_std
        self.bin_loss_warmup_epochs = bin_loss_warmup_epochs
        self.speaker_emb = nn.Embedding(n_speakers, width) if n_speakers > 1 else None
        self.pitch_emb = _scalar_embedding(width, pitch_embedding_kernel_size)
        self.energy_emb = _scalar_embedding(width, energy_embedding_kernel_size) if energy_predictor else None
        self.proj = nn.Linear(decoder.d_model, preprocessor.n_mels)
        scale = loss_scale if loss_scale is not None else 0.1 if aligner is not None else 1.0
        self.mel_loss = MelLoss()
        self.duration_loss, self.pitch_loss, self.energy_loss = DurationLoss(scale), PitchLoss(scale), EnergyLoss(scale)
        self.forward_sum_loss, self.bin_loss = ForwardSumLoss(), BinarizationLoss()

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``tokens`` (B, T) and ``length`` (B,)."""
        return {"tokens": nt.NeuralType(("B", "T"), nt.TokenIndex()), "length": nt.NeuralType(("B",), nt.Lengths())}

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``spectrogram`` (B, D, M), made as the preprocessor makes it, and ``spectrogram_length`` (B,)."""
        mel = self.preprocessor
        return {
            "spectrogram": nt.NeuralType(("B", f"D:{mel.n_mels}", "T"), mel.element),
            "spectrogram_length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def sample_rate(self) -> int:
        """Rate of the audio whose spectrograms it makes, Hz."""
        return self.preprocessor.sample_rate

    @nt.typed
    def forward(self, tokens: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return spectrograms (B, D, M) and their frames (B,), as :meth:`generate` does without wishes."""
        made = self._synthesize(tokens, length)
        return made.spectrogram, made.length

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        length: Tensor | None = None,
        *,
        speaker: int | Tensor | None = None,
        pace: float | Tensor = 1.0,
        pitch_shift: float | Tensor = 0.0,
        pitch_range: float | Tensor = 1.0,
        pitch_transform: Callable[[Tensor], Tensor] | None = None,
        energy_shift: float | Tensor = 0.0,
        pitch: Tensor | None = None,
        energy: Tensor | None = None,
        durations: Tensor | None = None,
    ) -> Generated:
        """Return spectrograms of tokens.

        Args:
            tokens: (B, T), or one text (T,).
            length: Tokens of each (B,); all if not given.
            speaker: Number of the voice, one for all or (B,).
            pace: 2 is twice as fast; one for all, or one for each token (B, T).
            pitch_shift: Semitones to raise the voice by, one for all or (B, T); needs ``pitch_std``.
            pitch_range: How many times as far from its mean pitch is, one for all or (B, T): 0 is a monotone.
            pitch_transform: What to make of the predicted pitch (B, T), before all else; for example
                ``lambda pitch: pitch.flip(1)``.
            energy_shift: Decibels to make the voice louder by, one for all or (B, T); needs an energy predictor.
            pitch: In place of the predicted one (B, T), normalised.
            energy: In place of the predicted one (B, T).
            durations: In place of the predicted ones (B, T), frames.

        Returns:
            Spectrograms, lengths, durations, pitch and energy. A text all of whose tokens get no frame has one frame.

        Raises:
            DataError: Tokens, lengths or speakers are out of range, or wishes have another shape than the tokens.
            ConfigError: The model has no such speakers, or cannot shift pitch or energy.
        """
        tokens = tokens.unsqueeze(0) if tokens.ndim == 1 else tokens
        length = tokens.new_full((len(tokens),), tokens.shape[1]) if length is None else length
        self._check_tokens(tokens, length)
        wishes = {"pitch": pitch, "energy": energy, "durations": durations, "pace": pace, "pitch_shift": pitch_shift}
        wishes |= {"pitch_range": pitch_range, "energy_shift": energy_shift}
        for name, wish in wishes.items():
            if isinstance(wish, Tensor) and wish.ndim and wish.shape != tokens.shape:
                raise DataError(f"{name} is of shape {tuple(wish.shape)}, but the tokens are {tuple(tokens.shape)}")
        if bool((torch.as_tensor(pace) <= 0).any()):
            raise DataError("pace is not positive", hint="1 is as in training, 2 twice as fast")
        self._check_shifts(pitch_shift, energy_shift, energy)

        def change_pitch(predicted: Tensor, inside: Tensor) -> Tensor:
            changed = pitch_transform(predicted) if pitch_transform else predicted
            changed = spread_pitch(changed, pitch_range, inside) if _is_wished(pitch_range, 1.0) else changed
            if not _is_wished(pitch_shift, 0.0):
                return changed
            return shift_pitch(changed, pitch_shift, self.pitch_mean, self.pitch_std)

        def change_energy(predicted: Tensor) -> Tensor:
            return shift_energy(predicted, energy_shift) if _is_wished(energy_shift, 0.0) else predicted

        training = self.training
        self.eval()
        try:
            return self._synthesize(
                tokens,
                length,
                self._speakers(speaker, len(tokens)),
                pace,
                change_pitch,
                change_energy,
                pitch,
                energy,
                durations,
            )
        finally:
            self.train(training)

    def _synthesize(
        self,
        tokens: Tensor,
        length: Tensor,
        speaker: Tensor | None = None,
        pace: float | Tensor = 1.0,
        change_pitch: Callable[[Tensor, Tensor], Tensor] | None = None,
        change_energy: Callable[[Tensor], Tensor] | None = None,
        pitch: Tensor | None = None,
        energy: Tensor | None = None,
        durations: Tensor | None = None,
    ) -> Generated:
        inside = length_mask(length, tokens.shape[1])
        condition = self._condition(speaker)
        encoded = self.encoder(tokens=tokens, length=length, condition=condition)
        log_durations = self.duration_predictor(encoded=encoded, length=length, condition=condition)
        if durations is None:
            durations = log_to_duration(log_durations, self.min_token_duration, self.max_token_duration, inside)
        if pitch is None:
            pitch = self.pitch_predictor(encoded=encoded, length=length, condition=condition)
        pitch = (change_pitch(pitch, inside) if change_pitch else pitch) * inside
        prosody = self.pitch_emb(pitch.unsqueeze(1))
        if self.energy_predictor is not None and self.energy_emb is not None:
            if energy is None:
                energy = self.energy_predictor(encoded=encoded, length=length, condition=condition)
            energy = (change_energy(energy) if change_energy else energy) * inside
            prosody = prosody + self.energy_emb(energy.unsqueeze(1))
        encoded = encoded + prosody.transpose(1, 2)
        frames = scale_durations(durations * inside, pace)
        frames[:, 0] += frames.sum(1) == 0  # nothing is no spectrogram
        spectrogram, frame_length = self._decode(encoded, frames, condition)
        return Generated(spectrogram, frame_length, durations, pitch, log_durations, frames, energy)

    def _decode(self, encoded: Tensor, frames: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        repeated, length = regulate_length(encoded, frames)
        decoded = self.decoder(encoded=repeated, length=length, condition=condition)
        inside = length_mask(length, repeated.shape[1]).unsqueeze(2)
        return (self.proj(decoded) * inside).transpose(1, 2), length

    def training_step(self, batch: AcousticBatch, batch_index: int) -> Tensor:
        """Return the loss to minimise; logs it and its parts."""
        loss, parts = self.losses(batch)
        size = len(batch.tokens)
        self.log("train_loss", loss.detach(), prog_bar=True, batch_size=size)
        self.log_dict({f"train_{name}": part.detach() for name, part in parts.items()}, batch_size=size)
        return loss

    def validation_step(self, batch: AcousticBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Log ``val_loss``, the sum of the losses on mel, durations, pitch and energy, and each."""
        self._evaluate("val", batch)

    def test_step(self, batch: AcousticBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Log ``test_loss`` and its parts."""
        self._evaluate("test", batch)

    def _evaluate(self, prefix: str, batch: AcousticBatch) -> None:
        _, parts = self.losses(batch)
        kept = {name: parts[name] for name in ("mel", "duration", "pitch", "energy") if name in parts}
        loss = torch.stack(list(kept.values())).sum()
        self.log(f"{prefix}_loss", loss, prog_bar=True, batch_size=len(batch.tokens), sync_dist=True)
        self.log_dict(
            {f"{prefix}_{name}": part for name, part in kept.items()}, batch_size=len(batch.tokens), sync_dist=True
        )

    def losses(self, batch: AcousticBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss on ``batch`` and its parts by name.

        Raises:
            DataError: An utterance has fewer frames than tokens, or there are neither durations nor an aligner.
        """
        spectrogram, frames = self.preprocessor(audio=batch.audio, length=batch.audio_length)
        out = self._teach(batch, spectrogram, frames)
        steps = min(out.predicted.shape[2], spectrogram.shape[2])
        parts = {
            "mel": self.mel_loss(
                predicted=out.predicted[:, :, :steps],
                spectrogram=spectrogram[:, :, :steps],
                length=torch.minimum(frames, out.durations.sum(1)),
            ),
            "duration": self.duration_loss(
                log_durations=out.log_durations, durations=out.durations, length=batch.length
            ),
            "pitch": self.pitch_loss(predicted=out.pitch, wanted=out.wanted_pitch, length=batch.length),
        }
        if out.energy is not None and out.wanted_energy is not None:
            parts["energy"] = self.energy_loss(predicted=out.energy, wanted=out.wanted_energy, length=batch.length)
        if out.scores is not None and out.path is not None:
            parts["forward_sum"] = self.forward_sum_loss(
                scores=out.scores, length=batch.length, spectrogram_length=frames
            )
            parts["binarization"] = self._bin_weight() * self.bin_loss(
                scores=out.scores, path=out.path, spectrogram_length=frames
            )
        return torch.stack(list(parts.values())).sum(), parts

    def taught(self, batch: AcousticBatch) -> Tensor:
        """Return the spectrogram (B, D, M) of a batch whose durations, pitch and energy the model is told.

        Frame by frame it belongs to the recording, so that a vocoder can be tuned to it.
        """
        spectrogram, frames = self.preprocessor(audio=batch.audio, length=batch.audio_length)
        return self._teach(batch, spectrogram, frames).predicted

    @torch.no_grad()
    def align(self, audio: Tensor, tokens: Tensor, speaker: int | None = None) -> Aligned:
        """Find which frames of a recording belong to which token.

        Args:
            audio: Samples (S,) at :attr:`sample_rate`.
            tokens: What is said (T,).
            speaker: Number of the voice.

        Raises:
            ConfigError: The model has no aligner, or several voices and none is chosen.
            DataError: There are fewer frames than tokens.
        """
        if self.aligner is None:
            raise ConfigError("the model has no aligner", hint="durations were given to it in training")
        training = self.training
        self.eval()
        try:
            rows, length = tokens[None], torch.tensor([len(tokens)], device=tokens.device)
            spectrogram, frames = self.preprocessor(audio[None], torch.tensor([len(audio)], device=audio.device))
            condition = self._condition(self._speakers(speaker, 1))
            pitch = spectrogram.new_zeros(1, spectrogram.shape[2])
            batch = AcousticBatch(audio[None], frames, rows, length, pitch)
            scores = self._scores(batch, spectrogram, frames, condition)
            path = monotonic_alignment(scores, length, frames)
        finally:
            self.train(training)
        return Aligned(scores[0].softmax(1), path[0, : int(frames)])

    def _teach(self, batch: AcousticBatch, spectrogram: Tensor, frames: Tensor) -> _Outputs:
        """Return what the model predicts where it is told durations, pitch and energy."""
        condition = self._condition(batch.speaker)
        encoded = self.encoder(tokens=batch.tokens, length=batch.length, condition=condition)
        log_durations = self.duration_predictor(encoded=encoded, length=batch.length, condition=condition)
        pitch = self.pitch_predictor(encoded=encoded, length=batch.length, condition=condition)
        scores = path = None
        durations = batch.durations
        if self.aligner is not None and durations is None:
            scores = self._scores(batch, spectrogram, frames, condition)
            path = monotonic_alignment(scores, batch.length, frames)
            durations = durations_of(path, batch.tokens.shape[1])
        if durations is None:
            raise DataError("the batch has no durations, and the model no aligner to find them with")
        wanted_pitch = _by_token(batch.pitch, durations)
        prosody = self.pitch_emb(wanted_pitch.unsqueeze(1))
        energy = wanted_energy = None
        if self.energy_predictor is not None and self.energy_emb is not None:
            if batch.energy is None:
                raise DataError("the batch has no energy, and the model is to learn it")
            energy = self.energy_predictor(encoded=encoded, length=batch.length, condition=condition)
            wanted_energy = _by_token(batch.energy, durations).log1p()
            prosody = prosody + self.energy_emb(wanted_energy.unsqueeze(1))
        predicted, _ = self._decode(encoded + prosody.transpose(1, 2), durations, condition)
        return _Outputs(predicted, log_durations, pitch, energy, scores, path, durations, wanted_pitch, wanted_energy)

    def _scores(self, batch: AcousticBatch, spectrogram: Tensor, frames: Tensor, condition: Tensor | None) -> Tensor:
        assert self.aligner is not None
        prior = batch.log_prior if batch.log_prior is not None else beta_binomial_prior(batch.length, frames)
        longest, width = int(frames.max()), batch.tokens.shape[1]
        prior = nn.functional.pad(prior, (0, max(0, width - prior.shape[2])), value=-1e4)
        scores: Tensor = self.aligner(
            spectrogram=spectrogram[:, :, :longest],
            embedded=self.encoder.word_emb(batch.tokens),
            spectrogram_length=frames,
            length=batch.length,
            log_prior=prior[:, :longest, :width].to(spectrogram.device),
            condition=condition,
        )
        return scores

    def _bin_weight(self) -> float:
        epoch = self.current_epoch if self._trainer is not None else 0
        return min(epoch / self.bin_loss_warmup_epochs, 1.0) if self.bin_loss_warmup_epochs else 1.0

    def _condition(self, speaker: Tensor | None) -> Tensor | None:
        if self.speaker_emb is None:
            return None
        if speaker is None:
            raise ConfigError(f"the model has {self.n_speakers} voices, and none is chosen", hint="give speaker")
        condition: Tensor = self.speaker_emb(speaker).unsqueeze(1)
        return condition

    def _speakers(self, speaker: int | Tensor | None, batch: int) -> Tensor | None:
        if speaker is None:
            return None
        numbers = torch.as_tensor(speaker, device=self.device).reshape(-1).expand(batch)
        if self.speaker_emb is None:
            if bool((numbers != 0).any()):
                raise ConfigError("the model has one voice, number 0")
        elif bool((numbers < 0).any()) or bool((numbers >= self.n_speakers).any()):
            raise DataError(f"speakers {numbers.tolist()} are not all below {self.n_speakers}")
        return numbers

    def _check_tokens(self, tokens: Tensor, length: Tensor) -> None:
        count = self.encoder.word_emb.num_embeddings
        if tokens.numel() == 0 or bool((tokens < 0).any()) or bool((tokens >= count).any()):
            raise DataError(f"tokens are not all from 0 to {count - 1}, or there are none")
        if length.shape != tokens.shape[:1] or bool((length < 1).any()) or bool((length > tokens.shape[1]).any()):
            raise DataError(f"lengths {length.tolist()} do not fit {len(tokens)} texts of {tokens.shape[1]} tokens")

    def _check_shifts(
        self, pitch_shift: float | Tensor, energy_shift: float | Tensor, energy: Tensor | None = None
    ) -> None:
        if self.energy_predictor is None and (energy is not None or _is_wished(energy_shift, 0.0)):
            raise ConfigError(
                "the model has no energy, so that its voice cannot be made louder",
                hint="train it with energy=true, or change the loudness of the audio",
            )
        if _is_wished(pitch_shift, 0.0) and (self.pitch_mean <= 0 or self.pitch_std <= 0):
            raise ConfigError(
                "pitch cannot be shifted: the model does not know what its pitch is in Hz",
                hint="set pitch_mean and pitch_std to those of the training data, or use pitch_transform",
            )

    @classmethod
    def from_nvidia(cls, config: Mapping[str, Any], artifacts: Mapping[str, Path]) -> dict[str, Any]:
        """Return our configuration for that of NVIDIA's ``FastPitchModel``."""
        from nemo_tts.models.nvidia import fastpitch_config

        return fastpitch_config(config)

    def nvidia_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return NVIDIA's weights under our names."""
        from nemo_tts.models.nvidia import fastpitch_weights, fit_vocabulary

        fit_vocabulary(self, state)
        return fastpitch_weights(state)

    def to_nvidia(self) -> NvidiaModel:
        """Return this model in NVIDIA's words."""
        from nemo_tts.export.nvidia import fastpitch_model

        return fastpitch_model(self)


def _check(
    preprocessor: MelSpectrogram, encoder: FFTransformerEncoder, decoder: FFTransformerDecoder, tokenizer: Any
) -> None:
    if preprocessor.normalize not in (None, "NA"):
        raise ConfigError("the preprocessor normalises spectrograms, so that no vocoder could use them")
    if decoder.d_model != encoder.d_model:
        raise ConfigError(f"the decoder takes {decoder.d_model} channels, but the encoder gives {encoder.d_model}")
    tokens = getattr(tokenizer, "tokens", None)
    if tokens is not None and len(tokens) != encoder.word_emb.num_embeddings:
        raise ConfigError(
            f"the encoder has {encoder.word_emb.num_embeddings} tokens, but the tokenizer {len(tokens)}",
            hint="set encoder.n_embed to how many tokens the tokenizer has",
        )


def _is_wished(value: float | Tensor, usual: float) -> bool:
    return isinstance(value, Tensor) or value != usual


def _scalar_embedding(width: int, kernel_size: int) -> nn.Conv1d:
    return nn.Conv1d(1, width, kernel_size, padding=kernel_size // 2)


def _by_token(values: Tensor, durations: Tensor) -> Tensor:
    """Return one value for each token (B, T), of one for each token or one for each frame."""
    if values.shape == durations.shape:
        return values
    missing = int(durations.sum(1).max()) - values.shape[1]
    return average_features(nn.functional.pad(values, (0, missing)) if missing > 0 else values, durations)
