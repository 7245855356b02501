"""What of a batch is divided along the sequence, and what is not."""

from __future__ import annotations

import torch

from nemo_core.plugins import registry
from nemo_llm.megatron.schedule import share_of_context
from nemo_llm.models.chunks import KINDS, kinds


def test_what_is_no_sequence_stays_whole() -> None:
    batch = {"tokens": torch.arange(8)[None], "pixels": torch.arange(6)[None], "counts": torch.tensor([2])}
    found = share_of_context(batch, 2, 1, whole={"pixels"})
    assert found["tokens"].tolist() == [[2, 3, 4, 5]]
    assert found["pixels"] is batch["pixels"]
    assert found["counts"] is batch["counts"]


def test_plugins_add_kinds_of_models() -> None:
    added = {
        each.metadata["architecture"] for each in registry().components("model") if "architecture" in each.metadata
    }
    assert set(kinds()) == {*KINDS, *(where.partition(":")[2] for where in added)}
