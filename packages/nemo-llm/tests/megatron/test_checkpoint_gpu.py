"""What only a GPU shows: weights and optimizer there, copied to pinned memory, written, and read again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import checkpoint_work as work

from nemo_llm.megatron import Layout
from nemo_llm.megatron.checkpoint import MegatronCheckpointIO, ModelParts
from nemo_llm.megatron.checkpoint.copies import Copies

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


def test_copies_are_pinned_and_used_again() -> None:
    copies, tensor = Copies(), torch.arange(1000.0, device="cuda")
    first = copies.begin({"a": tensor}, later={"a"})["a"]
    copies.finish()
    tensor.zero_()
    assert first.is_pinned()
    assert first.sum() == 499500
    assert copies.begin({"a": tensor})["a"].data_ptr() == first.data_ptr()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_training_goes_on_as_before(tmp_path: Path, dtype: str) -> None:
    with work.training(Layout(), dtype=dtype) as it:
        it.step(0)
        io = MegatronCheckpointIO(lambda: ModelParts(it.chunks, it.config, it.layout, it.optimizer.inner))
        io.save_checkpoint({"global_step": 1}, tmp_path / "last.ckpt")
        losses = [it.step(step) for step in (1, 2)]
        io.wait()
        io.load_checkpoint(tmp_path / "last.ckpt")
        io.restore(optimizer=True)
        assert [it.step(step) for step in (1, 2)] == losses
        io.teardown()
