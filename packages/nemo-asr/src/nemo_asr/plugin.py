"""What nemo-asr registers with nemo-core."""

from __future__ import annotations

from nemo_asr.catalogue import register_published_models
from nemo_core.plugins import Registry, hookimpl

# NVIDIA's import paths are aliases, so that configurations and archives that name them work unchanged.
_NVIDIA_MODULES = "nemo.collections.asr.modules"
_NVIDIA_MODELS = "nemo.collections.asr.models"


@hookimpl
def nemo_components(registry: Registry) -> None:
    """Register modules, models, data, metrics, recipes and commands of speech recognition."""
    registry.module(
        "asr.MFCC",
        "nemo_asr.modules.mfcc:MFCC",
        aliases=(
            f"{_NVIDIA_MODULES}.AudioToMFCCPreprocessor",
            f"{_NVIDIA_MODULES}.audio_preprocessing.AudioToMFCCPreprocessor",
        ),
        summary="Mel-frequency cepstral coefficients of audio, as torchaudio computes them",
    )
    for name, what in (("Fbank", "Log-mel energies"), ("MFCC", "Cepstral coefficients"), ("Spectrogram", "Spectra")):
        registry.module(
            f"asr.Kaldi{name}",
            f"nemo_asr.modules.kaldi_features:Kaldi{name}",
            summary=f"{what}, as Kaldi computes them",
        )
    registry.module(
        "asr.ConvASREncoder",
        "nemo_asr.modules.conv_encoder:ConvASREncoder",
        aliases=(f"{_NVIDIA_MODULES}.ConvASREncoder", f"{_NVIDIA_MODULES}.conv_asr.ConvASREncoder"),
        summary="Convolutional encoder: Jasper, QuartzNet, Citrinet, ContextNet, MatchboxNet, MarbleNet, TitaNet",
        example={"feat_in": 8, "jasper": [{"filters": 16, "kernel": 11, "stride": 2}]},
        example_sizes={"D": 8},
    )
    registry.module(
        "asr.ConformerEncoder",
        "nemo_asr.modules.conformer:ConformerEncoder",
        aliases=(f"{_NVIDIA_MODULES}.ConformerEncoder", f"{_NVIDIA_MODULES}.conformer_encoder.ConformerEncoder"),
        summary="Conformer and FastConformer",
        example={"feat_in": 8, "n_layers": 1, "d_model": 16, "dropout": 0.0},
        example_sizes={"D": 8},
    )
    registry.module(
        "asr.SqueezeformerEncoder",
        "nemo_asr.modules.squeezeformer:SqueezeformerEncoder",
        aliases=(
            f"{_NVIDIA_MODULES}.SqueezeformerEncoder",
            f"{_NVIDIA_MODULES}.squeezeformer_encoder.SqueezeformerEncoder",
        ),
        summary="Squeezeformer",
        example={"feat_in": 8, "n_layers": 3, "d_model": 16, "time_reduce_idx": 1, "dropout": 0.0},
        example_sizes={"D": 8},
    )
    registry.module(
        "asr.LSTMEncoder",
        "nemo_asr.modules.lstm_encoder:LSTMEncoder",
        aliases=(f"{_NVIDIA_MODULES}.RNNEncoder", f"{_NVIDIA_MODULES}.rnn_encoder.RNNEncoder"),
        summary="LSTMs with projections, in one direction or both",
        example={"feat_in": 8, "n_layers": 1, "d_model": 16, "proj_size": 8, "dropout": 0.0},
        example_sizes={"D": 8},
    )
    registry.module(
        "asr.CTCDecoder",
        "nemo_asr.modules.ctc_decoder:CTCDecoder",
        aliases=(f"{_NVIDIA_MODULES}.ConvASRDecoder", f"{_NVIDIA_MODULES}.conv_asr.ConvASRDecoder"),
        summary="Output layer of CTC models",
        example={"feat_in": 8, "vocabulary": 3},
        example_sizes={"D": 8},
    )
    registry.module(
        "asr.LSTMPredictor",
        "nemo_asr.modules.predictor:LSTMPredictor",
        aliases=(f"{_NVIDIA_MODULES}.RNNTDecoder", f"{_NVIDIA_MODULES}.rnnt.RNNTDecoder"),
        summary="Prediction network of transducers: LSTM",
        example={"prednet": {"pred_hidden": 8}, "vocab_size": 10},
        example_sizes={"targets": {"T": 16}},
    )
    registry.module(
        "asr.StatelessPredictor",
        "nemo_asr.modules.stateless_predictor:StatelessPredictor",
        aliases=(
            f"{_NVIDIA_MODULES}.StatelessTransducerDecoder",
            f"{_NVIDIA_MODULES}.rnnt.StatelessTransducerDecoder",
        ),
        summary="Prediction network of transducers: the last few labels",
        example={"prednet": {"pred_hidden": 8}, "vocab_size": 10, "context_size": 2},
        example_sizes={"targets": {"T": 16}},
    )
    registry.module(
        "asr.RNNTJoint",
        "nemo_asr.modules.joint:RNNTJoint",
        aliases=(
            f"{_NVIDIA_MODULES}.RNNTJoint",
            f"{_NVIDIA_MODULES}.rnnt.RNNTJoint",
            f"{_NVIDIA_MODULES}.SampledRNNTJoint",
            f"{_NVIDIA_MODULES}.rnnt.SampledRNNTJoint",
        ),
        summary="Joint network of transducers: RNN-T, TDT, multi-blank",
        example={"jointnet": {"encoder_hidden": 8, "pred_hidden": 8, "joint_hidden": 8}, "num_classes": 10},
        example_sizes={"D": 8},
    )
    registry.module(
        "asr.HATJoint",
        "nemo_asr.modules.hat_joint:HATJoint",
        aliases=(
            f"{_NVIDIA_MODULES}.HATJoint",
            f"{_NVIDIA_MODULES}.hybrid_autoregressive_transducer.HATJoint",
        ),
        summary="Joint network of the hybrid autoregressive transducer",
        example={"jointnet": {"encoder_hidden": 8, "pred_hidden": 8, "joint_hidden": 8}, "num_classes": 10},
        example_sizes={"D": 8},
    )
    registry.module(
        "asr.ConvClassifier",
        "nemo_asr.modules.classifier:ConvClassifier",
        aliases=(
            f"{_NVIDIA_MODULES}.ConvASRDecoderClassification",
            f"{_NVIDIA_MODULES}.conv_asr.ConvASRDecoderClassification",
        ),
        summary="Pooling over time and the output layer of classifiers",
        example={"feat_in": 8, "num_classes": 3},
        example_sizes={"D": 8},
    )
    registry.module(
        "asr.SpeakerDecoder",
        "nemo_asr.modules.speaker_decoder:SpeakerDecoder",
        aliases=(f"{_NVIDIA_MODULES}.SpeakerDecoder", f"{_NVIDIA_MODULES}.conv_asr.SpeakerDecoder"),
        summary="Pooling over time, embedding and output layer of speaker recognition",
        example={"feat_in": 8, "num_classes": 3, "emb_sizes": 4, "pool_mode": "attention"},
        example_sizes={"D": 8},
    )
    registry.module(
        "asr.TransformerEncoder",
        "nemo_asr.modules.transformer_encoder:TransformerEncoder",
        aliases=(f"{_NVIDIA_MODULES}.transformer.transformer_encoders.TransformerEncoder",),
        summary="Transformer layers over encoded frames",
        example={"num_layers": 1, "hidden_size": 8, "inner_size": 16, "num_attention_heads": 2},
        example_sizes={"D": 8},
    )
    registry.module(
        "asr.TransformerDecoder",
        "nemo_asr.modules.transformer_decoder:TransformerDecoder",
        summary="Transformer layers that read tokens and attend to encoded frames",
        example={"vocab_size": 10, "hidden_size": 8, "num_layers": 1, "inner_size": 16, "num_attention_heads": 2},
        example_sizes={"D": 8},
    )
    registry.module(
        "asr.TokenClassifier",
        "nemo_asr.modules.token_classifier:TokenClassifier",
        aliases=("nemo.collections.asr.parts.submodules.token_classifier.TokenClassifier",),
        summary="Output layer over tokens",
        example={"hidden_size": 8, "num_classes": 5},
        example_sizes={"D": 8},
    )
    registry.augmentation(
        "asr.CropOrPad",
        "nemo_asr.modules.crop_or_pad:CropOrPad",
        aliases=(
            f"{_NVIDIA_MODULES}.CropOrPadSpectrogramAugmentation",
            f"{_NVIDIA_MODULES}.audio_preprocessing.CropOrPadSpectrogramAugmentation",
        ),
        summary="Features cut or padded to one length",
        example={"audio_length": 8},
    )
    registry.augmentation(
        "asr.MaskedPatches",
        "nemo_asr.modules.masked_patches:MaskedPatches",
        aliases=(
            f"{_NVIDIA_MODULES}.MaskedPatchAugmentation",
            f"{_NVIDIA_MODULES}.audio_preprocessing.MaskedPatchAugmentation",
        ),
        summary="Masks on whole patches of time in training",
    )
    registry.augmentation(
        "asr.SpecAugment",
        "nemo_asr.modules.spec_augment:SpecAugment",
        aliases=(
            f"{_NVIDIA_MODULES}.SpectrogramAugmentation",
            f"{_NVIDIA_MODULES}.audio_preprocessing.SpectrogramAugmentation",
        ),
        summary="SpecAugment and SpecCutout: masks on spectrograms in training",
    )
    registry.loss(
        "asr.CTCLoss",
        "nemo_asr.losses.ctc:CTCLoss",
        aliases=("nemo.collections.asr.losses.ctc.CTCLoss",),
        summary="Connectionist temporal classification",
        example={"blank": 10},
        example_sizes={"log_probs": {"T": 64, "D": 11}, "targets": {"T": 16}},
    )
    registry.loss(
        "asr.RNNTLoss",
        "nemo_asr.losses.rnnt:RNNTLoss",
        summary="RNN transducer",
        example={"blank": 10},
        example_sizes={"logits": {"T": 17, "D": 11}, "targets": {"T": 16}},
    )
    registry.loss(
        "asr.TDTLoss",
        "nemo_asr.losses.rnnt:TDTLoss",
        summary="Token-and-duration transducer",
        example={"blank": 10},
        example_sizes={"logits": {"T": 17, "D": 16}, "targets": {"T": 16}},
    )
    registry.loss(
        "asr.MultiblankRNNTLoss",
        "nemo_asr.losses.rnnt:MultiblankRNNTLoss",
        summary="Transducer with blanks of several frames",
        example={"blank": 13},
        example_sizes={"logits": {"T": 17, "D": 14}, "targets": {"T": 16}},
    )
    registry.loss(
        "asr.SmoothedCrossEntropyLoss",
        "nemo_asr.losses.smoothed_cross_entropy:SmoothedCrossEntropyLoss",
        aliases=("nemo.collections.common.losses.smoothed_cross_entropy.SmoothedCrossEntropyLoss",),
        summary="Cross-entropy of tokens with label smoothing",
        example_sizes={"log_probs": {"D": 10}},
    )
    registry.loss(
        "asr.AngularSoftmaxLoss",
        "nemo_asr.losses.angular:AngularSoftmaxLoss",
        aliases=("nemo.collections.asr.losses.angularloss.AngularSoftmaxLoss",),
        summary="Softmax over angles with a margin, for embeddings of speakers",
        example_sizes={"logits": {"D": 10}},
    )
    registry.model(
        "asr.ClassificationModel",
        "nemo_asr.models.classification:ClassificationModel",
        aliases=(
            f"{_NVIDIA_MODELS}.EncDecClassificationModel",
            f"{_NVIDIA_MODELS}.classification_models.EncDecClassificationModel",
        ),
        summary="Encoder and classifier of whole utterances: commands, speech or not",
    )
    registry.model(
        "asr.SpeakerModel",
        "nemo_asr.models.speaker:SpeakerModel",
        aliases=(
            f"{_NVIDIA_MODELS}.EncDecSpeakerLabelModel",
            f"{_NVIDIA_MODELS}.label_models.EncDecSpeakerLabelModel",
        ),
        summary="Encoder and embedding of speakers: recognition and verification",
    )
    registry.model(
        "asr.CTCModel",
        "nemo_asr.models.ctc:CTCModel",
        aliases=(
            f"{_NVIDIA_MODELS}.EncDecCTCModel",
            f"{_NVIDIA_MODELS}.ctc_models.EncDecCTCModel",
            f"{_NVIDIA_MODELS}.EncDecCTCModelBPE",
            f"{_NVIDIA_MODELS}.ctc_bpe_models.EncDecCTCModelBPE",
        ),
        summary="Encoder and CTC decoder over characters or subwords",
    )
    registry.model(
        "asr.TransducerModel",
        "nemo_asr.models.transducer:TransducerModel",
        aliases=(
            f"{_NVIDIA_MODELS}.EncDecRNNTModel",
            f"{_NVIDIA_MODELS}.rnnt_models.EncDecRNNTModel",
            f"{_NVIDIA_MODELS}.EncDecRNNTBPEModel",
            f"{_NVIDIA_MODELS}.rnnt_bpe_models.EncDecRNNTBPEModel",
        ),
        summary="Encoder and transducer over characters or subwords: RNN-T, TDT, multi-blank, HAT",
    )
    registry.model(
        "asr.HybridModel",
        "nemo_asr.models.hybrid:HybridModel",
        aliases=(
            f"{_NVIDIA_MODELS}.EncDecHybridRNNTCTCModel",
            f"{_NVIDIA_MODELS}.hybrid_rnnt_ctc_models.EncDecHybridRNNTCTCModel",
            f"{_NVIDIA_MODELS}.EncDecHybridRNNTCTCBPEModel",
            f"{_NVIDIA_MODELS}.hybrid_rnnt_ctc_bpe_models.EncDecHybridRNNTCTCBPEModel",
        ),
        summary="Encoder with a transducer and a CTC decoder",
    )
    registry.model(
        "asr.MultitaskModel",
        "nemo_asr.models.multitask:MultitaskModel",
        aliases=(
            f"{_NVIDIA_MODELS}.EncDecMultiTaskModel",
            f"{_NVIDIA_MODELS}.aed_multitask_models.EncDecMultiTaskModel",
        ),
        summary="Attention encoder-decoder that a prompt tells what to do: recognition and translation (Canary)",
    )
    registry.tokenizer("asr.CharTokenizer", "nemo_asr.tokenizers.char:CharTokenizer", summary="Characters as tokens")
    registry.tokenizer(
        "asr.SentencePieceTokenizer",
        "nemo_asr.tokenizers.sentence_piece:SentencePieceTokenizer",
        summary="Subwords as tokens: BPE and unigram models of SentencePiece",
    )
    registry.tokenizer(
        "asr.WordPieceTokenizer",
        "nemo_asr.tokenizers.word_piece:WordPieceTokenizer",
        summary="Subwords as tokens: BERT's WordPiece",
    )
    registry.tokenizer(
        "asr.AggregateTokenizer",
        "nemo_asr.tokenizers.aggregate:AggregateTokenizer",
        summary="Tokens of several languages, each with a tokenizer of its own",
    )
    registry.tokenizer(
        "asr.CanaryTokenizer",
        "nemo_asr.tokenizers.canary:CanaryTokenizer",
        aliases=("nemo.collections.common.tokenizers.canary_tokenizer.CanaryTokenizer",),
        summary="Special tokens of prompts, and tokens of several languages",
    )
    registry.tokenizer(
        "asr.CanaryBPETokenizer",
        "nemo_asr.tokenizers.canary:CanaryBPETokenizer",
        aliases=("nemo.collections.common.tokenizers.canary_tokenizer.CanaryBPETokenizer",),
        summary="Subwords and special tokens of prompts in one model of SentencePiece",
    )
    registry.tokenizer(
        "asr.SpecialTokens",
        "nemo_asr.tokenizers.special_tokens:SpecialTokens",
        summary="Special tokens of prompts",
    )
    # Formats of prompts turn fields into tokens, as tokenizers turn text.
    for name, model in (("CanaryPrompt", "Canary-1B"), ("Canary2Prompt", "Canary-1B-flash and Canary-1B-v2")):
        registry.tokenizer(f"asr.{name}", f"nemo_asr.prompts.canary:{name}", summary=f"Prompts of {model}")
    registry.dataset(
        "asr.SpeechDataset", "nemo_asr.data.speech_dataset:SpeechDataset", summary="Audio and text of manifests"
    )
    registry.dataset(
        "asr.SpeechData", "nemo_asr.data.speech_data:SpeechData", summary="Data module: training, validation and test"
    )
    registry.dataset(
        "asr.ConnectedDigits",
        "nemo_asr.data.digits:ConnectedDigits",
        summary="Strings of spoken digits, composed from embedded recordings",
    )
    registry.metric("asr.WordErrorRate", "nemo_asr.metrics.error_rate:WordErrorRate", summary="Word error rate")
    registry.metric("asr.CharErrorRate", "nemo_asr.metrics.error_rate:CharErrorRate", summary="Character error rate")
    register_published_models(registry)
    registry.recipes("nemo_asr.conf", prefix="asr", summary="Speech recognition")
    registry.command("transcribe", "nemo_asr.cli.transcribe:transcribe", summary="Turn speech into text")
    registry.command("asr", summary="Tools for speech recognition")
    registry.command("asr an4", "nemo_asr.cli.an4:an4", summary="Write manifests for the AN4 data")
    registry.command("asr digits", "nemo_asr.cli.digits:digits", summary="Write spoken digit strings as WAV files")
    registry.command("asr classify", "nemo_asr.cli.classify:classify", summary="Say which class audio is in")
    registry.command(
        "asr verify-speakers",
        "nemo_asr.cli.verify_speakers:verify_speakers",
        summary="Say whether two audios are of one speaker",
    )
    registry.command("asr tokenizer", summary="Learn and show tokenizers")
    for name, summary in (
        ("train", "Learn the tokens of a tokenizer from texts"),
        ("show", "List the tokens of a tokenizer"),
        ("encode", "Show the tokens that texts become"),
    ):
        registry.command(f"asr tokenizer {name}", f"nemo_asr.cli.tokenizer:{name}", summary=summary)
