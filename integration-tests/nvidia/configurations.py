"""Configurations of NVIDIA NeMo's model classes, small, in as many forms as published models and their recipes have.

Read by both sides, so it needs nothing but Python. ``TOKENIZER`` stands for the folder of a SentencePiece model, and
``SPECIAL`` for that of Canary's special tokens.
"""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["CONFIGURATIONS", "KNOWN"]

MODULES = "nemo.collections.asr.modules"
MODELS = "nemo.collections.asr.models"
TOKENIZER, SPECIAL = "TOKENIZER", "SPECIAL"
LABELS = [" ", *"abcdefghijklmnopqrstuvwxyz", "'"]
VOCABULARY = 64
WIDTH = 32

Config = dict[str, Any]


def changed(config: Config, changes: Config) -> Config:
    """Return a copy of ``config`` with values replaced at dotted keys."""
    config = copy.deepcopy(config)
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = config
        for key in parents:
            node = node[key]
        node[last] = value
    return config


def mel(**changes: Any) -> Config:
    return {
        "_target_": f"{MODULES}.AudioToMelSpectrogramPreprocessor",
        "sample_rate": 16000,
        "normalize": "per_feature",
        "window_size": 0.025,
        "window_stride": 0.01,
        "window": "hann",
        "features": 80,
        "n_fft": 512,
        "frame_splicing": 1,
        "dither": 1e-5,
        "pad_to": 0,
        **changes,
    }


def mfcc(**changes: Any) -> Config:
    return {
        "_target_": f"{MODULES}.AudioToMFCCPreprocessor",
        "window_size": 0.025,
        "window_stride": 0.01,
        "window": "hann",
        "n_mels": 64,
        "n_mfcc": 64,
        "n_fft": 512,
        **changes,
    }


def block(filters: int, kernel: int, **changes: Any) -> Config:
    return {
        "filters": filters,
        "repeat": 1,
        "kernel": [kernel],
        "stride": [1],
        "dilation": [1],
        "dropout": 0.1,
        "residual": False,
        "separable": True,
        **changes,
    }


def conv(*blocks: Config, feat_in: int = 80, **changes: Any) -> Config:
    settings = {"feat_in": feat_in, "activation": "relu", "conv_mask": True, **changes}
    return {"_target_": f"{MODULES}.ConvASREncoder", **settings, "jasper": list(blocks)}


def conformer(**changes: Any) -> Config:
    return {
        "_target_": f"{MODULES}.ConformerEncoder",
        "feat_in": 80,
        "feat_out": -1,
        "n_layers": 2,
        "d_model": WIDTH,
        "subsampling": "striding",
        "subsampling_factor": 4,
        "subsampling_conv_channels": -1,
        "ff_expansion_factor": 4,
        "self_attention_model": "rel_pos",
        "n_heads": 4,
        "att_context_size": [-1, -1],
        "xscaling": True,
        "untie_biases": True,
        "pos_emb_max_len": 5000,
        "conv_kernel_size": 31,
        "conv_norm_type": "batch_norm",
        "dropout": 0.1,
        "dropout_emb": 0.0,
        "dropout_att": 0.1,
        **changes,
    }


def fastconformer(**changes: Any) -> Config:
    fast = {"subsampling": "dw_striding", "subsampling_factor": 8, "subsampling_conv_channels": 16}
    return conformer(**{**fast, "conv_kernel_size": 9, **changes})


def squeezeformer(**changes: Any) -> Config:
    return {
        "_target_": f"{MODULES}.SqueezeformerEncoder",
        "feat_in": 80,
        "feat_out": -1,
        "n_layers": 4,
        "d_model": WIDTH,
        "adaptive_scale": True,
        "time_reduce_idx": 1,
        "time_recovery_idx": None,
        "subsampling": "dw_striding",
        "subsampling_factor": 4,
        "subsampling_conv_channels": -1,
        "ff_expansion_factor": 4,
        "self_attention_model": "rel_pos",
        "n_heads": 4,
        "att_context_size": [-1, -1],
        "xscaling": True,
        "untie_biases": True,
        "pos_emb_max_len": 5000,
        "conv_kernel_size": 31,
        "conv_norm_type": "batch_norm",
        "dropout": 0.1,
        "dropout_emb": 0.0,
        "dropout_att": 0.1,
        **changes,
    }


def data(**settings: Any) -> Config:
    common = {"manifest_filepath": None, "sample_rate": 16000, "batch_size": 1, **settings}
    return {"train_ds": common, "validation_ds": dict(common), "test_ds": None}


def subwords() -> Config:
    return {"tokenizer": {"dir": TOKENIZER, "type": "bpe"}}


def ctc(encoder: Config, width: int = WIDTH, preprocessor: Config | None = None, **more: Any) -> tuple[str, Config]:
    decoder = {"_target_": f"{MODULES}.ConvASRDecoder", "feat_in": width, "num_classes": -1, "vocabulary": []}
    config = {
        "sample_rate": 16000,
        **data(use_start_end_token=False),
        "preprocessor": preprocessor or mel(),
        "spec_augment": {"_target_": f"{MODULES}.SpectrogramAugmentation", "freq_masks": 2, "time_masks": 2},
        "encoder": encoder,
        "decoder": decoder,
        **more,
    }
    if "tokenizer" in config:
        return f"{MODELS}.EncDecCTCModelBPE", config
    config |= {"labels": LABELS, "decoder": {**decoder, "num_classes": len(LABELS), "vocabulary": LABELS}}
    return f"{MODELS}.EncDecCTCModel", config


def transducer(encoder: Config, changes: Config | None = None, **more: Any) -> tuple[str, Config]:
    labels = {"labels": LABELS} if "tokenizer" not in more else {}
    config = {
        "sample_rate": 16000,
        **data(use_start_end_token=False),
        "preprocessor": mel(),
        "encoder": encoder,
        "model_defaults": {"enc_hidden": WIDTH, "pred_hidden": 24, "joint_hidden": 20},
        "decoder": {
            "_target_": f"{MODULES}.RNNTDecoder",
            "normalization_mode": None,
            "random_state_sampling": False,
            "blank_as_pad": True,
            "prednet": {"pred_hidden": 24, "pred_rnn_layers": 1, "t_max": None, "dropout": 0.2},
        },
        "joint": {
            "_target_": f"{MODULES}.RNNTJoint",
            "log_softmax": None,
            "preserve_memory": False,
            "fuse_loss_wer": False,
            "fused_batch_size": 4,
            "jointnet": {"joint_hidden": 20, "activation": "relu", "dropout": 0.2},
        },
        "decoding": {"strategy": "greedy_batch", "greedy": {"max_symbols": 5}},
        "loss": {"loss_name": "default", "warprnnt_numba_kwargs": {"fastemit_lambda": 0.0, "clamp": -1.0}},
        **labels,
        **more,
    }
    config = changed(config, changes or {})
    if "aux_ctc" in config:
        kind = "EncDecHybridRNNTCTCBPEModel" if "tokenizer" in config else "EncDecHybridRNNTCTCModel"
    else:
        kind = "EncDecRNNTBPEModel" if "tokenizer" in config else "EncDecRNNTModel"
    return f"{MODELS}.{kind}", config


def tdt(encoder: Config, changes: Config | None = None, **more: Any) -> tuple[str, Config]:
    durations = [0, 1, 2, 3, 4]
    ours = {
        "joint.num_extra_outputs": len(durations),
        "decoding": {
            "strategy": "greedy_batch",
            "model_type": "tdt",
            "durations": durations,
            "greedy": {"max_symbols": 5},
        },
        "loss": {"loss_name": "tdt", "tdt_kwargs": {"durations": durations, "sigma": 0.02, "omega": 0.1}},
    }
    return transducer(encoder, {**ours, **(changes or {})}, **more)


def auxiliary(vocabulary: list[str]) -> Config:
    decoder = {
        "_target_": f"{MODULES}.ConvASRDecoder",
        "feat_in": None,
        "num_classes": len(vocabulary) or -1,
        "vocabulary": vocabulary,
    }
    decoding = {"strategy": "greedy_batch"}
    return {"aux_ctc": {"ctc_loss_weight": 0.3, "use_cer": False, "decoder": decoder, "decoding": decoding}}


def classification(preprocessor: Config, encoder: Config, width: int, **decoder: Any) -> tuple[str, Config]:
    labels = ["bed", "cat", "dog", "five"]
    head = {"_target_": f"{MODULES}.ConvASRDecoderClassification", "feat_in": width, "num_classes": 4, **decoder}
    config = {"sample_rate": 16000, **data(labels=labels), "labels": labels}
    return f"{MODELS}.EncDecClassificationModel", {
        **config,
        "preprocessor": preprocessor,
        "encoder": encoder,
        "decoder": head,
    }


def speaker(encoder: Config, width: int, angular: bool = False, **decoder: Any) -> tuple[str, Config]:
    labels = ["ann", "bob", "eve"]
    head = {"_target_": f"{MODULES}.SpeakerDecoder", "feat_in": width, "num_classes": 3, "emb_sizes": 24, **decoder}
    config = {**data(labels=labels), "preprocessor": mel(), "encoder": encoder, "decoder": head}
    if angular:
        target = "nemo.collections.asr.losses.angularloss.AngularSoftmaxLoss"
        config["loss"] = {"_target_": target, "scale": 30, "margin": 0.2}
    return f"{MODELS}.EncDecSpeakerLabelModel", config


def canary(changes: Config | None = None) -> tuple[str, Config]:
    transformer = {
        "hidden_size": WIDTH,
        "inner_size": 64,
        "num_attention_heads": 4,
        "ffn_dropout": 0.1,
        "attn_score_dropout": 0.1,
        "attn_layer_dropout": 0.1,
        "hidden_act": "relu",
        "pre_ln": True,
    }
    config = {
        "sample_rate": 16000,
        "prompt_format": "canary",
        "prompt_defaults": None,
        **data(),
        "model_defaults": {"asr_enc_hidden": WIDTH, "lm_enc_hidden": WIDTH, "lm_dec_hidden": WIDTH},
        "tokenizer": {
            "dir": None,
            "type": "agg",
            "langs": {
                "spl_tokens": {"dir": SPECIAL, "type": "bpe"},
                "en": {"dir": TOKENIZER, "type": "bpe"},
                "de": {"dir": TOKENIZER, "type": "bpe"},
            },
            "custom_tokenizer": {
                "_target_": "nemo.collections.common.tokenizers.canary_tokenizer.CanaryTokenizer",
                "tokenizers": None,
            },
        },
        "preprocessor": mel(features=128),
        "encoder": fastconformer(feat_in=128, xscaling=False),
        "transf_encoder": {
            "_target_": f"{MODULES}.transformer.transformer_encoders.TransformerEncoder",
            "num_layers": 0,
            **transformer,
            "mask_future": False,
            "pre_ln_final_layer_norm": True,
        },
        "transf_decoder": {
            "_target_": f"{MODULES}.transformer.get_nemo_transformer",
            "model_name": None,
            "pretrained": False,
            "encoder": None,
            "pre_ln_final_layer_norm": True,
            "config_dict": {
                "max_sequence_length": 128,
                "num_token_types": 0,
                "embedding_dropout": 0.1,
                "learn_positional_encodings": False,
                "num_layers": 2,
                **transformer,
                "vocab_size": "None",
            },
        },
        "head": {
            "_target_": "nemo.collections.asr.parts.submodules.token_classifier.TokenClassifier",
            "num_layers": 1,
            "activation": "relu",
            "log_softmax": True,
            "hidden_size": WIDTH,
            "num_classes": "None",
            "dropout": 0.0,
            "use_transformer_init": True,
        },
        "decoding": {"strategy": "beam", "beam": {"beam_size": 1, "len_pen": 0.0, "max_generation_delta": 20}},
        "loss": {
            "_target_": "nemo.collections.common.losses.smoothed_cross_entropy.SmoothedCrossEntropyLoss",
            "label_smoothing": 0.0,
            "pad_id": None,
        },
    }
    return f"{MODELS}.EncDecMultiTaskModel", changed(config, changes or {})


_QUARTZNET = (
    block(24, 33, stride=[2]),
    block(24, 33, repeat=3, residual=True),
    block(32, 39, repeat=2, residual=True),
    block(32, 17, dilation=[2]),
    block(32, 1, separable=False),
)
_SE = {"se": True, "se_context_size": -1}
_CITRINET = (
    block(24, 5, **_SE),
    block(24, 11, repeat=3, stride=[2], stride_last=True, residual=True, residual_mode="stride_add", **_SE),
    block(24, 13, repeat=2, residual=True, kernel_size_factor=0.25, **_SE),
    block(32, 41, **_SE),
)
_TITANET = (
    block(24, 3, **_SE),
    block(24, 7, repeat=3, residual=True, **_SE),
    block(24, 11, repeat=2, residual=True, **_SE),
    block(32, 1, **_SE),
)
_MATCHBOXNET = (
    block(24, 11),
    block(16, 13, residual=True),
    block(16, 15, residual=True),
    block(24, 29, dilation=[2]),
    block(24, 1, separable=False),
)
_JASPER = (
    block(24, 11, stride=[2], separable=False),
    block(24, 11, repeat=2, residual=True, residual_dense=True, separable=False),
    block(32, 13, repeat=2, residual=True, residual_dense=True, separable=False),
    block(32, 1, separable=False),
)

#: Name -> (class, configuration).
CONFIGURATIONS: dict[str, tuple[str, Config]] = {
    # CTC, convolutional
    "quartznet": ctc(conv(*_QUARTZNET, feat_in=64), preprocessor=mel(features=64, window_size=0.02, pad_to=16)),
    "quartznet, no mask": ctc(conv(*_QUARTZNET, conv_mask=False)),
    "jasper dense": ctc(conv(*_JASPER)),
    "citrinet": ctc(conv(*_CITRINET), preprocessor=mel(pad_to=16), **subwords()),
    "contextnet": ctc(
        conv(
            block(24, 5, residual=False, **_SE),
            block(24, 5, repeat=5, residual=True, stride=[2], stride_last=True, residual_mode="stride_add", **_SE),
            block(WIDTH, 5, **_SE),
            activation="swish",
        ),
        **subwords(),
    ),
    "groups and heads": ctc(
        conv(block(24, 5, groups=4, separable=False, stride=[2]), block(32, 5, heads=8, repeat=2, residual=True))
    ),
    "limited future": ctc(conv(block(24, 11, future_context=2, stride=[2]), block(32, 7, future_context=0))),
    # CTC, Conformer
    "conformer": ctc(conformer(), **subwords()),
    "conformer, characters": ctc(conformer()),
    "conformer, features": ctc(
        conformer(),
        preprocessor=mel(normalize="all_features", preemph=None, log_zero_guard_type="clamp", window="hamming"),
    ),
    "conformer, no normalisation": ctc(conformer(), preprocessor=mel(normalize="NA", mel_norm=None, lowfreq=20)),
    "vggnet": ctc(conformer(subsampling="vggnet")),
    "stacking": ctc(conformer(subsampling="stacking")),
    "stacking norm": ctc(conformer(subsampling="stacking_norm")),
    "no subsampling": ctc(conformer(subsampling_factor=1)),
    "absolute positions": ctc(conformer(self_attention_model="abs_pos")),
    "tied biases": ctc(conformer(untie_biases=False)),
    "layer norm": ctc(conformer(conv_norm_type="layer_norm", xscaling=False)),
    "group norm": ctc(conformer(conv_norm_type="group_norm4")),
    "instance norm": ctc(conformer(conv_norm_type="instance_norm")),
    "no bias": ctc(conformer(use_bias=False)),
    "reduction": ctc(conformer(reduction="pooling", reduction_position=0, reduction_factor=2)),
    "reduction at the end": ctc(conformer(reduction="striding", reduction_position=-1, reduction_factor=2)),
    "output projection": ctc(conformer(feat_out=40), width=40),
    "fastconformer": ctc(fastconformer(), **subwords()),
    "local attention": ctc(fastconformer(self_attention_model="rel_pos_local_attn", att_context_size=[8, 8])),
    "global tokens": ctc(
        fastconformer(
            self_attention_model="rel_pos_local_attn",
            att_context_size=[8, 8],
            global_tokens=1,
            global_attn_separate=True,
        )
    ),
    "limited context": ctc(fastconformer(att_context_size=[10, 2])),
    "streaming": ctc(
        fastconformer(
            causal_downsampling=True,
            att_context_size=[[20, 4], [20, 1], [20, 0]],
            att_context_style="chunked_limited",
            conv_context_size="causal",
            conv_norm_type="layer_norm",
        ),
        preprocessor=mel(normalize="NA"),
        **subwords(),
    ),
    "squeezeformer": ctc(squeezeformer(), **subwords()),
    "squeezeformer, no scale": ctc(squeezeformer(adaptive_scale=False, time_reduce_idx=None, subsampling="striding")),
    # transducers
    "fastconformer rnnt": transducer(fastconformer(), **subwords()),
    "conformer rnnt, characters": transducer(conformer()),
    "contextnet rnnt": transducer(conv(*_CITRINET[:3], block(WIDTH, 5, **_SE)), **subwords()),
    "lstm encoder rnnt": transducer(
        {
            "_target_": f"{MODULES}.RNNEncoder",
            "feat_in": 80,
            "n_layers": 2,
            "d_model": 40,
            "proj_size": WIDTH,
            "rnn_type": "lstm",
            "bidirectional": False,
            "subsampling": "striding",
            "subsampling_factor": 4,
            "subsampling_conv_channels": 16,
            "dropout": 0.1,
        },
        **subwords(),
    ),
    "two layers, fused": transducer(
        fastconformer(),
        {
            "decoder.prednet.pred_rnn_layers": 2,
            "joint.fuse_loss_wer": True,
            "joint.jointnet.dropout": 0.0,
            "joint.jointnet.activation": "tanh",
        },
        **subwords(),
    ),
    "layer norm lstm": transducer(
        fastconformer(), {"decoder.normalization_mode": "layer", "decoder.prednet.dropout": 0.0}, **subwords()
    ),
    "stateless": transducer(
        fastconformer(),
        {
            "decoder": {
                "_target_": f"{MODULES}.StatelessTransducerDecoder",
                "context_size": 2,
                "normalization_mode": "layer",
                "prednet": {"pred_hidden": 24, "dropout": 0.1},
            }
        },
        **subwords(),
    ),
    "tdt": tdt(fastconformer(), **subwords()),
    "tdt, characters": tdt(fastconformer()),
    "multiblank": transducer(
        fastconformer(),
        {
            "joint.num_extra_outputs": 2,
            "decoding": {
                "strategy": "greedy",
                "model_type": "multiblank",
                "big_blank_durations": [2, 4],
                "greedy": {"max_symbols": 5},
            },
            "loss": {"loss_name": "multiblank_rnnt", "multiblank_rnnt_kwargs": {"big_blank_durations": [2, 4]}},
        },
        **subwords(),
    ),
    "hat": transducer(
        fastconformer(),
        {"joint._target_": f"{MODULES}.hybrid_autoregressive_transducer.HATJoint", "decoding.strategy": "greedy"},
        **subwords(),
    ),
    "hybrid": transducer(fastconformer(), **subwords(), **auxiliary([])),
    "hybrid tdt": tdt(fastconformer(), **subwords(), **auxiliary([])),
    "hybrid, characters": transducer(fastconformer(), **auxiliary(LABELS)),
    # classes and speakers
    "matchboxnet": classification(mfcc(), conv(*_MATCHBOXNET, feat_in=64), 24, pooling_type="avg"),
    "marblenet": classification(mel(), conv(*_MATCHBOXNET), 24, pooling_type="max"),
    "titanet": speaker(conv(*_TITANET), 32, angular=True, pool_mode="attention"),
    "speakernet": speaker(conv(*_TITANET), 32, pool_mode="xvector", emb_sizes=[24, 16]),
    "ambernet": speaker(conv(*_TITANET), 32, pool_mode="tap"),
    # attention
    "canary": canary(),
    "canary, transformer encoder": canary({"transf_encoder.num_layers": 2}),
    "canary2": canary({"prompt_format": "canary2"}),
}

#: Where the two are meant to differ, and why.
KNOWN: dict[str, str] = {
    "quartznet, no mask": "without masks NeMo takes the frames of the features for those of the encoder",
    "vggnet": "NeMo cannot run it",
    "layer norm lstm": "NeMo cannot run it",
    "stacking": "whether a stack that is not full counts depends on the padding of the batch in NeMo",
    "stacking norm": "whether a stack that is not full counts depends on the padding of the batch in NeMo",
    "tdt, characters": "NeMo leaves the last characters of the alphabet out of texts, as many as there are durations",
    "group norm": "NeMo's norm sees the padding of a batch; ours does not",
    "instance norm": "NeMo's norm sees the padding of a batch; ours does not",
}
