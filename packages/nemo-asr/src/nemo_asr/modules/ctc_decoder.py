"""The output layer of CTC models."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from nemo_asr.modules.initialize import initialize
from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule

__all__ = ["CTCDecoder"]


class CTCDecoder(NeuralModule):
    """A 1x1 convolution from encoded frames to log-probabilities of the vocabulary and the blank, which comes last.

    Args:
        feat_in: Features per frame that come in.
        vocabulary: The tokens, or how many there are.
        num_classes: How many tokens there are, where ``vocabulary`` is not given.
        init_mode: How weights are drawn; see :func:`~nemo_asr.modules.initialize.initialize`.

    Example:
        >>> import torch
        >>> decoder = CTCDecoder(feat_in=32, vocabulary=28)
        >>> decoder(encoded=torch.randn(2, 32, 50)).shape
        torch.Size([2, 50, 29])
    """

    def __init__(
        self,
        feat_in: int = 512,
        vocabulary: int | Sequence[str] | None = None,
        num_classes: int | None = None,
        init_mode: str | None = "xavier_uniform",
    ) -> None:
        super().__init__()
        size = vocabulary if isinstance(vocabulary, int) else len(vocabulary) if vocabulary is not None else None
        if num_classes is not None and num_classes > 0:
            if size is not None and size != num_classes:
                raise ConfigError(f"decoder: num_classes is {num_classes}, but the vocabulary has {size} tokens")
            size = num_classes
        if size is None or size < 1:
            raise ConfigError("decoder: neither vocabulary nor num_classes is given")
        self.feat_in = feat_in
        self.vocabulary_size = size
        self.decoder_layers = nn.Sequential(nn.Conv1d(feat_in, size + 1, kernel_size=1))
        initialize(self, init_mode)

    @property
    def blank(self) -> int:
        """Index of the blank."""
        return self.vocabulary_size

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``encoded`` (B, D, T)."""
        return {"encoded": nt.NeuralType(("B", "D", "T"), nt.AcousticEncoded())}

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``log_probs`` (B, T, V + 1)."""
        return {"log_probs": nt.NeuralType(("B", "T", "D"), nt.LogProbs())}

    @nt.typed
    def forward(self, encoded: Tensor) -> Tensor:
        """Return log-probabilities (B, T, V + 1) in float32."""
        return self.decoder_layers(encoded).transpose(1, 2).float().log_softmax(dim=-1)
