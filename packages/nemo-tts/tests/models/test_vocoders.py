from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from speech_support import MEL

from nemo_core.audio import MelSpectrogram
from nemo_core.config import Trust, compose, instantiate
from nemo_core.config.build import plain
from nemo_core.errors import ConfigError, DataError, ExportError, TrainingError
from nemo_core.models import export
from nemo_core.training import train
from nemo_tts.data import SpeechFeatures, SpokenDigits, VocoderData
from nemo_tts.data.voice_spectrograms import VoiceSpectrograms
from nemo_tts.models import GriffinLim, HiFiGan, restore
from nemo_tts.modules import HiFiGanGenerator, ISTFTGenerator, MultiPeriodDiscriminator, MultiScaleDiscriminator

SMALL: dict[str, Any] = {
    "upsample_rates": [8, 8],
    "upsample_kernel_sizes": [16, 16],
    "upsample_initial_channel": 16,
    "initial_input_size": 12,
}


def make_hifigan(discriminators: bool = False, **changes: Any) -> HiFiGan:
    torch.manual_seed(0)
    parts = {"mpd": MultiPeriodDiscriminator([2, 3], [4, 8]), "msd": MultiScaleDiscriminator(2, 0.125)}
    return HiFiGan(
        MelSpectrogram(**{**MEL, **changes}), HiFiGanGenerator(**SMALL), **(parts if discriminators else {})
    ).eval()


VOCODERS = {"hifigan": make_hifigan(), "griffin_lim": GriffinLim(MelSpectrogram(**MEL), iterations=3)}


def test_nvidias_archive_gives_nvidias_audio(nvidia):
    model = restore(nvidia / "hifigan" / "hifigan.nemo")
    assert isinstance(model, HiFiGan)
    assert model.load_report.complete
    expected = np.load(nvidia / "hifigan" / "expected.npz")
    audio = model.vocode(torch.from_numpy(expected["spec"]))
    np.testing.assert_allclose(audio.numpy(), expected["audio"], rtol=1e-4, atol=1e-6)


def test_an_exported_archive_is_the_one_that_was_restored(nvidia, tmp_path):
    model = restore(nvidia / "hifigan" / "hifigan.nemo")
    export(model, tmp_path / "nvidia.nemo", "nvidia-nemo")
    again = restore(tmp_path / "nvidia.nemo")
    spectrogram = torch.randn(1, 80, 5)
    assert torch.equal(model.vocode(spectrogram), again.vocode(spectrogram))


def test_discriminators_go_to_nvidias_archives_and_come_back(tmp_path):
    model = HiFiGan(
        MelSpectrogram(**MEL), HiFiGanGenerator(**SMALL), MultiPeriodDiscriminator(), MultiScaleDiscriminator()
    )
    export(model, tmp_path / "nvidia.nemo", "nvidia-nemo")
    wishes = [
        f"{part}._target_=tts.{kind}Discriminator" for part, kind in (("mpd", "MultiPeriod"), ("msd", "MultiScale"))
    ]
    again = restore(tmp_path / "nvidia.nemo", override_config=wishes)
    state = again.state_dict()
    assert all(torch.equal(weight, state[name]) for name, weight in model.state_dict().items())
    assert restore(tmp_path / "nvidia.nemo").mpd is None


def test_the_flat_names_of_the_first_archives_are_known():
    ours = VOCODERS["hifigan"].state_dict()
    flat = {}
    for name, weight in ours.items():
        parts = name.split(".")
        if parts[1] == "resblocks":
            parts[2:4] = [str(int(parts[2]) * 3 + int(parts[3]))]
        flat[".".join(parts)] = weight
    assert flat.keys() != ours.keys()
    found = VOCODERS["hifigan"].nvidia_weights(flat)
    assert all(found[name] is weight for name, weight in ours.items())


def test_what_nvidia_nemo_does_not_have_is_not_exported(tmp_path):
    model = HiFiGan(MelSpectrogram(**MEL), ISTFTGenerator(**{**SMALL, "upsample_rates": [4, 4]}))
    with pytest.raises(ExportError, match="ISTFTGenerator has no counterpart"):
        export(model, tmp_path / "nvidia.nemo", "nvidia-nemo")


@pytest.mark.parametrize("name", VOCODERS)
@settings(deadline=None, max_examples=10)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_padding_and_company_change_nothing(name, lengths, seed):
    vocoder = VOCODERS[name]
    generator = torch.Generator().manual_seed(seed)
    spectrogram = torch.randn(len(lengths), 12, 10, generator=generator)
    audio = vocoder.vocode(spectrogram, torch.tensor(lengths))
    assert audio.shape == (len(lengths), 64 * max(lengths))
    for row, length in enumerate(lengths):
        alone = vocoder.vocode(spectrogram[row, :, :length])
        torch.testing.assert_close(audio[row, : 64 * length], alone, rtol=1e-3, atol=1e-4)
        assert (audio[row, 64 * length :] == 0).all()


def test_lengths_and_generators_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="lengths"):
        VOCODERS["hifigan"].vocode(torch.zeros(1, 12, 4), torch.tensor([5]))
    with pytest.raises(ConfigError, match="64 samples of a frame, but frames are 32"):
        make_hifigan(n_window_stride=32)
    with pytest.raises(ConfigError, match="12 mel bins, but the spectrogram has 20"):
        make_hifigan(features=20)


# -------------------------------------------------------------------------------------------------------- training


@pytest.fixture
def recipe(tmp_path):

    def make(steps: int, name: str = "gan", **optim: Any) -> dict[str, Any]:
        generator = {"_target_": "tts.HiFiGanGenerator", **SMALL}
        return {
            "name": name,
            "trust": ["speech_support"],
            "seed": 1,
            "model": {
                "_target_": "tts.HiFiGan",
                "preprocessor": {"_target_": "MelSpectrogram", **MEL},
                "generator": generator,
                "mpd": {"_target_": "tts.MultiPeriodDiscriminator", "periods": [2, 3], "channels": [4, 8]},
                "msd": {"_target_": "tts.MultiScaleDiscriminator", "scales": 2, "width": 0.125},
            },
            "data": {"_target_": "speech_support.ToneData", "batch_size": 4},
            "optim": {
                "name": "adamw",
                "lr": 1e-3,
                "scheduler": {"name": "CosineAnnealing", "max_steps": 9, "warmup_steps": 2, "min_lr": 1e-5},
                **optim,
            },
            "trainer": {
                "max_epochs": None,
                "max_steps": steps,
                "accelerator": "cpu",
                "devices": 1,
                "enable_progress_bar": False,
                "log_every_n_steps": 1,
            },
            "experiment": {
                "dir": str(tmp_path / "runs"),
                "checkpoint": {"every_n_steps": 2},
                "tensorboard": False,
                "curve": False,
                "test": False,
            },
        }

    return make


def weights(path):
    return torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)


def test_a_step_of_the_run_is_a_batch_and_both_sides_learn(recipe):
    result = train(recipe(4))
    state = weights(result.run_dir)
    assert state["global_step"] == 4
    assert len(state["optimizer_states"]) == 2
    steps = {int(each["step"]) for side in state["optimizer_states"] for each in side["state"].values()}
    assert steps == {4}
    assert [each["last_epoch"] for each in state["lr_schedulers"]] == [4, 4]
    assert {"train_loss", "train_mel", "train_features", "train_adversarial", "train_discriminators"} <= set(
        result.metrics
    )
    assert "val_loss" in result.metrics
    model = restore(result.archive)
    assert model.vocode(torch.randn(12, 5)).shape == (320,)


def test_a_run_that_died_ends_as_one_that_never_did(recipe, tmp_path):
    def config(name: str) -> dict[str, Any]:
        made = recipe(7, name)
        made["trainer"]["callbacks"] = [{"_target_": "speech_support.DieOnce", "step": 5, "note": str(tmp_path / name)}]
        return made

    (tmp_path / "whole").touch()
    whole = weights(train(config("whole")).run_dir)
    with pytest.raises(TrainingError, match="died at step 5"):
        train(config("parts"))
    result = train(config("parts"))
    assert result.resumed_from is not None
    second = weights(result.run_dir)
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name
    for one, other in zip(whole["optimizer_states"], second["optimizer_states"], strict=True):
        for key, value in one["state"].items():
            for name, tensor in value.items():
                assert torch.equal(tensor, other["state"][key][name]), (key, name)


def test_training_without_discriminators_is_refused(recipe):
    config = recipe(1)
    del config["model"]["mpd"], config["model"]["msd"]
    with pytest.raises(TrainingError, match="no weights to train in the turn 'discriminators'"):
        train(config)


def test_discriminators_can_begin_later(recipe):
    config = recipe(3)
    config["model"] |= {"discriminators_from_step": 2, "stft_loss": {"_target_": "tts.MultiResolutionSTFTLoss"}}
    result = train(config)
    generator, judges = weights(result.run_dir)["optimizer_states"]
    assert {int(each["step"]) for each in generator["state"].values()} == {3}
    assert {int(each["step"]) for each in judges["state"].values()} == {1}
    assert {"train_stft", "train_discriminators"} <= set(result.metrics)


def test_a_vocoder_is_tuned_to_what_its_voice_makes(tmp_path):
    model = instantiate(plain(compose("tts/spoken_digits"))["model"], trust=Trust.user())
    path = model.save(tmp_path / "voice.nemo")
    features = SpeechFeatures(model.preprocessor, pitch_fmax=500.0)
    digits = SpokenDigits("validation", 2, features)
    data = VocoderData(digits, digits, features=features, voice=path, n_segments=640, eval_segments=1280, batch_size=2)
    batch = next(iter(data.val_dataloader()[0]))
    assert (batch.audio.shape, batch.spectrogram.shape) == ((2, 1280), (2, 40, 20))
    made = VoiceSpectrograms(path)(digits[0], features)
    assert made.shape[1] == digits[0].features.shape[1]
    torch.testing.assert_close(batch.spectrogram[0], torch.from_numpy(made[:, :20]))
    piece = next(iter(data.train_dataloader()))
    assert (piece.audio.shape, piece.spectrogram.shape) == ((2, 640), (2, 40, 10))
    settings_of = {key: value for key, value in model.preprocessor.to_config().items() if key != "_target_"}
    other = SpeechFeatures(MelSpectrogram(**{**settings_of, "features": 20}))
    with pytest.raises(ConfigError, match="other spectrograms than the vocoder"):
        VoiceSpectrograms(path)(digits[0], other)
