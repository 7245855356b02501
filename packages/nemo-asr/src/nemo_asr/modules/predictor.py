"""The prediction network of transducers: which labels came before."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_asr.modules.lstm import make_lstm
from nemo_asr.modules.settings import REQUIRED, read_settings
from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule

__all__ = ["LSTMPredictor", "Predictor", "State"]

State = tuple[Tensor, ...]
"""What a predictor remembers; every tensor has the batch first."""


class Predictor(NeuralModule, abc.ABC):
    """Base of the prediction networks: one output before the first label, and one after each.

    Whole texts go through :meth:`forward`, in training; decoding goes step by step, :meth:`step`. The outputs are the
    same.

    Attributes:
        vocabulary_size: How many labels there are.
        output_size: Features of an output.
    """

    vocabulary_size: int
    output_size: int

    @property
    def blank(self) -> int:
        """The token that stands for the start; so does every one behind it."""
        return self.vocabulary_size

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``targets`` (B, U) and ``target_length`` (B,)."""
        return {
            "targets": nt.NeuralType(("B", "T"), nt.Labels()),
            "target_length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``predicted`` (B, U + 1, D)."""
        return {"predicted": nt.NeuralType(("B", "T", "D"), nt.EmbeddedText())}

    @nt.typed
    def forward(self, targets: Tensor, target_length: Tensor) -> Tensor:
        """Return what is predicted (B, U + 1, D) before the first label and after each; beyond the end it is anything.

        Args:
            targets: Labels (B, U).
            target_length: How many of them count (B,).
        """
        beyond = torch.arange(targets.shape[1], device=targets.device) >= target_length.unsqueeze(1)
        return self._predict(targets.long().masked_fill(beyond, 0))  # padding may hold anything

    @abc.abstractmethod
    def _predict(self, targets: Tensor) -> Tensor:
        """Return what is predicted (B, U + 1, D) from labels (B, U)."""

    @abc.abstractmethod
    def initial_state(self, batch: int) -> State:
        """Return the state before the start of ``batch`` utterances."""

    @abc.abstractmethod
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what is predicted (B, D) after ``tokens`` (B,), and the state then.

        Args:
            tokens: The last label of each utterance, or ``blank``: its start.
            state: The state after the labels before.
        """


class LSTMPredictor(Predictor):
    """An embedding of the labels and a stack of LSTM layers (Graves, 2012, arXiv:1211.3711).

    Args:
        prednet: ``pred_hidden``, the size of embedding and outputs, is required. The others: ``pred_rnn_layers`` (1),
            ``dropout`` (0.0), ``rnn_hidden_size`` (that of the cells, where it is another), ``t_max``,
            ``forget_gate_bias``, ``weights_init_scale`` and ``hidden_hidden_bias_scale`` (how weights begin); see
            :func:`~nemo_asr.modules.lstm.make_lstm`.
        vocab_size: How many labels there are, the blank not counted.
        normalization_mode: None, ``batch`` or ``layer``.
        random_state_sampling: Whether texts begin, in training, with a random state rather than with zeros, for the
            sake of long speech (Narayanan et al., 2019, arXiv:1911.02242).
        blank_as_pad: Whether the embedding has a row for the blank, which stays zero.

    Example:
        >>> predictor = LSTMPredictor({"pred_hidden": 16, "pred_rnn_layers": 2}, vocab_size=9).eval()
        >>> predictor(targets=torch.tensor([[3, 1, 4], [1, 0, 0]]), target_length=torch.tensor([3, 1])).shape
        torch.Size([2, 4, 16])
    """

    _SETTINGS: Mapping[str, Any] = {
        "pred_hidden": REQUIRED,
        "pred_rnn_layers": 1,
        "dropout": 0.0,
        "rnn_hidden_size": None,
        "t_max": None,
        "forget_gate_bias": 1.0,
        "weights_init_scale": 1.0,
        "hidden_hidden_bias_scale": 0.0,
    }

    def __init__(
        self,
        prednet: Mapping[str, Any],
        vocab_size: int,
        normalization_mode: str | None = None,
        random_state_sampling: bool = False,
        blank_as_pad: bool = True,
    ) -> None:
        super().__init__()
        if vocab_size < 1:
            raise ConfigError(f"predictor: vocab_size is {vocab_size}", hint="give how many labels there are")
        settings = read_settings(prednet, self._SETTINGS, "prednet")
        size = settings["pred_hidden"]
        cells = settings["rnn_hidden_size"] or -1
        projected = size if cells > size and normalization_mode is None else 0
        padding = vocab_size if blank_as_pad else None
        embed = nn.Embedding(vocab_size + blank_as_pad, size, padding_idx=padding)
        lstm = make_lstm(
            size,
            cells if cells > 0 else size,
            settings["pred_rnn_layers"],
            settings["dropout"] or 0.0,
            normalization_mode,
            projected,
            settings["forget_gate_bias"],
            settings["t_max"],
            settings["weights_init_scale"],
            settings["hidden_hidden_bias_scale"],
        )
        self.vocabulary_size = vocab_size
        self.output_size = lstm.output_size
        self.random_state_sampling = random_state_sampling
        self.prediction = nn.ModuleDict({"embed": embed, "dec_rnn": lstm})

    def _predict(self, targets: Tensor) -> Tensor:
        embedded = F.pad(self.prediction["embed"](targets), (0, 0, 1, 0))  # the start is a zero
        state = self.initial_state(len(targets))
        if self.training and self.random_state_sampling:
            state = tuple(torch.randn_like(part) for part in state)
        predicted: Tensor = self.prediction["dec_rnn"](embedded, state)[0]
        return predicted

    def initial_state(self, batch: int) -> State:
        """Return zeros: outputs (B, L, D) and cells (B, L, D') of the layers."""
        lstm: Any = self.prediction["dec_rnn"]
        state: State = lstm.zero_state(batch)
        return state

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what is predicted (B, D) after ``tokens`` (B,), and the state then."""
        start = tokens >= self.vocabulary_size
        embedded = self.prediction["embed"](tokens.masked_fill(start, 0)).masked_fill(start.unsqueeze(1), 0.0)
        predicted, state = self.prediction["dec_rnn"](embedded.unsqueeze(1), state)
        return predicted.squeeze(1), state
