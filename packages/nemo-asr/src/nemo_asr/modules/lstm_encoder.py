"""The recurrent encoder: long short-term memory."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nemo_asr.modules.encoder import AcousticEncoder
from nemo_asr.modules.jasper import mask_beyond
from nemo_asr.modules.subsampling import make_subsampling
from nemo_core import types as nt
from nemo_core.errors import ConfigError

__all__ = ["LSTMEncoder"]


class LSTMEncoder(AcousticEncoder):
    """Subsampling and a stack of LSTMs with projections, each followed by a layer norm and dropout.

    The encoder of He et al. (2019, arXiv:1811.06621). Names of arguments and weights are those of NVIDIA NeMo. Backward
    LSTMs start at the end of an utterance, wherever its padding ends. (In NeMo they start at the end of the batch, so
    that what they give depends on it; the two agree on an utterance alone.)

    Args:
        feat_in: Features per frame that come in.
        n_layers: Number of LSTMs.
        d_model: Cells of an LSTM (in each direction).
        proj_size: Features that leave each layer, those of both directions together; must be given.
        rnn_type: ``lstm``.
        bidirectional: Whether each layer also runs from the end to the start.
        subsampling: ``striding``, ``dw_striding``, ``vggnet``, ``stacking`` or ``stacking_norm``; see
            :mod:`nemo_asr.modules.subsampling`.
        subsampling_factor: How many frames come in for each that reaches the layers.
        subsampling_conv_channels: Channels of the subsampling's convolutions; -1 for ``proj_size``.
        dropout: Probability of a dropped feature after each layer.

    Example:
        >>> import torch
        >>> encoder = LSTMEncoder(80, n_layers=2, d_model=32, proj_size=16)
        >>> encoded, length = encoder(features=torch.randn(2, 80, 100), length=torch.tensor([100, 60]))
        >>> encoded.shape, length.tolist()
        (torch.Size([2, 16, 26]), [25, 15])
    """

    def __init__(
        self,
        feat_in: int,
        n_layers: int,
        d_model: int,
        proj_size: int = -1,
        rnn_type: Literal["lstm"] = "lstm",
        bidirectional: bool = True,
        subsampling: Literal["striding", "dw_striding", "vggnet", "stacking", "stacking_norm"] = "striding",
        subsampling_factor: int = 4,
        subsampling_conv_channels: int = -1,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if rnn_type != "lstm":
            raise ConfigError(f"encoder: rnn_type {rnn_type!r} is not offered", hint="lstm")
        directions = 2 if bidirectional else 1
        if proj_size < 1 or proj_size % directions or proj_size // directions >= d_model:
            raise ConfigError(
                f"encoder: proj_size {proj_size} does not fit {directions} x {d_model} cells",
                hint="it must be less than d_model in each direction, and even where there are two",
            )
        self.feat_in = feat_in
        self.feat_out = proj_size
        self.stride = subsampling_factor
        self.bidirectional = bidirectional
        self.pre_encode = make_subsampling(
            subsampling,
            feat_in=feat_in,
            feat_out=proj_size,
            factor=subsampling_factor,
            channels=subsampling_conv_channels if subsampling_conv_channels > 0 else proj_size,
            causal=False,
        )
        self.layers = nn.ModuleList()  # flat, as in NVIDIA NeMo: names of weights agree
        for _ in range(n_layers):
            lstm = nn.LSTM(
                proj_size, d_model, batch_first=True, bidirectional=bidirectional, proj_size=proj_size // directions
            )
            self.layers.extend((lstm, nn.LayerNorm(proj_size), nn.Dropout(dropout)))

    @nt.typed
    def forward(self, features: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoded frames (B, D, T') and their lengths (B,)."""
        x = features.transpose(1, 2)
        # Where an utterance ends for the backward LSTMs: NeMo's front ends give one frame, of zeros, more than they
        # count, and that is where those of NeMo start if an utterance is alone.
        end = length + 1
        if self.bidirectional:
            x = F.pad(mask_beyond(features, length).transpose(1, 2), (0, 0, 0, 1))
        if isinstance(self.pre_encode, nn.Linear):
            x = self.pre_encode(x)
        else:
            end = self.pre_encode.frames(end)
            x, length = self.pre_encode(x, length)
        for layer in self.layers:
            x = self._run(layer, x, end) if isinstance(layer, nn.LSTM) else layer(x)
        return x.transpose(1, 2), length

    def _run(self, lstm: nn.LSTM, x: Tensor, end: Tensor) -> Tensor:
        if not self.bidirectional:  # what comes after the end changes nothing before it
            y: Tensor = lstm(x)[0]
            return y
        packed = pack_padded_sequence(x, end.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]
