"""The loader of pictures and captions: how long a training step waits for it, and how fast it is by itself."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nemo_core.testing.bench import versions

TARGET, PICTURES, BATCH, STEPS = 0.05, 512, 16, 20


def run() -> dict[str, Any]:
    """Measure the share of the time that the steps of CLIP ViT-B/32 wait for JPEGs of 500 x 375 pixels in tar shards.

    The step computes on all cores, and the loader has no process of its own, or one beside it. Nothing is kept in
    memory: pictures are read, decoded, scaled and tokenised anew.
    """
    from PIL import Image

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), Image)
        for workers in (0, 1):
            rows.append(_measure(Path(folder), workers))
    waiting = rows[-1]["ours"]
    return {
        "ours": waiting,
        "peer": None,
        "unit": "share of the time that a step waits",
        "rows": rows,
        "target": f"<= {TARGET:.0%} with one process that loads",
        "ok": waiting <= TARGET,
        "versions": versions("nemo-mm", "torch", "pillow"),
    }


def _write(folder: Path, image: Any) -> None:
    """Write shards of pictures that look like photographs to a JPEG decoder: smooth shapes and some noise."""
    rng = np.random.default_rng(0)
    for shard in range(4):
        with tarfile.open(folder / f"pictures-{shard}.tar", "w") as archive:
            for number in range(PICTURES // 4):
                coarse = image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375), 3)
                pixels = np.asarray(coarse, np.int16) + rng.integers(-12, 12, (375, 500, 3))
                file = io.BytesIO()
                image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
                for ending, content in (("jpg", file.getvalue()), ("txt", b"a picture of nothing in particular")):
                    info = tarfile.TarInfo(f"{shard}-{number:04d}.{ending}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))


def _measure(folder: Path, workers: int) -> dict[str, Any]:
    from nemo_llm.tokenizers.byte import ByteTokenizer
    from nemo_mm.data import PairData, TextTokens
    from nemo_mm.images import ImageTransform

    torch.manual_seed(0)
    model, optimiser = _model()
    data = PairData(
        ImageTransform(224),
        TextTokens(ByteTokenizer(), 77),
        str(folder / "*.tar"),
        batch_size=BATCH,
        num_workers=workers,
        seed=0,
    )
    loader = data.train_dataloader()

    start = time.perf_counter()
    alone = sum(len(batch.names) for batch in loader)
    rate = alone / (time.perf_counter() - start)

    waited = worked = 0.0
    batches = iter(loader)
    next(batches)  # the processes have started
    for _ in range(STEPS):
        begun = time.perf_counter()
        batch = next(batches)
        there = time.perf_counter()
        first, second = model._embed(model.first, batch.first), model._embed(model.second, batch.second)
        model.loss(first=first, second=second).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        waited += there - begun
        worked += time.perf_counter() - there
    return {
        "what": f"{workers} processes load, {torch.get_num_threads()} threads compute, {os.cpu_count()} cores",
        "ours": waited / (waited + worked),
        "unit": "share of waiting",
        "loader pictures/s": rate,
        "step pictures/s": STEPS * BATCH / worked,
    }


def _model() -> tuple[Any, torch.optim.Optimizer]:
    from nemo_llm.tokenizers.byte import ByteTokenizer
    from nemo_mm.data import TextTokens
    from nemo_mm.images import ImageTransform
    from nemo_mm.losses import SoftmaxLoss
    from nemo_mm.models import ContrastiveModel
    from nemo_mm.modules import ImageTower, TextTower, TextTransformer, VisionTransformer

    vit = VisionTransformer(224, 32, 768, 12, 12, pre_norm=True, activation="quick_gelu")
    words = TextTransformer(49408, 77, 512, 12, 8, activation="quick_gelu")
    model = ContrastiveModel(
        ImageTower(ImageTransform(224), vit, 512), TextTower(TextTokens(ByteTokenizer(), 77), words, 512), SoftmaxLoss()
    )
    return model.train(), torch.optim.AdamW(model.parameters(), 1e-6, fused=True)
