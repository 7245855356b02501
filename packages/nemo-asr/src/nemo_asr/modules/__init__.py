"""Typed neural modules of speech recognition."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.modules.classifier import ConvClassifier as ConvClassifier
    from nemo_asr.modules.conformer import ConformerEncoder as ConformerEncoder
    from nemo_asr.modules.conv_encoder import ConvASREncoder as ConvASREncoder
    from nemo_asr.modules.crop_or_pad import CropOrPad as CropOrPad
    from nemo_asr.modules.ctc_decoder import CTCDecoder as CTCDecoder
    from nemo_asr.modules.encoder import AcousticEncoder as AcousticEncoder
    from nemo_asr.modules.hat_joint import HATJoint as HATJoint
    from nemo_asr.modules.joint import RNNTJoint as RNNTJoint
    from nemo_asr.modules.kaldi_features import KaldiFbank as KaldiFbank
    from nemo_asr.modules.kaldi_features import KaldiMFCC as KaldiMFCC
    from nemo_asr.modules.kaldi_features import KaldiSpectrogram as KaldiSpectrogram
    from nemo_asr.modules.lstm_encoder import LSTMEncoder as LSTMEncoder
    from nemo_asr.modules.masked_patches import MaskedPatches as MaskedPatches
    from nemo_asr.modules.mfcc import MFCC as MFCC
    from nemo_asr.modules.predictor import LSTMPredictor as LSTMPredictor
    from nemo_asr.modules.predictor import Predictor as Predictor
    from nemo_asr.modules.speaker_decoder import SpeakerDecoder as SpeakerDecoder
    from nemo_asr.modules.spec_augment import SpecAugment as SpecAugment
    from nemo_asr.modules.squeezeformer import SqueezeformerEncoder as SqueezeformerEncoder
    from nemo_asr.modules.stateless_predictor import StatelessPredictor as StatelessPredictor
    from nemo_asr.modules.token_classifier import TokenClassifier as TokenClassifier
    from nemo_asr.modules.transformer_decoder import TransformerDecoder as TransformerDecoder
    from nemo_asr.modules.transformer_encoder import TransformerEncoder as TransformerEncoder
    from nemo_core.audio.front_end import FrontEnd as FrontEnd
    from nemo_core.audio.mel import MelSpectrogram as MelSpectrogram

__getattr__, __dir__ = attach(__name__)
