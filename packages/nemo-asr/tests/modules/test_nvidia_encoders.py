"""Encoders that carry NVIDIA's weights give NVIDIA's numbers."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from nemo_asr.models.nvidia import acoustic_config, ctc_weights
from nemo_asr.modules import LSTMEncoder, SqueezeformerEncoder
from nemo_core.config import Trust, instantiate
from nemo_core.models.archive import Archive

# Name of the archive, and what its reference outputs call the encoder's output, (B, D, T) or (B, T, D).
ARCHIVES = {
    "fastconformer_rnnt_bpe": "encoded",
    "fastconformer_hybrid_tdt_ctc_bpe": "encoded",
    "canary_aed": "enc_states",
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_features_and_encoder_of_an_archive(nvidia, name):
    folder = nvidia / name
    expected = {key: torch.from_numpy(value) for key, value in np.load(folder / "expected.npz").items()}
    with Archive(folder / f"{name}.nemo") as archive:
        node = acoustic_config(archive.config)
        state = torch.load(io.BytesIO(archive.view("model_weights.ckpt")), weights_only=True)
    preprocessor, encoder = (
        instantiate(node[part], trust=Trust.archive()).eval() for part in ("preprocessor", "encoder")
    )
    weights = {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}
    encoder.load_state_dict(ctc_weights(weights, encoder.state_dict().keys()))
    with torch.no_grad():
        features, length = preprocessor(audio=expected["audio"], length=expected["audio_len"])
        assert length.tolist() == expected["features_len"].tolist()
        encoded, frames = encoder(features=features, length=length)
    assert frames.tolist() == expected["encoded_len"].tolist()
    if ARCHIVES[name] == "enc_states":
        encoded = encoded.transpose(1, 2)
        inside = torch.arange(encoded.shape[1]) < frames[:, None]
        assert (inside == expected["enc_mask"].bool()).all()
    close(features, expected["features"])
    for index, count in enumerate(frames):
        axis = 0 if ARCHIVES[name] == "enc_states" else 1
        ours, theirs = (x[index].narrow(axis, 0, int(count)) for x in (encoded, expected[ARCHIVES[name]]))
        close(ours, theirs)


def close(ours, theirs):
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


def spread(shape, start):
    """Numbers in [-1, 1) that look random and are the same everywhere."""
    count = torch.Size(shape).numel()
    return (((torch.arange(count) * 7919 + start * 104_729) % 10_007).double() / 5003.5 - 1).float().reshape(shape)


def filled(module):
    """Give ``module`` weights that depend on nothing but their names and shapes."""
    with torch.no_grad():
        for place, (name, weight) in enumerate(sorted(module.state_dict().items())):
            if not weight.is_floating_point():
                continue
            values = spread(weight.shape, place)
            if weight.ndim > 1 and "pos_bias" not in name:
                weight.copy_(values * (3 / weight[0].numel()) ** 0.5)
            else:
                weight.copy_(values * 0.5 + ("scale" in name or "running_var" in name or name.endswith("weight")))
    return module.eval()


SMALL = {"feat_in": 10, "d_model": 16}
LSTM = {**SMALL, "n_layers": 2, "proj_size": 12}

# Shape and numbers as computed by NVIDIA NeMo 2.7.3 with the weights and input of `filled` and `spread`: at
# (0, 0), (3, 1), (7, -2), (11, -1), and the mean magnitude.
NUMBERS = {
    "squeezeformer": (
        lambda: SqueezeformerEncoder(**SMALL, n_layers=3, time_reduce_idx=1),
        ((16, 11), [-3.7622, -0.05937, 0.53075, -1.32746], 0.97356),
    ),
    "squeezeformer, recovery before the last layer": (
        lambda: SqueezeformerEncoder(
            **SMALL,
            n_layers=5,
            n_heads=2,
            time_reduce_idx=1,
            time_recovery_idx=3,
            conv_kernel_size=7,
            untie_biases=False,
            conv_norm_type="layer_norm",
            feat_out=12,
        ),
        ((12, 11), [-1.31072, -0.89964, 1.57961, -1.29335], 1.37087),
    ),
    "squeezeformer, absolute positions": (
        lambda: SqueezeformerEncoder(
            **SMALL,
            n_layers=3,
            self_attention_model="abs_pos",
            time_reduce_idx=0,
            adaptive_scale=False,
            subsampling="striding",
        ),
        ((16, 11), [-0.16408, -1.06787, -1.799, 1.24399], 0.88635),
    ),
    "squeezeformer, limited context": (
        lambda: SqueezeformerEncoder(
            **SMALL,
            n_layers=3,
            att_context_size=[5, 2],
            time_reduce_idx=1,
            xscaling=False,
            subsampling="stacking",
            subsampling_factor=2,
        ),
        ((16, 21), [-3.75748, -0.05827, 0.69283, -0.80172], 0.93581),
    ),
    "squeezeformer, no reduction": (
        lambda: SqueezeformerEncoder(**SMALL, n_layers=2, subsampling_factor=8, subsampling_conv_channels=8),
        ((16, 6), [-0.19821, -2.75326, 0.02813, -0.34756], 0.72374),
    ),
    "lstm, both directions": (
        lambda: LSTMEncoder(**LSTM, subsampling="stacking"),
        ((12, 10), [-1.4945, -0.53304, 0.26317, 1.27934], 0.84461),
    ),
    "lstm, one direction": (
        lambda: LSTMEncoder(**LSTM, bidirectional=False, subsampling="striding", subsampling_conv_channels=4),
        ((12, 11), [-0.00513, 0.1366, 0.32421, -0.38347], 0.73386),
    ),
    "lstm, norm before stacking": (
        lambda: LSTMEncoder(**LSTM, subsampling="stacking_norm", subsampling_factor=2),
        ((12, 21), [-1.71824, -0.68712, 0.3887, 0.34299], 0.82136),
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_nemo(name):
    make, (shape, numbers, magnitude) = NUMBERS[name]
    features = 2 * spread((1, 10, 44), 99)
    features[:, :, 43:] = 0  # as NeMo's front ends give them: a frame more than they count
    with torch.no_grad():
        (encoded,), frames = filled(make())(features, torch.tensor([43]))
    encoded = encoded[:, :frames]
    assert tuple(encoded.shape) == shape
    assert [encoded[at].item() for at in ((0, 0), (3, 1), (7, -2), (11, -1))] == pytest.approx(numbers, abs=5e-5)
    assert encoded.abs().mean().item() == pytest.approx(magnitude, abs=5e-5)
