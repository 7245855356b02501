"""The joint network of the hybrid autoregressive transducer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nemo_asr.modules.joint import RNNTJoint
from nemo_asr.modules.settings import read_settings
from nemo_core.errors import ConfigError

__all__ = ["HATJoint"]


class HATJoint(RNNTJoint):
    """A joint network where blank or not is one decision and which label another (Variani et al., ICASSP 2020).

    The logit of the blank is the last; its sigmoid is the blank's probability. The loss that fits is
    :class:`~nemo_asr.losses.rnnt.RNNTLoss` with ``factorized_blank``.

    Args:
        jointnet: As for :class:`~nemo_asr.modules.joint.RNNTJoint`.
        num_classes: How many labels there are, the blank not counted.
        num_extra_outputs: None are possible.
        vocabulary: The labels; for readers of configurations only.

    Example:
        >>> sizes = {"encoder_hidden": 32, "pred_hidden": 16, "joint_hidden": 24, "activation": "tanh"}
        >>> joint = HATJoint(sizes, num_classes=9)
        >>> logits = joint(encoded=torch.randn(2, 5, 32), predicted=torch.randn(2, 4, 16))
        >>> logits[..., :-1].softmax(dim=-1).shape, logits[..., -1].sigmoid().shape  # which label, and blank or not
        (torch.Size([2, 5, 4, 9]), torch.Size([2, 5, 4]))
    """

    def __init__(
        self,
        jointnet: Mapping[str, Any],
        num_classes: int,
        num_extra_outputs: int = 0,
        vocabulary: Sequence[str] | None = None,
    ) -> None:
        if num_extra_outputs:
            raise ConfigError("joint: a HAT has no durations and no big blanks", hint="set num_extra_outputs to 0")
        super().__init__(jointnet, num_classes, 0, vocabulary)
        settings = read_settings(jointnet, self._SETTINGS, "jointnet")
        # Index 2 is that of NVIDIA's archives.
        self.blank_pred = nn.Sequential(
            nn.Tanh(), nn.Dropout(settings["dropout"] or 0.0), nn.Linear(settings["joint_hidden"], 1)
        )

    @property
    def _label_outputs(self) -> int:
        return self.num_classes

    def combine(self, encoded: Tensor, predicted: Tensor) -> Tensor:
        """Return logits (..., C), the blank's last, of projected frames and predictions (..., H), which broadcast."""
        both = encoded + predicted
        return torch.cat([self.joint_net(both), self.blank_pred(both)], dim=-1)
