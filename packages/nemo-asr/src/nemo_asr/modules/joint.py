"""The joint network of transducers: from a frame and what was predicted to the next token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nemo_asr.modules.settings import REQUIRED, read_settings
from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule

__all__ = ["RNNTJoint"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class RNNTJoint(NeuralModule):
    """Projections of both sides, their sum, an activation, and the output layer (Graves et al., 2013, arXiv:1303.5778).

    The outputs are logits, never normalised: ``num_classes`` labels, then big blanks if there are any, the blank, and
    durations if there are any.

    Args:
        jointnet: ``encoder_hidden``, ``pred_hidden`` and ``joint_hidden``, the sizes of both inputs and of their sum,
            are required; ``activation`` is ``relu``, ``sigmoid`` or ``tanh``, and ``dropout`` 0.0 if not given.
        num_classes: How many labels there are, the blank not counted.
        num_extra_outputs: How many durations (TDT) or big blanks (multi-blank) there are.
        vocabulary: The labels; for readers of configurations only.
        masking_prob: With this probability the joint network does not see, in training, what was predicted, so that it
            can do without (HAINAN, Xu et al., 2024, arXiv:2410.02597).

    Example:
        >>> sizes = {"encoder_hidden": 32, "pred_hidden": 16, "joint_hidden": 24, "activation": "relu"}
        >>> joint = RNNTJoint(sizes, num_classes=9)
        >>> joint(encoded=torch.randn(2, 50, 32), predicted=torch.randn(2, 4, 16)).shape
        torch.Size([2, 50, 4, 10])
    """

    _SETTINGS: Mapping[str, Any] = {
        "encoder_hidden": REQUIRED,
        "pred_hidden": REQUIRED,
        "joint_hidden": REQUIRED,
        "activation": "relu",
        "dropout": 0.0,
    }

    def __init__(
        self,
        jointnet: Mapping[str, Any],
        num_classes: int,
        num_extra_outputs: int = 0,
        vocabulary: Sequence[str] | None = None,
        masking_prob: float = 0.0,
    ) -> None:
        super().__init__()
        settings = read_settings(jointnet, self._SETTINGS, "jointnet")
        if num_classes < 1:
            raise ConfigError(f"joint: num_classes is {num_classes}", hint="give how many labels there are")
        if vocabulary is not None and len(vocabulary) != num_classes:
            raise ConfigError(f"joint: num_classes is {num_classes}, but the vocabulary has {len(vocabulary)} labels")
        if settings["activation"].lower() not in _ACTIVATIONS:
            raise ConfigError(
                f"jointnet.activation {settings['activation']!r} is not known", hint=f"one of {', '.join(_ACTIVATIONS)}"
            )
        if masking_prob >= 1:
            raise ConfigError(f"joint: masking_prob is {masking_prob}", hint="give less than 1")
        self.num_classes = num_classes
        self.num_extra_outputs = num_extra_outputs
        self.masking_prob = masking_prob
        hidden, dropout = settings["joint_hidden"], settings["dropout"] or 0.0
        self.enc = nn.Linear(settings["encoder_hidden"], hidden)
        self.pred = nn.Linear(settings["pred_hidden"], hidden)
        self.joint_net = nn.Sequential(
            _ACTIVATIONS[settings["activation"].lower()](),
            *([nn.Dropout(dropout)] if dropout else []),
            nn.Linear(hidden, self._label_outputs),
        )

    @property
    def num_outputs(self) -> int:
        """How many logits there are."""
        return self.num_classes + 1 + self.num_extra_outputs

    @property
    def _label_outputs(self) -> int:
        return self.num_outputs

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``encoded`` (B, T, D) and ``predicted`` (B, U, D')."""
        return {
            "encoded": nt.NeuralType(("B", "T", "D"), nt.AcousticEncoded()),
            "predicted": nt.NeuralType(("B", "T", "D"), nt.EmbeddedText()),
        }

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``logits`` (B, T, U, C)."""
        return {"logits": nt.NeuralType(("B", "T", "T", "D"), nt.Logits())}

    @nt.typed
    def forward(self, encoded: Tensor, predicted: Tensor) -> Tensor:
        """Return logits (B, T, U, C) of every frame (B, T, D) with all that is predicted (B, U, D')."""
        from_predictor = self.project_predictor(predicted)
        if self.training and self.masking_prob > 0:
            seen = torch.rand(from_predictor.shape[:2], device=from_predictor.device) > self.masking_prob
            from_predictor = from_predictor * seen.unsqueeze(-1)
        return self.combine(self.project_encoder(encoded).unsqueeze(2), from_predictor.unsqueeze(1))

    def project_encoder(self, encoded: Tensor) -> Tensor:
        """Return frames (..., D) as the joint network sees them, (..., H)."""
        projected: Tensor = self.enc(encoded)
        return projected

    def project_predictor(self, predicted: Tensor) -> Tensor:
        """Return what is predicted (..., D') as the joint network sees it, (..., H)."""
        projected: Tensor = self.pred(predicted)
        return projected

    def combine(self, encoded: Tensor, predicted: Tensor) -> Tensor:
        """Return logits (..., C) of projected frames and predictions (..., H), which broadcast."""
        logits: Tensor = self.joint_net(encoded + predicted)
        return logits
