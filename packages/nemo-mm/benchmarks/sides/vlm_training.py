"""One side of ``vlm_step``: trains a folder of LLaVA, a step for each line of its input.

    python vlm_training.py SIDE FOLDER DTYPE ROWS TEXT

SIDE is ``ours`` or ``transformers``. Each answer is a line of JSON with ``seconds`` and ``loss``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
import vlm

RATE, BETAS, EPS, CLIP = 1e-4, (0.9, 0.999), 1e-8, 1.0


def transformers(folder: str, dtype: torch.dtype, tokens: Tensor, pictures: Tensor) -> Callable[[], Tensor]:
    """Return a step as ``transformers.Trainer`` takes it by default: its loss, clipping at 1, torch's fused AdamW."""
    model = vlm.theirs(folder, dtype).train()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, BETAS, EPS, weight_decay=0.0, fused=True)
    labels = tokens.masked_fill(tokens == vlm.MARK, -100)

    def step() -> Tensor:
        pixels = vlm.standardised(pictures).to(dtype)
        loss: Tensor = model(input_ids=tokens, pixel_values=pixels, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


def ours(folder: str, dtype: torch.dtype, tokens: Tensor, pictures: Tensor) -> Callable[[], Tensor]:
    """Return a step as our strategy takes it, with its default options."""
    from nemo_llm.megatron import Layout, start_engine
    from nemo_llm.megatron.memory import keep_freed_memory
    from nemo_llm.megatron.optimizer import build_optimizer
    from nemo_llm.megatron.options import Options
    from nemo_llm.megatron.schedule import connect_schedule, forward_backward
    from nemo_llm.megatron.wrapping import wrap

    keep_freed_memory()
    layout, options = Layout(), Options()
    start_engine(layout, seed=1)
    model = vlm.ours(folder, dtype)
    chunks = wrap(list(model.chunks), options)
    optim = {"name": "adamw", "lr": RATE, "betas": BETAS, "eps": EPS, "weight_decay": 0.0}
    optimizer = build_optimizer(optim, chunks, dtype=dtype, sharding=options.sharding, clip=CLIP, options=options)
    connect_schedule(chunks, optimizer, options)
    mask = (tokens.roll(-1, 1) != vlm.MARK).float()
    mask[:, -1] = 0.0  # nothing follows the last token
    batch = {
        "tokens": tokens,
        "labels": tokens.roll(-1, 1),
        "loss_mask": mask,
        "pixels": pictures[:, None],
        "pixel_counts": torch.ones(len(tokens), dtype=torch.long),
    }

    def step() -> Tensor:
        optimizer.clear()
        sums = forward_backward(chunks, model.prepare(batch), model.token_losses, layout, whole=model.whole_entries)
        optimizer.step()
        return sums.mean

    return step


def main() -> None:
    side, folder, dtype, rows, text = sys.argv[1:]
    torch.set_num_threads(2)
    tokens, pictures = vlm.tokens_of(int(rows), int(text)), vlm.pictures_of(int(rows))
    step = {"ours": ours, "transformers": transformers}[side](folder, getattr(torch, dtype), tokens, pictures)
    print("@{}", flush=True)
    for _ in sys.stdin:
        step()  # the other side had the caches
        start = time.perf_counter()
        loss = step()
        print("@" + json.dumps({"seconds": time.perf_counter() - start, "loss": float(loss)}), flush=True)


if __name__ == "__main__":
    main()
