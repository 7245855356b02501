"""A Transformer encoder over encoded frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nemo_asr.modules.transformer_layers import Activation, EncoderLayer, initialize_linear
from nemo_core import types as nt
from nemo_core.modules import NeuralModule

__all__ = ["TransformerEncoder"]


class TransformerEncoder(NeuralModule):
    """A stack of Transformer layers (Vaswani et al., 2017, arXiv:1706.03762) over what an acoustic encoder gives.

    It adds no positions: the frames have theirs in them. Names of arguments and weights are those of NVIDIA NeMo.

    Args:
        num_layers: Number of layers.
        hidden_size: Features per frame.
        inner_size: Features inside the feed-forward networks.
        mask_future: Whether a frame attends to no later ones.
        num_attention_heads: Heads of the attention.
        attn_score_dropout: Probability of a dropped attention weight.
        attn_layer_dropout: Probability of a dropped feature of what an attention gives.
        ffn_dropout: The same for the feed-forward networks.
        hidden_act: ``relu`` or ``gelu``.
        pre_ln: Whether norms stand before attention and network, or after the residual connections.
        pre_ln_final_layer_norm: Whether there is a norm after the last layer; only with ``pre_ln``.

    Example:
        >>> encoder = TransformerEncoder(2, hidden_size=16, inner_size=32, num_attention_heads=4, pre_ln=True)
        >>> encoder(encoded=torch.randn(2, 16, 10), length=torch.tensor([10, 6])).shape
        torch.Size([2, 16, 10])
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        inner_size: int,
        mask_future: bool = False,
        num_attention_heads: int = 1,
        attn_score_dropout: float = 0.0,
        attn_layer_dropout: float = 0.0,
        ffn_dropout: float = 0.0,
        hidden_act: Activation = "relu",
        pre_ln: bool = False,
        pre_ln_final_layer_norm: bool = True,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.mask_future = mask_future
        self.layers = nn.ModuleList(
            EncoderLayer(
                hidden_size,
                inner_size,
                num_attention_heads,
                attn_score_dropout,
                attn_layer_dropout,
                ffn_dropout,
                hidden_act,
                pre_ln,
            )
            for _ in range(num_layers)
        )
        self.final_layer_norm = nn.LayerNorm(hidden_size) if pre_ln and pre_ln_final_layer_norm else None
        self.apply(initialize_linear)

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``encoded`` (B, D, T) and ``length`` (B,) in frames."""
        return {
            "encoded": nt.NeuralType(("B", f"D:{self.hidden_size}", "T"), nt.AcousticEncoded()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``encoded`` (B, D, T)."""
        return {"encoded": nt.NeuralType(("B", f"D:{self.hidden_size}", "T"), nt.AcousticEncoded())}

    @nt.typed
    def forward(self, encoded: Tensor, length: Tensor) -> Tensor:
        """Return the frames (B, D, T), each with what it gathered from the others."""
        x = encoded.transpose(1, 2)
        place = torch.arange(x.shape[1], device=x.device)
        mask = (place < length.unsqueeze(1))[:, None, None, :]
        if self.mask_future:
            mask = mask & (place <= place.unsqueeze(1))
        for layer in self.layers:
            x = layer(x, mask)
        if self.final_layer_norm is not None:
            x = self.final_layer_norm(x)
        return x.transpose(1, 2)
