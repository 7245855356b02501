"""Modules of multimodal models."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_mm.modules.autoencoder import ImageDecoder as ImageDecoder
    from nemo_mm.modules.autoencoder import ImageEncoder as ImageEncoder
    from nemo_mm.modules.conv_net import ConvNet as ConvNet
    from nemo_mm.modules.dit import DiT as DiT
    from nemo_mm.modules.random_affine import RandomAffine as RandomAffine
    from nemo_mm.modules.text_encoder import CharacterEncoder as CharacterEncoder
    from nemo_mm.modules.text_encoder import TextEncoder as TextEncoder
    from nemo_mm.modules.transformers_text import TransformersText as TransformersText

__getattr__, __dir__ = attach(__name__)
