"""Loaders and data modules: what comes out does not depend on who loads it, nor on where one starts."""

from __future__ import annotations

import multiprocessing
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.data import BatchOrder, DataModule, ResumableLoader
from nemo_core.errors import DataError


class Numbers:
    """Items are their index; a training sample adds noise."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.lengths = [1.0 + index % 3 for index in range(size)]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> float:
        return float(index)

    def sample(self, index: int, rng) -> float:
        return index + rng.random()


class NumbersData(DataModule):
    def __init__(self, size: int = 20, **arguments) -> None:
        super().__init__(**arguments)
        self.size = size

    def dataset(self, split: str):
        if split == "predict":
            return None
        return {"a": Numbers(3), "b": Numbers(5)} if split == "test" else Numbers(self.size)

    def collate(self, items):
        return [round(float(item), 9) for item in items]


class PerEpoch(Numbers):
    """Items that differ from epoch to epoch without chance."""

    def in_epoch(self, epoch: int, index: int) -> tuple[int, int]:
        return epoch, index


def test_items_of_an_epoch_are_asked_for_in_training_only():
    order = BatchOrder(4, batch_size=2, shuffle=False)
    training = ResumableLoader(PerEpoch(4), order, list, position=lambda: (3, 1), random=True)
    assert list(training) == [[(3, 2), (3, 3)]]
    assert list(ResumableLoader(PerEpoch(4), order, list)) == [[0.0, 1.0], [2.0, 3.0]]


def loader(position=(0, 0), **arguments) -> ResumableLoader:
    order = BatchOrder(23, batch_size=3, seed=7)
    return ResumableLoader(Numbers(23), order, list, position=lambda: position, random=True, **arguments)


@settings(deadline=None)
@given(st.integers(0, 3), st.integers(0, 8))
def test_starting_at_a_batch_is_going_on(epoch, batch):
    assert list(loader((epoch, batch))) == list(loader((epoch, 0)))[batch:]


def test_workers_prefetch_and_persistence_change_nothing():
    position = [0, 0]
    epochs = {}
    for workers, prefetch in ((0, 2), (1, 1), (2, 4)):
        arguments = {"position": lambda: tuple(position), "num_workers": workers, "prefetch": prefetch}
        one = ResumableLoader(Numbers(23), BatchOrder(23, batch_size=3, seed=7), list, random=True, **arguments)
        seen = []
        for position[:] in ([0, 0], [1, 0], [1, 5], [4, 2]):
            seen.append(list(one))
        epochs[workers] = seen
    assert epochs[0] == epochs[1] == epochs[2]
    assert epochs[0][1][5:] == epochs[0][2]


def test_the_position_is_asked_when_the_first_batch_is_fetched_and_not_before():
    position = [0, 0]
    one = ResumableLoader(Numbers(9), BatchOrder(9, batch_size=3), list, position=lambda: tuple(position))
    iterator = iter(one)
    position[:] = [2, 1]
    assert list(iterator) == list(loader_of(Numbers(9), 3, (2, 1)))
    assert one.state_dict() == {"epoch": 2, "batch": 1}


def loader_of(dataset, batch_size, position):
    return ResumableLoader(dataset, BatchOrder(len(dataset), batch_size=batch_size), list, position=lambda: position)


def test_a_loader_draws_nothing_from_the_global_generators():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(loader())
    list(loader(num_workers=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_training_samples_are_random_and_evaluation_is_not():
    data = NumbersData(batch_size=4, seed=3)
    flat = [value for batch in data.train_dataloader() for value in batch]
    assert sorted(int(value) for value in flat) == list(range(20))
    assert not any(value.is_integer() for value in flat)
    [validation] = data.val_dataloader()
    assert [value for batch in validation for value in batch] == [float(index) for index in range(20)]


def test_several_test_sets_and_none_to_predict():
    data = NumbersData(batch_size=4, eval_batch_size=2)
    assert [len(each) for each in data.test_dataloader()] == [2, 3]
    assert data.predict_dataloader() == []


def test_batches_by_length():
    data = NumbersData(batch_size=None, batch_length=6.0, buckets=3)
    for batch in data.train_dataloader():
        assert len(batch) * max(1 + int(value) % 3 for value in batch) <= 6


def test_it_says_how_it_was_made():
    config = NumbersData(7, batch_size=2).to_config()
    assert {key: config[key] for key in ("size", "batch_size")} == {"size": 7, "batch_size": 2}


def test_a_copy_for_a_spawned_worker_has_no_trainer():
    data = NumbersData(batch_size=2)
    data.trainer = lambda: None  # cannot be pickled
    assert pickle.loads(pickle.dumps(data)).trainer is None


def test_no_items():
    with pytest.raises(DataError, match="train data set has no items"):
        NumbersData(0).train_dataloader()


def test_no_batch_is_left():
    with pytest.raises(DataError, match="drop_last"):
        NumbersData(3, batch_size=4, drop_last=True).train_dataloader()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="workers are started by fork here")
def test_an_error_in_a_worker_keeps_its_message():
    class Broken(Numbers):
        def sample(self, index, rng):
            raise DataError(f"item {index} is damaged", hint="remove it")

    broken = ResumableLoader(Broken(4), BatchOrder(4, batch_size=2), list, random=True, num_workers=1)
    with pytest.raises(DataError, match="is damaged"):
        list(broken)


class Damaged(Numbers):
    def __getitem__(self, index: int) -> float:
        if index == 3:
            raise DataError("item 3 is damaged", hint="mend it")
        return float(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_workers_are_those_that_were_raised(workers):
    order = BatchOrder(6, batch_size=2, shuffle=False)
    seen = []
    with pytest.raises(DataError) as caught:
        seen += ResumableLoader(Damaged(6), order, list, num_workers=workers)
    assert (caught.value.message, caught.value.hint) == ("item 3 is damaged", "mend it")
    assert ("__getitem__" in "".join(getattr(caught.value, "__notes__", ()))) == (workers > 0)  # where, for --debug

    def collate(items):
        raise DataError("they do not fit", hint="cut them")

    with pytest.raises(DataError) as caught:
        list(ResumableLoader(Numbers(2), BatchOrder(2, batch_size=2), collate, num_workers=workers))
    assert (caught.value.message, caught.value.hint) == ("they do not fit", "cut them")
