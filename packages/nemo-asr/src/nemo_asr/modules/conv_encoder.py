"""The convolutional encoder of Jasper, QuartzNet, Citrinet, ContextNet, MatchboxNet, MarbleNet and TitaNet."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from nemo_asr.modules.encoder import AcousticEncoder
from nemo_asr.modules.initialize import initialize
from nemo_asr.modules.jasper import JasperBlock
from nemo_core import types as nt
from nemo_core.errors import ConfigError

__all__ = ["ConvASREncoder", "written_out"]

# What a block may say beside its filters and kernel, and what holds where it does not.
_BLOCK_DEFAULTS: dict[str, Any] = {
    "repeat": 1,
    "stride": 1,
    "stride_last": False,
    "dilation": 1,
    "dropout": 0.0,
    "residual": True,
    "residual_mode": None,
    "residual_dense": False,
    "separable": False,
    "groups": 1,
    "heads": -1,
    "future_context": -1,
    "kernel_size_factor": 1.0,
    "se": False,
    "se_reduction_ratio": 8,
    "se_context_size": -1,
}
_WITHOUT_EFFECT = {"se_interpolation_mode"}


class ConvASREncoder(AcousticEncoder):
    """A stack of :class:`~nemo_asr.modules.jasper.JasperBlock`.

    Args:
        jasper: One mapping a block: ``filters``, ``kernel``, and optionally ``repeat`` (1), ``stride`` (1),
            ``stride_last`` (false), ``dilation`` (1), ``dropout`` (0), ``residual`` (true), ``residual_mode`` (that of
            the block before), ``residual_dense`` (false; true adds the inputs of the dense blocks before),
            ``separable`` (false), ``groups`` (1), ``heads`` (-1), ``future_context`` (-1), ``kernel_size_factor`` (1),
            ``se`` (false), ``se_reduction_ratio`` (8), ``se_context_size`` (-1); see
            :class:`~nemo_asr.modules.jasper.JasperBlock`. ``kernel``, ``stride`` and ``dilation`` may be lists of one,
            as NeMo writes them.
        feat_in: Features per frame that come in.
        activation: Activation of every block.
        residual_mode: How residual branches are joined: ``add``, ``stride_add`` (the same) or ``max``.
        frame_splicing: How many copies of the features the front end stacks.
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
        residual_mode: str = "add",
        frame_splicing: int = 1,
        conv_mask: bool = True,
        normalization_mode: str = "batch",
        norm_eps: float = 1e-3,
        norm_momentum: float = 0.1,
        init_mode: str | None = "xavier_uniform",
    ) -> None:
        super().__init__()
        if normalization_mode != "batch":
            raise ConfigError(f"normalization_mode {normalization_mode!r} is not offered", hint="use batch")
        feat_in *= frame_splicing
        blocks, channels, stride = [], feat_in, 1
        dense: list[int] = []  # channels of the inputs of the dense blocks in a row
        for index, given in enumerate(jasper):
            block = _read_block(given, f"encoder.jasper[{index}]")
            residual_mode = block["residual_mode"] = block["residual_mode"] or residual_mode
            joins = block["residual_dense"] and block["residual"]
            block["residual_dense"] = tuple(dense) if joins else ()
            common: dict[str, Any] = {"activation": activation, "conv_mask": conv_mask}
            blocks.append(JasperBlock(channels, **block, **common, norm_eps=norm_eps, norm_momentum=norm_momentum))
            if joins and blocks[-1].stride > 1:
                raise ConfigError(f"encoder.jasper[{index}]: residual_dense and a stride do not go together")
            dense = [*dense, channels] if joins else []
            stride *= blocks[-1].stride
            channels = block["filters"]
        self.feat_in = feat_in
        self.feat_out = channels
        self.stride = stride
        self.encoder = nn.ModuleList(blocks)
        initialize(self, init_mode)

    @nt.typed
    def forward(self, features: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoded frames (B, D, T') and their lengths (B,)."""
        earlier: deque[Tensor] = deque(maxlen=max((_dense_branches(block) for block in self.encoder), default=0))
        for block in self.encoder:
            wanted = list(earlier)[len(earlier) - _dense_branches(block) :]
            earlier.append(features)
            features, length = block(features, length, wanted)
        return features, length


def written_out(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return a block as NVIDIA NeMo wants it: nothing left to defaults, and lists of one.

    Example:
        >>> block = written_out({"filters": 8, "kernel": 3})
        >>> block["kernel"], block["stride"], block["repeat"], block["residual"]
        ([3], [1], 1, True)
    """
    settings = {**_BLOCK_DEFAULTS, **block}
    if settings["residual_mode"] is None:
        del settings["residual_mode"]  # that of the block before
    for key in ("kernel", "stride", "dilation"):
        settings[key] = [_single(settings[key], key)]
    return settings


def _dense_branches(block: nn.Module) -> int:
    branches = block.res
    return len(branches) - 1 if isinstance(branches, nn.ModuleList) else 0


def _read_block(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    keys = {"filters", "kernel", *_BLOCK_DEFAULTS}
    unknown = sorted(given.keys() - keys - _WITHOUT_EFFECT)
    if unknown:
        raise ConfigError(
            f"{where}: {', '.join(unknown)} is not a key of a block", hint=f"keys are {', '.join(sorted(keys))}"
        )
    missing = sorted({"filters", "kernel"} - given.keys())
    if missing:
        raise ConfigError(f"{where}: {', '.join(missing)} is missing")
    block = {key: given.get(key, default) for key, default in _BLOCK_DEFAULTS.items()}
    for key in ("stride", "dilation"):
        block[key] = _single(block[key], f"{where}.{key}")
    return {**block, "filters": given["filters"], "kernel_size": _single(given["kernel"], f"{where}.kernel")}


def _single(value: Any, where: str) -> int:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 1:
        value = value[0]
    if not isinstance(value, int) or value < 1:
        raise ConfigError(f"{where}: {value!r} is not a positive whole number")
    return value
