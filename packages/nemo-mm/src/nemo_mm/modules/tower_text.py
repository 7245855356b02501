"""The text tower of a contrastive model, as what images are made of."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule
from nemo_mm.modules.pretrained import Pretrained, taken
from nemo_mm.modules.text_transformer import TextTransformer
from nemo_mm.modules.towers import TextTower

__all__ = ["TowerText"]


class TowerText(NeuralModule):
    """Hidden states of a text tower (CLIP's, or one trained here), one for each token, behind its last norm.

    Args:
        tower: The tower, or where it is: ``{_target_: mm.Pretrained, path: runs/clip_digits/latest, part: second}``.

    Raises:
        ConfigError: It is no text tower, or its encoder gives one vector only.

    Example:
        >>> from nemo_llm.tokenizers import ByteTokenizer
        >>> from nemo_mm.data.fronts import TextTokens
        >>> encoder = TextTransformer(259, max_length=16, width=16, layers=1, heads=2)
        >>> text = TowerText(TextTower(TextTokens(ByteTokenizer(), 16), encoder, size=5))
        >>> encoded, mask = text.encode_texts(["a cat", "an owl"])
        >>> encoded.shape, mask.sum(1)
        (torch.Size([2, 7, 16]), tensor([6, 7]))
    """

    def __init__(self, tower: TextTower | Pretrained) -> None:
        super().__init__()
        found = taken(tower, TextTower, "TowerText: tower")
        if found is None or not isinstance(found.encoder, TextTransformer):
            raise ConfigError("TowerText: the tower's encoder is no mm.TextTransformer")
        self.tower = found
        self.text_width = found.encoder.width

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``tokens`` (B, S), and how many of them there are, ``length`` (B,)."""
        return {
            "tokens": nt.NeuralType(("B", "SEQ"), nt.TokenIndex()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``text`` (B, S, D), and which positions hold a token, ``text_mask`` (B, S)."""
        return {
            "text": nt.NeuralType(("B", "SEQ", f"D:{self.text_width}"), nt.EncodedRepresentation()),
            "text_mask": nt.NeuralType(("B", "SEQ"), nt.Mask()),
        }

    @nt.typed
    def forward(self, tokens: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return hidden states (B, S, D) of tokens (B, S), and which positions hold one (B, S)."""
        encoder: Any = self.tower.encoder
        inside = torch.arange(tokens.shape[1], device=tokens.device) < length.unsqueeze(1)
        # Where no token looks ahead, none looks at padding either; what padding itself sees is masked by the receiver.
        mask = None if encoder.causal or encoder.sees_padding else inside[:, None, None, :]
        x = encoder.tokens(tokens) + encoder.positions[: tokens.shape[1]]
        return encoder.norm(encoder.transformer(x, mask, encoder.causal)), inside

    def encode_texts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the encodings (B, S, D), and which positions hold a token (B, S).

        Raises:
            DataError: A text is empty.
        """
        batch = self.tower.front.batch([self.tower.front.read(text) for text in texts])
        device = next(self.tower.parameters()).device
        encoded: tuple[Tensor, Tensor] = self(tokens=batch["tokens"].to(device), length=batch["length"].to(device))
        return encoded
