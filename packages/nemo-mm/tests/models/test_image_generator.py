from __future__ import annotations

import pytest
import torch
from generation_support import make_autoencoder, make_generator
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ArchiveError, ConfigError, DataError
from nemo_core.training import train
from nemo_mm.diffusion import GaussianDiffusion
from nemo_mm.models import ImageGenerator, Pretrained, restore
from nemo_mm.modules import CharacterEncoder

MODEL = make_generator()
STOCHASTIC = make_generator(process=GaussianDiffusion(20, sampler="ddpm"))


def close(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether pictures are the same but for rounding at the edge between two values."""
    return first.shape == second.shape and int((first.int() - second.int()).abs().max()) <= 1


@pytest.mark.parametrize("model", [MODEL, STOCHASTIC], ids=["flow", "ddpm"])
@settings(deadline=None, max_examples=8)
@given(n=st.integers(1, 4), batch_size=st.integers(1, 5), seed=st.integers(0, 2**31), guidance=st.sampled_from([1, 3]))
def test_an_image_depends_on_its_seed_and_class_and_not_on_its_company(model, n, batch_size, seed, guidance):
    options = {"steps": 3, "seed": seed, "guidance": guidance}
    several = model.sample(["cat", "owl"], n=n, batch_size=batch_size, **options)
    assert several.shape == (2 * n, 1, 8, 8)
    assert close(several, model.sample(["cat", "owl"], n=n, **options))
    assert close(several[n:], model.sample(["owl"], n=n, **options))
    assert close(several[n : n + 1], model.sample(2, **options))


def test_seeds_classes_guidance_and_steps_matter():
    images = [
        MODEL.sample("cat", steps=4),
        MODEL.sample("cat", steps=4, seed=1),
        MODEL.sample("dog", steps=4),
        MODEL.sample("cat", steps=4, guidance=3),
        MODEL.sample(steps=4),
        MODEL.sample("cat", steps=2),
        MODEL.sample("cat", steps=4, sampler="euler"),
    ]
    for i, one in enumerate(images):
        assert all(not torch.equal(one, other) for other in images[i + 1 :])
    assert torch.equal(images[0], MODEL.sample(["0"], steps=4))
    assert torch.equal(MODEL.sample("cat", steps=4, guidance=0), images[4])


def test_decoding_is_the_way_back():
    images = torch.randint(256, (2, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(MODEL.decode(MODEL.encode(images)), images)


def test_an_archive_makes_the_same_images(tmp_path):
    MODEL.save(tmp_path / "model.nemo")
    again = restore(tmp_path / "model.nemo")
    assert torch.equal(again.sample("dog", n=2, steps=3), MODEL.sample("dog", n=2, steps=3))


def test_an_autoencoder_that_was_trained_elsewhere_goes_along(tmp_path):
    autoencoder = make_autoencoder()
    autoencoder.latent_std.fill_(2.0)
    autoencoder.save(tmp_path / "autoencoder.nemo")
    model = make_generator(
        autoencoder=Pretrained(str(tmp_path / "autoencoder.nemo")), network={"image_size": 4, "channels": 2}
    )
    assert not any(weight.requires_grad for weight in model.autoencoder.parameters())
    assert not model.train().autoencoder.training
    model.eval()
    expected = model.sample("cat", steps=2)
    assert expected.shape == (1, 1, 8, 8)
    model.save(tmp_path / "model.nemo")
    (tmp_path / "autoencoder.nemo").unlink()
    again = restore(tmp_path / "model.nemo")
    assert again.autoencoder.latent_std == 2
    assert torch.equal(again.sample("cat", steps=2), expected)


def test_texts_are_another_condition(tmp_path):
    torch.manual_seed(0)
    model = make_generator(
        network={"classes": None, "text_width": 8}, text_encoder=CharacterEncoder(8), train_text_encoder=True
    )
    images = model.sample(texts=["a cat", "an owl at night"], n=2, steps=3, guidance=2)
    assert images.shape == (4, 1, 8, 8)
    assert not torch.equal(images[0], images[2])
    assert close(images[:2], model.sample(texts="a cat", n=2, steps=3, guidance=2))
    model.save(tmp_path / "model.nemo")
    assert torch.equal(
        restore(tmp_path / "model.nemo").sample(texts="a cat", steps=3), model.sample(texts="a cat", steps=3)
    )
    with pytest.raises(ConfigError, match="no images of classes"):
        model.sample("cat")
    with pytest.raises(DataError, match="0 bytes"):
        model.sample(texts="")


def test_without_a_condition_images_are_made_all_the_same():
    model = make_generator(network={"classes": None})
    assert model.sample(n=3, steps=2).shape == (3, 1, 8, 8)
    with pytest.raises(ConfigError, match="no images of classes") as caught:
        model.sample("cat")
    assert caught.value.hint == "it takes no condition at all"


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        ({"classes": "bat"}, "no class 'bat'", "cat"),
        ({"classes": 3}, "no class 3", "cat, dog, owl"),
        ({"classes": -1}, "no class -1", "cat"),
        ({"classes": []}, "no class is given", "leave"),
        ({"texts": "a cat"}, "no images of texts", "classes: cat, dog, owl"),
        ({"classes": 0, "n": 0}, "0 images", "one"),
        ({"classes": 0, "batch_size": 0}, "batches of 0", "one"),
        ({"classes": 0, "steps": 0}, "not 0", "20"),
        ({"classes": 0, "sampler": "ddim"}, "no sampler 'ddim'", "heun"),
        ({"classes": 0, "guidance": -1.0}, "guidance -1.0", "1 is none"),
        ({"classes": 0, "guidance": float("nan")}, "guidance nan", "1 is none"),
        ({"guidance": 2.0}, "needs a class or a text", "give one"),
    ],
)
def test_what_cannot_be_made_is_said(arguments, said, hint):
    with pytest.raises(ConfigError, match=said) as caught:
        MODEL.sample(**{"steps": 1, **arguments})
    assert hint in caught.value.hint


def test_guidance_needs_a_model_that_knows_what_no_condition_is():
    model = make_generator(condition_dropout=0.0)
    with pytest.raises(ConfigError, match="never trained without a condition"):
        model.sample("cat", steps=1, guidance=2.0)
    assert model.sample("cat", steps=1).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"network": {"image_size": 4}}, r"images are \(1, 8, 8\)"),
        ({"network": {"channels": 3}}, r"made for \(3, 8, 8\)"),
        ({"network": {"text_width": 4}}, "needs a text encoder"),
        ({"text_encoder": CharacterEncoder(4)}, "needs a text encoder"),
        ({"network": {"text_width": 6}, "text_encoder": CharacterEncoder(4)}, "encoded in 4 numbers"),
        ({"class_names": ["cat"]}, "1 names for 3 classes"),
        ({"condition_dropout": 1.0}, "not a share below 1"),
        ({"steps": 0}, "steps 0"),
        ({"autoencoder": make_autoencoder()}, r"latents are \(2, 4, 4\)"),
        ({"autoencoder": CharacterEncoder(4)}, "a CharacterEncoder, not AutoencoderKL"),
    ],
)
def test_parts_that_do_not_fit_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        make_generator(**options)


# -------------------------------------------------------------------------------------------------------- training


def recipe(tmp_path, **model):
    network = {"_target_": "mm.DiT", "image_size": 28, "channels": 1, "patch_size": 7, "width": 32, "depth": 1}
    return {
        "name": "made",
        "model": {
            "_target_": "mm.ImageGenerator",
            "transform": {"_target_": "mm.ImageTransform", "size": 28, "mean": [0.5], "std": [0.5]},
            "network": {**network, "heads": 2, "classes": 10},
            "process": {"_target_": "mm.FlowMatching"},
            **model,
        },
        "data": {
            "_target_": "mm.PictureData",
            "train": {"_target_": "mm.Mnist", "split": "train", "limit": 128},
            "validation": {"_target_": "mm.Mnist", "split": "test", "limit": 64},
            "test": {"_target_": "mm.Mnist", "split": "test", "limit": 64},
            "batch_size": 32,
            "eval_batch_size": 64,
        },
        "optim": {"name": "adamw", "lr": 3e-3},
        "trainer": {"max_epochs": 6, "accelerator": "cpu", "enable_progress_bar": False},
        "experiment": {
            "dir": str(tmp_path / "runs"),
            "tensorboard": False,
            "curve": False,
            "ema": {"enable": True, "decay": 0.5},
        },
    }


@pytest.mark.parametrize("process", ["FlowMatching", "GaussianDiffusion"])
def test_training_learns_and_its_archive_samples(tmp_path, process):
    result = train(recipe(tmp_path, process={"_target_": f"mm.{process}"}))
    model = restore(result.archive, expect=ImageGenerator)
    fresh = ImageGenerator.from_config(recipe(tmp_path, process={"_target_": f"mm.{process}"})["model"])
    batch = _batch()
    untrained, trained = (_loss(each, batch) for each in (fresh, model))
    assert trained < 0.75 * untrained
    assert result.metrics["test_loss"] == pytest.approx(trained, rel=1e-3)
    assert model.sample(7, n=2, steps=2).shape == (2, 1, 28, 28)


def _batch():
    from nemo_mm.data import Mnist, PictureData

    return next(iter(PictureData(test=Mnist("test", limit=64), eval_batch_size=64).test_dataloader()[0]))


def _loss(model, batch):
    found = {}
    model.log = lambda name, value, **_: found.update({name: float(value)})
    with torch.no_grad():
        model.eval().test_step(batch, 0)
    return found["test_loss"]


def test_validation_is_the_same_every_time(tmp_path):
    model = ImageGenerator.from_config(recipe(tmp_path)["model"])
    torch.nn.init.normal_(model.network.patch_out.weight)
    assert _loss(model, _batch()) == _loss(model, _batch())


def test_data_without_what_the_model_is_told_is_refused():
    from nemo_mm.data import PictureBatch

    with pytest.raises(DataError, match="no classes"):
        MODEL._conditions(PictureBatch(torch.zeros(1, 1, 8, 8)))


def test_what_is_no_generator_is_said(tmp_path):
    make_autoencoder().save(tmp_path / "other.nemo")
    with pytest.raises(ArchiveError, match="AutoencoderKL"):
        restore(tmp_path / "other.nemo", expect=ImageGenerator)
