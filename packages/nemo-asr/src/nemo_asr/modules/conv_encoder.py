"""The convolutional encoder of Jasper and QuartzNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from nemo_asr.modules.encoder import AcousticEncoder
from nemo_asr.modules.initialize import initialize
from nemo_asr.modules.jasper import JasperBlock
from nemo_core import types as nt
from nemo_core.errors import ConfigError

__all__ = ["ConvASREncoder"]

_BLOCK_KEYS = {"filters", "repeat", "kernel", "stride", "dilation", "dropout", "residual", "separable"}
# Written by NeMo into every block; these values say what happens anyway.
_NEUTRAL = {
    "groups": 1,
    "heads": -1,
    "se": False,
    "residual_dense": False,
    "residual_mode": "add",
    "kernel_size_factor": 1.0,
    "stride_last": False,
}


class ConvASREncoder(AcousticEncoder):
    """A stack of :class:`~nemo_asr.modules.jasper.JasperBlock`.

    Args:
        jasper: One mapping a block: ``filters``, ``kernel``, and optionally ``repeat`` (1), ``stride`` (1),
            ``dilation`` (1), ``dropout`` (0), ``residual`` (true), ``separable`` (false). ``kernel``, ``stride`` and
            ``dilation`` may be lists of one, as NeMo writes them.
        feat_in: Features per frame that come in.
        activation: Activation of every block.
        conv_mask: Whether convolutions are masked, which makes the output independent of padding.
        normalization_mode: ``batch``.
        norm_eps: Epsilon of the batch norms.
        norm_momentum: Momentum of the batch norms.
        init_mode: How weights are drawn; see :func:`~nemo_asr.modules.initialize.initialize`.

    Example:
        >>> import torch
        >>> encoder = ConvASREncoder([{"filters": 32, "kernel": 11, "stride": 2, "separable": True}], feat_in=40)
        >>> encoded, length = encoder(features=torch.randn(2, 40, 100), length=torch.tensor([100, 60]))
        >>> encoded.shape, length.tolist()
        (torch.Size([2, 32, 50]), [50, 30])
    """

    def __init__(
        self,
        jasper: Sequence[Mapping[str, Any]],
        feat_in: int,
        activation: str = "relu",
        conv_mask: bool = True,
        normalization_mode: str = "batch",
        norm_eps: float = 1e-3,
        norm_momentum: float = 0.1,
        init_mode: str | None = "xavier_uniform",
    ) -> None:
        super().__init__()
        if normalization_mode != "batch":
            raise ConfigError(f"normalization_mode {normalization_mode!r} is not offered", hint="use batch")
        blocks, channels, stride = [], feat_in, 1
        for index, given in enumerate(jasper):
            block = _read_block(given, f"encoder.jasper[{index}]")
            stride *= block["stride"] ** block["repeat"]
            common: dict[str, Any] = {"activation": activation, "conv_mask": conv_mask}
            blocks.append(JasperBlock(channels, **block, **common, norm_eps=norm_eps, norm_momentum=norm_momentum))
            channels = block["filters"]
        self.feat_in = feat_in
        self.feat_out = channels
        self.stride = stride
        self.encoder = nn.ModuleList(blocks)
        initialize(self, init_mode)

    @nt.typed
    def forward(self, features: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoded frames (B, D, T') and their lengths (B,)."""
        for block in self.encoder:
            features, length = block(features, length)
        return features, length


def _read_block(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    unknown = sorted(key for key in given if key not in _BLOCK_KEYS and key not in _NEUTRAL)
    if unknown:
        raise ConfigError(
            f"{where}: {', '.join(unknown)} is not a key of a block", hint=f"keys are {', '.join(sorted(_BLOCK_KEYS))}"
        )
    for key, neutral in _NEUTRAL.items():
        if given.get(key, neutral) != neutral:
            raise ConfigError(f"{where}.{key}: {given[key]!r} is not offered", hint=f"leave it out, or {neutral!r}")
    missing = sorted({"filters", "kernel"} - given.keys())
    if missing:
        raise ConfigError(f"{where}: {', '.join(missing)} is missing")
    return {
        "filters": given["filters"],
        "kernel_size": _single(given["kernel"], f"{where}.kernel"),
        "repeat": given.get("repeat", 1),
        "stride": _single(given.get("stride", 1), f"{where}.stride"),
        "dilation": _single(given.get("dilation", 1), f"{where}.dilation"),
        "dropout": given.get("dropout", 0.0),
        "residual": given.get("residual", True),
        "separable": given.get("separable", False),
    }


def _single(value: Any, where: str) -> int:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 1:
        value = value[0]
    if not isinstance(value, int) or value < 1:
        raise ConfigError(f"{where}: {value!r} is not a positive whole number")
    return value
