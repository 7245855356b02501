from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError
from nemo_mm.diffusion import GaussianDiffusion, SeededNoise
from nemo_mm.diffusion.gaussian import alphas_cumulative
from nemo_mm.diffusion.process import expand

KINDS = [("cosine", "v"), ("cosine", "epsilon"), ("linear", "v"), ("linear", "epsilon")]


def prediction_of_normal(process: GaussianDiffusion, mean: float, std: float):
    """What a perfect network would predict, where images are normal."""

    def predict(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        a = expand(process.signal(time).double(), x.double())
        around = (x.double() - a.sqrt() * mean) / (a * std**2 + 1 - a)
        noise, clean = (1 - a).sqrt() * around, mean + a.sqrt() * std**2 * around
        return noise if process.prediction == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * clean

    return predict


@pytest.mark.parametrize(("schedule", "prediction"), KINDS)
@settings(deadline=None, max_examples=8)
@given(mean=st.floats(-2, 2), std=st.floats(0.3, 1.5))
def test_ddim_leads_to_the_quantiles_of_what_was_learned(schedule, prediction, mean, std):
    process = GaussianDiffusion(1000, schedule, prediction, clip=None)
    start = SeededNoise(range(32), (1,))().double()
    found = process.sample(prediction_of_normal(process, mean, std), lambda: start, 500)
    # The last step of the noising leaves a trace of the image, which the start of sampling lacks.
    assert float((found - (mean + std * start)).abs().max()) < 0.05 * (1 + abs(mean) + std)


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_more_steps_converge(prediction):
    process = GaussianDiffusion(1000, "cosine", prediction, clip=None)
    start = SeededNoise(range(64), (1,))().double()
    predict = prediction_of_normal(process, 1.0, 0.5)
    exact = process.sample(predict, lambda: start, 1000)
    errors = [float((process.sample(predict, lambda: start, steps) - exact).abs().max()) for steps in (10, 20, 50, 200)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 10


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_ddpm_draws_from_what_was_learned(schedule):
    process = GaussianDiffusion(1000, schedule, clip=None)
    found = process.sample(prediction_of_normal(process, -1.0, 0.7), SeededNoise([1], (4000,)), 250, sampler="ddpm")
    assert float(found.mean()) == pytest.approx(-1.0, abs=0.06)
    assert float(found.std()) == pytest.approx(0.7, abs=0.06)


def test_ddpm_takes_the_steps_of_the_posterior():
    process = GaussianDiffusion(50, "linear", "epsilon", clip=None)
    k = 20
    a, a_before = process.table[k].item(), process.table[k - 1].item()
    beta = 1 - a / a_before
    x, seen = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    clean = (x - math.sqrt(1 - a) * seen) / math.sqrt(a)
    mean = math.sqrt(a_before) * beta / (1 - a) * clean + math.sqrt(1 - beta) * (1 - a_before) / (1 - a) * x
    variance = (1 - a_before) / (1 - a) * beta
    drawn = SeededNoise([3], (5,))()[0].double()
    stepped = process._step(clean, seen, a, a_before, 1.0, lambda: drawn)
    torch.testing.assert_close(stepped, mean + math.sqrt(variance) * drawn)


def test_without_eta_the_same_noise_gives_the_same_image_and_with_it_noise_comes_in():
    process = GaussianDiffusion(100)

    def sample(**options):
        drawn = []
        noise = SeededNoise([1], (3,))

        def counted():
            drawn.append(1)
            return noise()

        return GaussianDiffusion(100, **options).sample(prediction_of_normal(process, 0.0, 0.5), counted, 10), len(
            drawn
        )

    assert torch.equal(sample()[0], sample()[0])
    assert sample()[1] == 1
    assert sample(eta=0.5)[1] == 10
    assert not torch.equal(sample(eta=0.5)[0], sample()[0])
    assert torch.equal(sample(eta=1.0)[0], sample(sampler="ddpm")[0])


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("steps", [2, 10, 1000])
def test_schedules_fall_from_image_to_noise(schedule, steps):
    table = alphas_cumulative(schedule, steps)
    assert table[0] == 1
    assert bool((table[1:] < table[:-1]).all())
    assert 0 < table[-1] < 0.25 if steps == 2 else 0 < table[-1] < 1e-2


def test_the_linear_schedule_is_that_of_the_paper():
    betas = 1 - alphas_cumulative("linear", 1000)[1:] / alphas_cumulative("linear", 1000)[:-1]
    torch.testing.assert_close(betas, torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))


@settings(deadline=None, max_examples=25)
@given(step=st.integers(1, 1000), seed=st.integers(0, 99), kind=st.sampled_from(KINDS))
def test_image_and_noise_are_found_again_from_what_is_predicted(step, seed, kind):
    process = GaussianDiffusion(1000, *kind, clip=None)
    clean, noise = torch.randn(2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    time = torch.full((2,), step / 1000)
    noisy = process.noisy(clean, noise, time)
    found, seen = process._split(noisy, process.target(clean, noise, time), process.table[step].item())
    torch.testing.assert_close(found, clean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen, noise, rtol=1e-4, atol=1e-4)
    a = process.signal(time)
    torch.testing.assert_close(a, process.table[[step, step]])


@settings(deadline=None, max_examples=25)
@given(step=st.integers(1, 999), off=st.floats(0.01, 1))
def test_min_snr_weighs_the_error_of_the_image_alike_whatever_is_predicted(step, off):
    clean, noise = torch.zeros(1, 4, dtype=torch.float64), torch.ones(1, 4, dtype=torch.float64)
    time = torch.tensor([step / 1000])
    losses = []
    for prediction in ("v", "epsilon"):
        process = GaussianDiffusion(prediction=prediction, min_snr=5.0)
        a = process.table[step]
        noisy = process.noisy(clean, noise, time)
        wrong = (noisy - a.sqrt() * (clean + off)) / (1 - a).sqrt()
        predicted = wrong if prediction == "epsilon" else a.sqrt() * wrong - (1 - a).sqrt() * (clean + off)
        losses.append(float(process.loss(predicted, clean, noise, time)))
    snr = float(a / (1 - a))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] == pytest.approx(min(snr, 5.0) * off**2, rel=1e-3)


def test_times_are_those_of_the_steps():
    process = GaussianDiffusion(10)
    assert process.times(torch.tensor([0.0, 0.05, 0.95, 1.0])).tolist() == pytest.approx([0.1, 0.1, 1.0, 1.0])


def test_images_are_kept_in_range():
    process = GaussianDiffusion(100, clip=1.0)
    found = process.sample(lambda x, t: -10 * torch.ones_like(x), SeededNoise([0], (5,)), 5)
    assert float(found.abs().max()) <= 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: GaussianDiffusion(schedule="sigmoid"), "no schedule 'sigmoid'"),
        (lambda: GaussianDiffusion(prediction="x0"), "prediction 'x0' is not known"),
        (lambda: GaussianDiffusion(eta=2), "eta 2"),
        (lambda: GaussianDiffusion(min_snr=0), "min_snr 0"),
        (lambda: GaussianDiffusion(1), "noise in 1 steps"),
        (lambda: GaussianDiffusion(10).sample(lambda x, t: x, SeededNoise([0], (1,)), 11), "more than the 10"),
        (lambda: GaussianDiffusion(10).sample(lambda x, t: x, SeededNoise([0], (1,)), -1), "at least one step"),
        (lambda: GaussianDiffusion().check(1, "heun"), "no sampler 'heun'"),
    ],
)
def test_what_is_wrong_is_said(make, said):
    with pytest.raises(ConfigError, match=said):
        make()
