"""Speech as a language model reads it: a few embeddings a second, in the place of words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from nemo_core import types as nt
from nemo_core.audio.front_end import FrontEnd
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule
from nemo_mm.modules.ctc import TokenCTC, with_loss
from nemo_mm.modules.media_reader import MediaReader

__all__ = ["SpeechReader"]


class SpeechReader(MediaReader):
    """Front end, encoder, subsampler and projector: audio in, embeddings of a language model's width out.

    Audio of n samples gives exactly ``ceil(n / samples_per_embedding)`` embeddings, whatever the encoder: each is made
    of ``stack`` encoded frames. Where the encoder's padding gives a frame less than that, zeros stand in for it; where
    it gives more (features that mirror the edges do, by one), these are left out. What pads a batch never counts.

    SALM (Chen et al., "SALM: Speech-augmented language model with in-context learning for speech recognition and
    translation", 2023) is of this form.

    Args:
        preprocessor: Audio to features.
        encoder: Features to encoded frames; any module with the ports ``features`` and ``length``, ``encoded`` and
            ``length``, and with ``feat_out`` and ``stride``.
        hidden_size: Width of the embeddings, that of the language model.
        subsampler: ``stack``: an embedding sees its ``stack`` frames; ``conv``: also those of its neighbours, through a
            strided convolution over ``2 * stack + 1`` frames.
        stack: Encoded frames that become one embedding.
        projector_size: Width of the projector's hidden layer; None: that of the embeddings.
        scale: Standard deviation of new embeddings. A language model learns to listen only where it is neither much
            below that of words nor far above: what enters its residual stream so large is hardly changed by its layers.
        dropout: On the embeddings, in training.
        ctc_classes: Tokens that a CTC loss tells encoded frames apart as, for training with transcripts; None: no such
            loss.
        ctc_weight: What that loss counts.

    Example:
        >>> from nemo_core.audio import MelSpectrogram
        >>> from nemo_mm.modules.strided_encoder import StridedEncoder
        >>> reader = SpeechReader(MelSpectrogram(8000, features=16), StridedEncoder(16, 24, stride=2), 32, stack=4)
        >>> reader.samples_per_embedding
        640
        >>> length = torch.tensor([[6400, 641], [640, 0]])
        >>> audio = torch.randn(2, 2, 6400)
        >>> embeddings, counts = reader(audio=audio, audio_length=length, audio_counts=torch.tensor([2, 1]))
        >>> embeddings.shape, counts.tolist()
        (torch.Size([13, 32]), [12, 1])
    """

    def __init__(
        self,
        preprocessor: FrontEnd,
        encoder: NeuralModule,
        hidden_size: int,
        subsampler: str = "stack",
        stack: int = 4,
        projector_size: int | None = None,
        scale: float = 0.3,
        dropout: float = 0.0,
        ctc_classes: int | None = None,
        ctc_weight: float = 0.0,
    ) -> None:
        super().__init__()
        missing = [name for name in ("feat_out", "stride") if not hasattr(encoder, name)]
        if missing:
            raise ConfigError(
                f"{type(encoder).__name__} does not say its {' and '.join(missing)}",
                hint="give an acoustic encoder, such as asr.ConformerEncoder or asr.ConvASREncoder",
            )
        if stack < 1 or hidden_size < 1:
            raise ConfigError(f"reader: stack is {stack} and hidden_size {hidden_size}", hint="give at least 1 of each")
        if subsampler not in ("stack", "conv"):
            raise ConfigError(f"reader.subsampler is {subsampler!r}", hint="stack or conv")
        self.preprocessor, self.encoder = preprocessor, encoder
        self.hidden_size, self.stack, self.subsampler = hidden_size, stack, subsampler
        width, middle = int(encoder.feat_out), projector_size or hidden_size  # type: ignore[arg-type]
        self.neighbours = (
            nn.Conv1d(width, width, 2 * stack + 1, stride=stack, padding=stack) if subsampler == "conv" else None
        )
        inner = width if subsampler == "conv" else width * stack
        self.projector = nn.Sequential(
            nn.LayerNorm(inner),
            nn.Linear(inner, middle),
            nn.GELU(),
            nn.Linear(middle, hidden_size),
            nn.LayerNorm(hidden_size),
        )
        nn.init.constant_(self.projector[-1].weight, scale)  # type: ignore[arg-type]
        self.dropout = dropout
        self.ctc = None if ctc_classes is None else TokenCTC(width, ctc_classes)
        self.ctc_weight = ctc_weight
        self.ctc_loss: Tensor | None = None

    @property
    def sample_rate(self) -> int:
        """Of the audio, Hz."""
        return self.preprocessor.sample_rate

    @property
    def samples_per_embedding(self) -> int:
        """How many samples one embedding stands for."""
        return int(self.preprocessor.hop_length * self.encoder.stride * self.stack)  # type: ignore[operator]

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``audio`` (B, M, T), ``audio_length`` (B, M) in samples, and ``audio_counts`` (B,): recordings in a row;
        optionally what is said in them, ``transcript`` (B, M, U) and ``transcript_length`` (B, M) in tokens.
        """
        return {
            "audio": nt.NeuralType(("B", "ANY", "T"), nt.AudioSignal(freq=self.sample_rate)),
            "audio_length": nt.NeuralType(("B", "ANY"), nt.Lengths()),
            "audio_counts": nt.NeuralType(("B",), nt.Lengths()),
            "transcript": nt.NeuralType(("B", "ANY", "T"), nt.TokenIndex(), optional=True),
            "transcript_length": nt.NeuralType(("B", "ANY"), nt.Lengths(), optional=True),
        }

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``embeddings`` (N, H) and ``counts`` (B,)."""
        return {
            "embeddings": nt.NeuralType(("ANY", f"D:{self.hidden_size}"), nt.EncodedRepresentation()),
            "counts": nt.NeuralType(("B",), nt.Lengths()),
        }

    def counts(self, length: Tensor) -> Tensor:
        """Return how many embeddings (B,) audio of ``length`` (B,) samples becomes."""
        return torch.div(length + self.samples_per_embedding - 1, self.samples_per_embedding, rounding_mode="floor")

    @nt.typed
    def forward(
        self,
        audio: Tensor,
        audio_length: Tensor,
        audio_counts: Tensor,
        transcript: Tensor | None = None,
        transcript_length: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the embeddings (N, H) of all rows, one behind the other, and how many each row has (B,).

        With ``ctc_classes``, where gradients are asked for, the CTC loss of the transcripts comes back with those of
        the embeddings. What it is for each token that is said, nats, is kept as ``ctc_loss``.
        """
        here = torch.arange(audio.shape[1], device=audio.device) < audio_counts[:, None]
        length = audio_length[here]
        if len(length) == 0:
            return next(self.projector.parameters()).new_zeros(0, self.hidden_size), audio_counts * 0
        encoded, frames = self._encoded(audio[here][:, : int(length.max())], length)
        embeddings, count = self._embeddings(encoded, length)
        if self.ctc is not None and torch.is_grad_enabled():
            tokens = length.new_zeros(len(length), 1) if transcript is None else transcript[here]
            said = length * 0 if transcript_length is None else transcript_length[here]
            loss = self.ctc(encoded, frames, tokens, said)
            self.ctc_loss = loss.detach() / said.sum().clamp(min=1)
            embeddings = with_loss(embeddings, loss * (self.ctc_weight * self.loss_share()))
        inside = torch.arange(embeddings.shape[1], device=audio.device) < count[:, None]
        counts = (self.counts(audio_length) * here).sum(1)
        return embeddings[inside], counts

    def encode(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings (B, N, H) of audio (B, T) of ``length`` (B,) samples, and their number (B,).

        N is that of the longest; what is behind the end is of no use.
        """
        return self._embeddings(self._encoded(audio, length)[0], length)

    def _encoded(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return encoded frames (B, D, T), zeros behind the end, and their number (B,)."""
        features, frames = self.preprocessor(audio=audio, length=length)
        weight = self.projector[1].weight
        encoded, frames = self.encoder(features=features.to(weight.dtype), length=frames)
        inside = torch.arange(encoded.shape[2], device=encoded.device) < frames[:, None]
        return encoded * inside[:, None], frames  # an encoder may leave anything behind the end

    def _embeddings(self, encoded: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        count = self.counts(length)
        most = int(count.max())
        encoded = functional.pad(encoded, (0, max(0, most * self.stack - encoded.shape[2])))
        embeddings = self.projector(self._subsample(encoded[:, :, : most * self.stack]))
        return functional.dropout(embeddings, self.dropout, self.training), count

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SpeechReader:
        """Move and cast, as torch does; but features are made in float32, whatever the rest is computed in."""
        kept = [
            (module, name, buffer)
            for module in self.preprocessor.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None and buffer.is_floating_point()
        ]
        super()._apply(fn, recurse)
        for module, name, buffer in kept:
            module._buffers[name] = buffer.to(module._buffers[name].device)  # type: ignore[union-attr]
        return self

    def _subsample(self, encoded: Tensor) -> Tensor:
        """Return what each embedding is made of, (B, N, width), of encoded frames (B, D, N * stack)."""
        if self.neighbours is not None:
            mixed: Tensor = self.neighbours(encoded)[:, :, : encoded.shape[2] // self.stack]
            return mixed.transpose(1, 2)
        batch, width, frames = encoded.shape
        return encoded.transpose(1, 2).reshape(batch, frames // self.stack, width * self.stack)
