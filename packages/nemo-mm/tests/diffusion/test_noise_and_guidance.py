from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_mm.diffusion import SeededNoise, guided
from nemo_mm.diffusion.noise import seeds_of


@settings(deadline=None, max_examples=25)
@given(seeds=st.lists(st.integers(0, 2**62), min_size=1, max_size=5), draws=st.integers(1, 3), data=st.data())
def test_noise_of_an_image_does_not_depend_on_its_company(seeds, draws, data):
    which = data.draw(st.integers(0, len(seeds) - 1))
    together, alone = SeededNoise(seeds, (2, 3)), SeededNoise([seeds[which]], (2, 3))
    for _ in range(draws):
        assert torch.equal(together()[which], alone()[0])


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**40), count=st.integers(1, 6), first=st.integers(0, 4))
def test_seeds_are_a_row_that_can_be_entered_anywhere(seed, count, first):
    assert seeds_of(seed, count + first)[first:] == seeds_of(seed, count, first=first)
    assert len(set(seeds_of(seed, count))) == count
    assert not set(seeds_of(seed, count)) & set(seeds_of(seed + 1, count))


@settings(deadline=None, max_examples=25)
@given(scale=st.floats(0, 8), told=st.floats(-3, 3), untold=st.floats(-3, 3))
def test_guidance_extrapolates(scale, told, untold):
    predict = guided(lambda x, t: torch.cat((x[:2] * 0 + told, x[2:] * 0 + untold)), scale)
    found = predict(torch.zeros(2, 3), torch.zeros(2))
    torch.testing.assert_close(found, torch.full((2, 3), untold + scale * (told - untold)), rtol=1e-4, atol=1e-4)
