"""A prediction network that knows the last few labels only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_asr.modules.predictor import Predictor, State
from nemo_asr.modules.settings import REQUIRED, read_settings
from nemo_core.errors import ConfigError

__all__ = ["StatelessPredictor"]


class StatelessPredictor(Predictor):
    """Embeddings of the last labels, side by side (Ghodsi et al., ICASSP 2020).

    Each place before the end has an embedding of its own; that of the last label is the widest.

    Args:
        prednet: ``pred_hidden``, the size of the outputs, is required; ``dropout`` is 0.0 if not given.
        vocab_size: How many labels there are, the blank not counted.
        context_size: How many labels are seen.
        normalization_mode: None or ``layer``, which has no weights.

    Example:
        >>> predictor = StatelessPredictor({"pred_hidden": 16}, vocab_size=9, context_size=2).eval()
        >>> predictor(targets=torch.tensor([[3, 1, 4]]), target_length=torch.tensor([3])).shape
        torch.Size([1, 4, 16])
    """

    # NVIDIA's configurations list settings of LSTMs here too; they say nothing to this network.
    _SETTINGS: Mapping[str, Any] = {"pred_hidden": REQUIRED, "dropout": 0.0, "pred_rnn_layers": None, "t_max": None}

    def __init__(
        self,
        prednet: Mapping[str, Any],
        vocab_size: int,
        context_size: int = 1,
        normalization_mode: str | None = None,
    ) -> None:
        super().__init__()
        if context_size < 1:
            raise ConfigError(f"predictor: context_size is {context_size}", hint="give at least 1")
        if normalization_mode not in (None, "layer"):
            raise ConfigError(f"normalization_mode {normalization_mode!r} is not known", hint="null or layer")
        settings = read_settings(prednet, self._SETTINGS, "prednet")
        size = settings["pred_hidden"]
        narrow = size // 2 // context_size
        widths = [size - narrow * (context_size - 1)] + [narrow] * (context_size - 1)
        self.vocabulary_size = vocab_size
        self.output_size = size
        self.context_size = context_size
        self.prediction = nn.ModuleDict(
            {
                "embeds": nn.ModuleList(nn.Embedding(vocab_size + 1, width, vocab_size) for width in widths),
                "dropout": nn.Dropout(settings["dropout"] or 0.0),
                "norm": nn.LayerNorm(size, elementwise_affine=False) if normalization_mode else nn.Identity(),
            }
        )

    def _predict(self, targets: Tensor) -> Tensor:
        return self._embed(F.pad(targets, (self.context_size, 0), value=self.blank))

    def initial_state(self, batch: int) -> State:
        """Return the labels before the last (B, context_size - 1), all of them blanks."""
        device = next(self.parameters()).device
        return (torch.full((batch, self.context_size - 1), self.blank, dtype=torch.long, device=device),)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what is predicted (B, D) after ``tokens`` (B,), and the state then."""
        seen = torch.cat([state[0], tokens.clamp(max=self.blank).unsqueeze(1)], dim=1)
        return self._embed(seen).squeeze(1), (seen[:, 1:],)

    def _embed(self, labels: Tensor) -> Tensor:
        """Return an output (B, U, D) for each label (B, context_size - 1 + U) that has all of its context."""
        count = labels.shape[1] - self.context_size + 1
        parts = []
        for age in range(self.context_size):
            first = self.context_size - 1 - age
            parts.append(self.prediction["embeds"].get_submodule(str(age))(labels[:, first : first + count]))
        embedded: Tensor = self.prediction["norm"](self.prediction["dropout"](torch.cat(parts, dim=-1)))
        return embedded
