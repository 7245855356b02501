from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError, DataError, NeuralTypeError
from nemo_core.testing.modules import check_module
from nemo_mm.modules.dit import SIZES, DiT
from nemo_mm.modules.positions import sincos_2d

SMALL = {"channels": 2, "patch_size": 2, "width": 16, "depth": 2, "heads": 2}


def awake(network: DiT) -> DiT:
    """Return the network with weights where it starts with zeros, which hide everything."""
    torch.manual_seed(0)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return network.eval()


@pytest.mark.parametrize("extra", [{}, {"classes": 10}, {"classes": 10, "text_width": 4, "text_mode": "joint"}])
def test_it_keeps_what_modules_promise(extra):
    check_module(lambda: DiT((8, 6), **SMALL, **extra))


#: Of the paper's table 1 less the output's second half (variances) and the fixed positions, which it counts.
@pytest.mark.parametrize(("size", "millions"), [("S", 33), ("B", 130), ("L", 458), ("XL", 675)])
def test_sizes_are_those_of_the_paper(size, millions):
    with torch.device("meta"):
        network = DiT(32, channels=4, patch_size=2, size=size, classes=1000)
    width = SIZES[size].width
    positions, variances = 16 * 16 * width, 16 * (width + 1)
    assert (network.num_weights + positions + variances) / 1e6 == pytest.approx(millions, abs=0.6)


def test_it_starts_as_nothing():
    network = DiT(8, **SMALL, classes=3, text_width=4)
    found = network(
        sample=torch.randn(2, 2, 8, 8), time=torch.rand(2), classes=torch.tensor([0, 1]), text=torch.randn(2, 3, 4)
    )
    assert float(found.abs().max()) == 0


def test_patches_are_put_where_they_were_cut():
    network = DiT((4, 6), **SMALL)
    sample = torch.randn(3, 2, 4, 6)
    assert torch.equal(network._unpatchify(network._patchify(sample)), sample)
    assert torch.equal(network._patchify(sample)[:, 4].view(3, 2, 2, 2), sample[:, :, 2:4, 2:4])


@pytest.mark.parametrize("mode", ["cross", "joint"])
@settings(deadline=None, max_examples=10)
@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_padding_of_texts_and_company_change_nothing(mode, lengths, seed):
    network = awake(DiT(4, **SMALL, text_width=3, text_mode=mode, qk_norm=True))
    generator = torch.Generator().manual_seed(seed)
    sample, time = (
        torch.randn(len(lengths), 2, 4, 4, generator=generator),
        torch.rand(len(lengths), generator=generator),
    )
    text = torch.randn(len(lengths), 5, 3, generator=generator)
    mask = torch.arange(5) < torch.tensor(lengths).unsqueeze(1)
    found = network(sample=sample, time=time, text=text, text_mask=mask)
    for row, length in enumerate(lengths):
        own = {"text": text[row : row + 1, :length]} if length else {}
        alone = network(sample=sample[row : row + 1], time=time[row : row + 1], **own)
        torch.testing.assert_close(found[row : row + 1], alone, rtol=1e-3, atol=1e-4)


def test_each_condition_matters_and_none_is_none():
    network = awake(DiT(4, **SMALL, classes=3, text_width=3))
    sample, time = torch.randn(1, 2, 4, 4), torch.tensor([0.3])
    text = torch.randn(1, 2, 3)

    def see(**conditions):
        return network(sample=sample, time=time, **conditions)

    assert torch.equal(see(), see(classes=torch.tensor([-1])))
    several = [see(), see(classes=torch.tensor([0])), see(classes=torch.tensor([2])), see(text=text)]
    several += [see(classes=torch.tensor([0]), text=text), network(sample=sample, time=time + 0.1)]
    for i, one in enumerate(several):
        assert all(float((one - other).abs().max()) > 1e-3 for other in several[i + 1 :])
    torch.testing.assert_close(see(), see(text=text, text_mask=torch.zeros(1, 2, dtype=torch.bool)))


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), quarter=st.integers(1, 4))
def test_every_place_has_a_vector_of_its_own(rows, columns, quarter):
    found = sincos_2d(rows, columns, 4 * quarter)
    assert found.shape == (rows * columns, 4 * quarter)
    distances = torch.cdist(found, found) + torch.eye(rows * columns)
    assert float(distances.min()) > 1e-3
    torch.testing.assert_close(found.square().sum(1), torch.full((rows * columns,), 2.0 * quarter))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"image_size": 7}, "not made of patches of 2 x 2"),
        ({"patch_size": 0}, "patches of 0"),
        ({"heads": 3}, "make no network"),
        ({"width": 6, "heads": 1}, "make no network"),
        ({"width": None}, "width, depth and heads are needed"),
        ({"size": "XXL"}, "no size 'XXL'"),
        ({"classes": 0}, "0 classes"),
        ({"text_width": 4, "text_mode": "add"}, "text_mode 'add'"),
    ],
)
def test_what_makes_no_network_is_said(arguments, said):
    with pytest.raises(ConfigError, match=said):
        DiT(**{"image_size": 8, **SMALL, **arguments})


def test_what_does_not_fit_the_network_is_said():
    network = DiT(4, **SMALL, classes=3)
    sample, time = torch.zeros(1, 2, 4, 4), torch.zeros(1)
    with pytest.raises(DataError, match="there is no class 3"):
        network(sample=sample, time=time, classes=torch.tensor([3]))
    with pytest.raises(DataError, match="knows none"):
        network(sample=sample, time=time, text=torch.zeros(1, 2, 4))
    with pytest.raises(DataError, match="knows none"):
        DiT(4, **SMALL)(sample=sample, time=time, classes=torch.tensor([0]))
    with pytest.raises(NeuralTypeError):
        network(sample=torch.zeros(1, 2, 4, 6), time=time)
