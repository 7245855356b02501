"""Data of multimodal models."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_mm.data.augmentation import RandomCrop as RandomCrop
    from nemo_mm.data.captions import Captions as Captions
    from nemo_mm.data.conversations import VisionConversations as VisionConversations
    from nemo_mm.data.digits import HandwrittenDigits as HandwrittenDigits
    from nemo_mm.data.digits import SpokenAndWritten as SpokenAndWritten
    from nemo_mm.data.emoji import Emoji as Emoji
    from nemo_mm.data.folder import PictureFolder as PictureFolder
    from nemo_mm.data.fronts import AudioSamples as AudioSamples
    from nemo_mm.data.fronts import Front as Front
    from nemo_mm.data.fronts import TextTokens as TextTokens
    from nemo_mm.data.mnist import Mnist as Mnist
    from nemo_mm.data.pairs import Pair as Pair
    from nemo_mm.data.pairs import PairBatch as PairBatch
    from nemo_mm.data.pairs import PairData as PairData
    from nemo_mm.data.picture_sets import LabelledPicture as LabelledPicture
    from nemo_mm.data.picture_sets import PictureBatch as PictureBatch
    from nemo_mm.data.picture_sets import PictureData as PictureData
    from nemo_mm.data.scenes import SceneData as SceneData
    from nemo_mm.data.tar_shards import TarPairs as TarPairs

__getattr__, __dir__ = attach(__name__)
