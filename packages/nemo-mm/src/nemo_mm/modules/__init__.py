"""Typed neural modules of multimodal models."""

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
    from nemo_mm.modules.text_transformer import TextTransformer as TextTransformer
    from nemo_mm.modules.towers import ImageTower as ImageTower
    from nemo_mm.modules.towers import SpeechTower as SpeechTower
    from nemo_mm.modules.towers import TextTower as TextTower
    from nemo_mm.modules.towers import Tower as Tower
    from nemo_mm.modules.transformers_text import TransformersText as TransformersText
    from nemo_mm.modules.vit import VisionTransformer as VisionTransformer

__getattr__, __dir__ = attach(__name__)
