from __future__ import annotations

import json

import pytest
import torch
from generation_support import LATENTS, make_autoencoder, make_judge, transform
from safetensors.torch import save_file

from nemo_core.errors import ConfigError, DataError
from nemo_core.testing.modules import check_module
from nemo_core.training import train
from nemo_mm.models import AutoencoderKL, Pretrained, restore
from nemo_mm.modules import ImageDecoder, ImageEncoder

DIFFUSERS = {
    "_class_name": "AutoencoderKL",
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": [8, 16, 16],
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
    "layers_per_block": 2,
    "norm_num_groups": 4,
    "sample_size": 16,
    "scaling_factor": 0.25,
}


@pytest.mark.parametrize("cls", [ImageEncoder, ImageDecoder])
@pytest.mark.parametrize("attention", [True, False])
def test_parts_keep_what_modules_promise(cls, attention):
    check_module(lambda: cls(**LATENTS, attention=attention))


def test_latents_are_as_small_as_said():
    model = make_autoencoder()
    pixels = torch.randn(2, 1, 8, 8)
    assert model.latents(pixels).shape == (2, *model.latent_shape(1, 8, 8)) == (2, 2, 4, 4)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 1, 8, 8)
    with pytest.raises(ConfigError, match="2 times smaller"):
        model.latent_shape(1, 9, 8)
    with pytest.raises(ConfigError, match="does not fit"):
        model.latent_shape(3, 8, 8)


def test_scaled_latents_are_the_way_back():
    model = make_autoencoder()
    model.latent_mean.fill_(0.3)
    model.latent_std.fill_(2.5)
    pixels = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(model.pixels(model.latents(pixels)), model.decode(model.moments(pixels)[0]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"decoder": ImageDecoder(**{**LATENTS, "latent_channels": 3})}, "differ in channels"),
        ({"encoder": ImageEncoder(**{**LATENTS, "channels": 3})}, "differ in channels"),
        ({"transform": transform(9)}, "2 times smaller"),
        ({"perceptual_weight": 0.1}, "needs a judge"),
    ],
)
def test_parts_that_do_not_fit_are_refused(options, said):
    parts = {"transform": transform(), "encoder": ImageEncoder(**LATENTS), "decoder": ImageDecoder(**LATENTS)}
    with pytest.raises(ConfigError, match=said):
        AutoencoderKL(**{**parts, **options})


def test_widths_that_groups_do_not_divide_are_refused():
    with pytest.raises(ConfigError, match="groups divides all widths"):
        ImageEncoder(1, 2, widths=[4, 6], groups=4)


def test_the_divergence_is_that_of_normal_distributions():
    model = make_autoencoder(kl_weight=1.0)
    found = {}
    model.log_dict = lambda values, **_: found.update(values)
    model.log = lambda *_, **__: None
    mean, log_variance = torch.randn(2, 2, 2, 4, 4)
    pixels = torch.zeros(2, 1, 8, 8)
    model._loss("train", pixels, pixels, mean, log_variance)
    one = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(one, torch.distributions.Normal(0.0, 1.0)).sum() / pixels.numel()
    torch.testing.assert_close(found["train_kl"], expected)
    assert found["train_rec"] == 0


def test_training_brings_images_back_and_makes_latents_of_one_size(tmp_path):
    make_judge([str(i) for i in range(10)], 28).save(tmp_path / "judge.nemo")
    config = {
        "name": "made",
        "model": {
            "_target_": "mm.AutoencoderKL",
            "transform": {"_target_": "mm.ImageTransform", "size": 28, "mean": [0.5], "std": [0.5]},
            "encoder": {"_target_": "mm.ImageEncoder", **LATENTS},
            "decoder": {"_target_": "mm.ImageDecoder", **LATENTS},
            "judge": {"_target_": "mm.Pretrained", "path": str(tmp_path / "judge.nemo")},
            "perceptual_weight": 0.1,
        },
        "data": {
            "_target_": "mm.PictureData",
            "train": {"_target_": "mm.Mnist", "split": "train", "limit": 128},
            "validation": {"_target_": "mm.Mnist", "split": "test", "limit": 32},
            "batch_size": 16,
        },
        "optim": {"name": "adamw", "lr": 1e-2},
        "trainer": {"max_epochs": 6, "accelerator": "cpu", "enable_progress_bar": False},
        "experiment": {"dir": str(tmp_path / "runs"), "tensorboard": False, "curve": False},
    }
    result = train(config)
    model = restore(result.archive)
    pixels = _pixels()
    with torch.no_grad():
        back = model.decode(model.moments(pixels)[0])
        latents = model.latents(pixels)
    assert float((back - pixels).abs().mean()) < 0.6 * float((pixels - pixels.mean()).abs().mean())
    assert float(latents.std()) == pytest.approx(1, abs=0.1)
    assert float(latents.mean()) == pytest.approx(0, abs=0.1)
    assert result.metrics["val_perceptual"] > 0
    assert not any(weight.requires_grad for weight in model.judge.parameters())


def _pixels():
    from nemo_mm.data import Mnist

    return transform(28)(images=torch.tensor(Mnist("test", limit=32).images))


# ------------------------------------------------------------------------------------------------------- diffusers


def written(folder, config=DIFFUSERS, rename=lambda name: name, drop=()):
    """A model in the layout of diffusers, with weights of our own."""
    torch.manual_seed(0)
    sizes = {"channels": 3, "latent_channels": 4, "widths": [8, 16, 16], "layers": 2, "groups": 4}
    model = AutoencoderKL(
        transform_rgb(), ImageEncoder(**sizes), ImageDecoder(**sizes), quant_conv=config.get("use_quant_conv", True)
    ).eval()
    state = {name: weight for name, weight in model.state_dict().items() if not name.startswith("latent_")}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {rename(name): weight.clone() for name, weight in state.items() if name not in drop},
        folder / "diffusion_pytorch_model.safetensors",
    )
    return model


def transform_rgb():
    from nemo_mm.images import ImageTransform

    return ImageTransform(16, mean=[0.5] * 3, std=[0.5] * 3)


def test_weights_of_diffusers_are_taken_as_they_are(tmp_path):
    """The reference is the library itself; nothing of ours needs it."""
    diffusers = pytest.importorskip("diffusers", reason="the library diffusers is not installed")
    torch.manual_seed(0)
    settings = {key: value for key, value in DIFFUSERS.items() if not key.startswith("_")}
    theirs = diffusers.AutoencoderKL(**settings).eval()
    theirs.save_pretrained(tmp_path / "vae")
    ours = AutoencoderKL.from_diffusers(tmp_path / "vae")
    pixels = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        latents = theirs.encode(pixels).latent_dist.mode()
        torch.testing.assert_close(ours.latents(pixels), latents * 0.25, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.decode(latents), theirs.decode(latents).sample, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("quant", [True, False])
def test_old_and_new_names_of_diffusers_are_read(tmp_path, quant):
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(name):
        for new, before in old.items():
            name = name.replace(f".{new}.", f".{before}.")
        return name

    config = {**DIFFUSERS, "use_quant_conv": quant, "shift_factor": 0.5}
    model = written(tmp_path / "vae", config, rename)
    found = AutoencoderKL.from_diffusers(tmp_path / "vae")
    pixels = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(found.latents(pixels), 0.25 * (model.moments(pixels)[0] - 0.5))
    found.save(tmp_path / "vae.nemo")
    torch.testing.assert_close(restore(tmp_path / "vae.nemo").latents(pixels), found.latents(pixels))
    part = Pretrained(str(tmp_path / "vae.nemo"), "encoder").load()
    assert isinstance(part, ImageEncoder)
    with pytest.raises(ConfigError, match="has no part 'vision'"):
        Pretrained(str(tmp_path / "vae.nemo"), "vision").load()


@pytest.mark.parametrize(
    ("config", "drop", "error", "said"),
    [
        ({**DIFFUSERS, "_class_name": "VQModel"}, (), ConfigError, "is a VQModel"),
        ({**DIFFUSERS, "down_block_types": ["AttnDownEncoderBlock2D"]}, (), ConfigError, "AttnDownEncoderBlock2D"),
        (DIFFUSERS, ("encoder.conv_in.weight",), ConfigError, "encoder.conv_in.weight"),
        ({**DIFFUSERS, "block_out_channels": [8, 16, 32]}, (), ConfigError, "as configured"),
    ],
)
def test_what_cannot_be_read_of_diffusers_is_said(tmp_path, config, drop, error, said):
    written(tmp_path / "vae", config, drop=drop)
    with pytest.raises(error, match=said):
        AutoencoderKL.from_diffusers(tmp_path / "vae")


def test_a_folder_without_a_model_is_said(tmp_path):
    with pytest.raises(DataError, match="no model of diffusers"):
        AutoencoderKL.from_diffusers(tmp_path)
    written(tmp_path / "vae")
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(DataError, match="no model of diffusers"):
        AutoencoderKL.from_diffusers(tmp_path / "vae")
