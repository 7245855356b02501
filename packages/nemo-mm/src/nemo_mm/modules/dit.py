"""The diffusion transformer: what predicts noise or velocity of an image of which patches are tokens."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.errors import ConfigError, DataError
from nemo_core.modules import NeuralModule
from nemo_core.modules.dropout import Dropout
from nemo_mm.modules.positions import sincos_2d
from nemo_mm.modules.times import TimeEmbedding

__all__ = ["SIZES", "DiT", "Size"]


class Size(NamedTuple):
    """Width of the tokens, layers, and heads of attention."""

    width: int
    depth: int
    heads: int


#: The sizes of the paper (its table 1).
SIZES: Mapping[str, Size] = {
    "S": Size(384, 12, 6),
    "B": Size(768, 12, 12),
    "L": Size(1024, 24, 16),
    "XL": Size(1152, 28, 16),
}


class DiT(NeuralModule):
    """A transformer over patches, whose norms the time and the class set (Peebles and Xie, ICCV 2023).

    The image is cut into patches, each a token; a block is attention and a feed-forward network. The condition sets the
    scale and shift of the layer norm before each, and a gate behind it (``adaLN-Zero``: gates start at zero, so that
    each block starts as the identity). The last layer turns tokens back into patches.

    A class is added to the time. A text, (B, S, D) from any encoder, is attended to: by a cross-attention of each block
    (``cross``, as in PixArt-alpha, Chen et al., ICLR 2024), or as further tokens of the one attention (``joint``).
    A learned token stands before each text, and is all there is for an image without one.

    Args:
        image_size: Height and width, or one number for both.
        channels: Of the image, or of an autoencoder's latents.
        patch_size: Side of a patch.
        size: S, B, L or XL; sets the next three.
        width: Of the tokens.
        depth: Number of blocks.
        heads: Of attention.
        mlp_ratio: Width of the feed-forward networks, as a multiple of ``width``.
        classes: Number of classes, where images have one. The class -1 is "none given".
        text_width: Width of the texts' encodings, where images have one.
        text_mode: ``cross`` or ``joint``.
        qk_norm: Normalise queries and keys, which keeps large learning rates stable (Dehghani et al., ICML 2023).
        dropout: After attention and in the feed-forward networks.

    Raises:
        ConfigError: Patches do not divide the image, heads do not divide the width, or a size is missing.

    Example:
        >>> dit = DiT(8, channels=1, patch_size=4, width=32, depth=2, heads=2, classes=10)
        >>> dit(sample=torch.randn(2, 1, 8, 8), time=torch.rand(2), classes=torch.tensor([3, -1])).shape
        torch.Size([2, 1, 8, 8])
        >>> with torch.device("meta"):
        ...     print(f"{DiT(32, channels=4, patch_size=2, size='XL', classes=1000).num_weights:,}")
        674,816,272
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        *,
        channels: int = 4,
        patch_size: int = 2,
        size: str | None = None,
        width: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        mlp_ratio: float = 4.0,
        classes: int | None = None,
        text_width: int | None = None,
        text_mode: Literal["cross", "joint"] = "cross",
        qk_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        height, across = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        self.image_size, self.channels, self.patch_size = (height, across), channels, patch_size
        self.num_classes, self.text_width, self.text_mode = classes, text_width, text_mode
        if patch_size < 1 or min(height, across) < 1 or height % patch_size or across % patch_size:
            raise ConfigError(
                f"DiT: an image of {height} x {across} is not made of patches of {patch_size} x {patch_size}",
                hint="give a patch_size that divides both, or make the images larger with a border",
            )
        if text_mode not in ("cross", "joint"):
            raise ConfigError(f"DiT: text_mode {text_mode!r} is not known", hint="cross or joint")
        if classes is not None and classes < 1:
            raise ConfigError(f"DiT: {classes} classes", hint="leave classes out for images without any")
        self.width, self.depth, self.heads = _size(size, width, depth, heads)
        rows, columns = height // patch_size, across // patch_size
        self.patches = (rows, columns)
        self.patch_in = nn.Linear(channels * patch_size**2, self.width)
        self.register_buffer("position", sincos_2d(rows, columns, self.width), persistent=False)
        self.time_in = TimeEmbedding(self.width)
        if classes is not None:
            self.class_in = nn.Embedding(classes + 1, self.width)  # the last is that of no class
        if text_width is not None:
            self.text_in = nn.Linear(text_width, self.width)
            self.no_text = nn.Parameter(torch.zeros(self.width))
        cross = text_width is not None and text_mode == "cross"
        self.blocks = nn.ModuleList(
            _Block(self.width, self.heads, int(mlp_ratio * self.width), cross, qk_norm, dropout)
            for _ in range(self.depth)
        )
        self.final_modulation = nn.Linear(self.width, 2 * self.width)
        self.patch_out = nn.Linear(self.width, channels * patch_size**2)
        self._initialise()

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``sample`` (B, C, H, W), ``time`` (B,) in [0, 1], 1 is pure noise, and the conditions that it knows."""
        height, width = self.image_size
        types = {
            "sample": nt.NeuralType(("B", f"D:{self.channels}", f"H:{height}", f"W:{width}"), nt.ImageFeatureValue()),
            "time": nt.NeuralType(("B",), nt.Float()),
        }
        if self.num_classes is not None:
            types["classes"] = nt.NeuralType(("B",), nt.Labels(), optional=True)
        if self.text_width is not None:
            text = ("B", "SEQ:text", f"D:{self.text_width}")
            types["text"] = nt.NeuralType(text, nt.EncodedRepresentation(), optional=True)
            types["text_mask"] = nt.NeuralType(("B", "SEQ:text"), nt.Mask(), optional=True)
        return types

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``predicted`` (B, C, H, W): what the process it is trained for asks of it."""
        height, width = self.image_size
        shape = ("B", f"D:{self.channels}", f"H:{height}", f"W:{width}")
        return {"predicted": nt.NeuralType(shape, nt.ImageFeatureValue())}

    @nt.typed
    def forward(
        self,
        sample: Tensor,
        time: Tensor,
        classes: Tensor | None = None,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the prediction (B, C, H, W) for noisy images (B, C, H, W).

        Args:
            sample: Images, or latents, with noise.
            time: How much noise: 0 is none, 1 is nothing else (B,).
            classes: Class of each image (B,); -1, or leaving it out: none.
            text: Encoded texts (B, S, D); left out: none.
            text_mask: Which of the S positions count (B, S); a row without any: no text. Left out: all.

        Raises:
            DataError: A class is not there, or a condition is given that the network does not know.
        """
        condition = self.time_in(time) + self._class(classes, len(sample))
        context, mask = self._text(text, text_mask, len(sample))
        x = self.patch_in(self._patchify(sample)) + self.position
        count = x.shape[1]
        if context is not None and mask is not None and self.text_mode == "joint":
            x = torch.cat((x, context), 1)
            mask = F.pad(mask, (count, 0), value=True)
            context = None
        condition = F.silu(condition)
        for block in self.blocks:
            x = block(x, condition, context, mask)
        shift, scale = self.final_modulation(condition).unsqueeze(1).chunk(2, 2)
        x = _modulate(F.layer_norm(x[:, :count], (self.width,), eps=1e-6), shift, scale)
        return self._unpatchify(self.patch_out(x))

    def _class(self, classes: Tensor | None, batch: int) -> Tensor | float:
        if self.num_classes is None:
            if classes is not None:
                raise DataError("DiT: classes are given, and the network knows none", hint="set classes, or leave them")
            return 0.0
        if classes is None:
            classes = torch.full((batch,), -1, device=self.class_in.weight.device)
        wrong = (classes < -1) | (classes >= self.num_classes)
        if classes.device.type == "cpu" and bool(wrong.any()):  # on a GPU it would wait for all that is under way
            raise DataError(
                f"DiT: there is no class {int(classes[wrong][0])}", hint=f"classes are 0 to {self.num_classes - 1}"
            )
        return self.class_in(torch.where(classes < 0, self.num_classes, classes))

    def _text(self, text: Tensor | None, mask: Tensor | None, batch: int) -> tuple[Tensor, Tensor] | tuple[None, None]:
        if self.text_width is None:
            if text is not None:
                raise DataError("DiT: a text is given, and the network knows none", hint="set text_width, or leave it")
            return None, None
        nothing = self.no_text.expand(batch, 1, -1)
        if text is None:
            return nothing, torch.ones(batch, 1, dtype=torch.bool, device=nothing.device)
        if mask is None:
            mask = torch.ones(text.shape[:2], dtype=torch.bool, device=text.device)
        return torch.cat((nothing, self.text_in(text)), 1), F.pad(mask, (1, 0), value=True)

    def _patchify(self, sample: Tensor) -> Tensor:
        """Return the patches (B, rows * columns, C * p * p) of images (B, C, H, W)."""
        batch, (rows, columns), p = len(sample), self.patches, self.patch_size
        cut = sample.reshape(batch, self.channels, rows, p, columns, p)
        return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)

    def _unpatchify(self, patches: Tensor) -> Tensor:
        """Return the images (B, C, H, W) that patches (B, rows * columns, C * p * p) make."""
        batch, (rows, columns), p = len(patches), self.patches, self.patch_size
        laid = patches.reshape(batch, rows, columns, self.channels, p, p)
        return laid.permute(0, 3, 1, 4, 2, 5).reshape(batch, self.channels, rows * p, columns * p)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for module in (*self.time_in.modules(), *([self.class_in] if self.num_classes is not None else [])):
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
        if self.text_width is not None:
            nn.init.normal_(self.no_text, std=0.02)
        zeroed: list[Any] = [self.final_modulation, self.patch_out]
        blocks: Any = self.blocks
        for block in blocks:
            zeroed += [block.modulation, *([block.cross.out] if block.cross is not None else [])]
        for module in zeroed:
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, cross: bool, qk_norm: bool, dropout: float) -> None:
        super().__init__()
        self.attention = _Attention(width, heads, qk_norm)
        self.cross = _CrossAttention(width, heads, qk_norm) if cross else None
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.drop = Dropout(dropout)
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, x: Tensor, condition: Tensor, context: Tensor | None, mask: Tensor | None) -> Tensor:
        first = self.modulation(condition).unsqueeze(1).chunk(6, 2)
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = first
        width = (x.shape[2],)
        joint = mask if context is None else None
        seen = self.attention(_modulate(F.layer_norm(x, width, eps=1e-6), shift, scale), joint)
        x = torch.addcmul(x, gate, self.drop(seen))
        if self.cross is not None and context is not None:
            x = x + self.cross(x, context, mask)
        hidden = self.up(_modulate(F.layer_norm(x, width, eps=1e-6), shift_mlp, scale_mlp))
        return torch.addcmul(x, gate_mlp, self.drop(self.down(F.gelu(hidden, approximate="tanh"))))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.ModuleList(nn.RMSNorm(width // heads, eps=1e-6) for _ in range(2)) if qk_norm else None

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (_split(each, self.heads) for each in self.qkv(x).chunk(3, 2))
        return self.out(_attend(q, k, v, mask, self.norm))


class _CrossAttention(nn.Module):
    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.ModuleList(nn.RMSNorm(width // heads, eps=1e-6) for _ in range(2)) if qk_norm else None

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        k, v = (_split(each, self.heads) for each in self.kv(context).chunk(2, 2))
        return self.out(_attend(_split(self.q(x), self.heads), k, v, mask, self.norm))


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, norms: nn.ModuleList | None) -> Tensor:
    """Return (B, T, D) of queries (B, heads, T, d); ``mask`` (B, S) says which keys count."""
    if norms is not None:
        q, k = norms[0](q), norms[1](k)
    allowed = None if mask is None else mask[:, None, None, :]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed).transpose(1, 2).flatten(2)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, x, 1 + scale)


def _size(size: str | None, width: int | None, depth: int | None, heads: int | None) -> Size:
    if size is not None:
        if size not in SIZES:
            raise ConfigError(f"DiT: there is no size {size!r}", hint=f"one of {', '.join(SIZES)}")
        known = SIZES[size]
        width, depth, heads = width or known.width, depth or known.depth, heads or known.heads
    if width is None or depth is None or heads is None:
        raise ConfigError("DiT: width, depth and heads are needed", hint=f"or a size, one of {', '.join(SIZES)}")
    if min(width, depth, heads) < 1 or width % heads or width % 4:
        raise ConfigError(
            f"DiT: width {width}, depth {depth}, heads {heads} make no network",
            hint="heads and 4 must divide the width",
        )
    return Size(width, depth, heads)
