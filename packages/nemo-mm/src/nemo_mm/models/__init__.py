"""Multimodal models."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.models import restore as restore
    from nemo_mm.models.autoencoder import AutoencoderKL as AutoencoderKL
    from nemo_mm.models.contrastive import ContrastiveModel as ContrastiveModel
    from nemo_mm.models.image_classifier import ImageClassifier as ImageClassifier
    from nemo_mm.models.image_generator import ImageGenerator as ImageGenerator
    from nemo_mm.models.loading import loaded as loaded
    from nemo_mm.models.multimodal import MultimodalLanguageModel as MultimodalLanguageModel
    from nemo_mm.models.salm import SpeechLanguageModel as SpeechLanguageModel
    from nemo_mm.models.vision_config import VisionLanguageConfig as VisionLanguageConfig
    from nemo_mm.models.vision_language import VisionLanguageModel as VisionLanguageModel
    from nemo_mm.modules.pretrained import Pretrained as Pretrained
    from nemo_mm.modules.pretrained import PretrainedText as PretrainedText

__getattr__, __dir__ = attach(__name__)
