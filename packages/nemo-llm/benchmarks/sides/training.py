"""One side of ``train_step``: trains a model folder of transformers, a step for each line of its input.

    python training.py SIDE FOLDER DTYPE ROWS LENGTH

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

RATE, BETAS, EPS, CLIP = 1e-4, (0.9, 0.999), 1e-8, 1.0

#: Steps measured together.
STEPS = 2


def transformers(folder: str, dtype: torch.dtype, tokens: Tensor) -> Callable[[], Tensor]:
    """Return a step as ``transformers.Trainer`` takes it by default: its loss, clipping at 1, torch's fused AdamW."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).train()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, BETAS, EPS, weight_decay=0.0, fused=True)

    def step() -> Tensor:
        loss: Tensor = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


def ours(folder: str, dtype: torch.dtype, tokens: Tensor) -> Callable[[], Tensor]:
    """Return a step as our strategy takes it, with its default options."""
    from nemo_llm.hf import load_hf, read_hf_config
    from nemo_llm.megatron import Layout, start_engine
    from nemo_llm.megatron.memory import keep_freed_memory
    from nemo_llm.megatron.optimizer import build_optimizer
    from nemo_llm.megatron.options import Options
    from nemo_llm.megatron.schedule import connect_schedule, forward_backward
    from nemo_llm.megatron.wrapping import wrap
    from nemo_llm.models.gpt import build_chunks

    keep_freed_memory()
    layout, options = Layout(), Options()
    start_engine(layout, seed=1)
    config = read_hf_config(folder)
    parts = build_chunks(config, layout, dtype, seed=None)
    load_hf(folder, parts, config)
    chunks = wrap(parts, options)
    optim = {"name": "adamw", "lr": RATE, "betas": BETAS, "eps": EPS, "weight_decay": 0.0}
    optimizer = build_optimizer(optim, chunks, dtype=dtype, sharding=options.sharding, clip=CLIP, options=options)
    connect_schedule(chunks, optimizer, options)
    mask = torch.ones(tokens.shape)
    mask[:, -1] = 0.0  # nothing follows the last token
    batch = {"tokens": tokens, "labels": tokens.roll(-1, 1), "loss_mask": mask}

    def step() -> Tensor:
        optimizer.clear()
        sums = forward_backward(
            chunks, batch, lambda chunk, part: chunk(part["tokens"], None, None, labels=part["labels"]), layout
        )
        optimizer.step()
        return sums.mean

    return step


def main() -> None:
    side, folder, dtype, rows, length = sys.argv[1:]
    torch.set_num_threads(2)
    vocabulary = json.loads(Path(folder, "config.json").read_text())["vocab_size"]
    tokens = torch.randint(0, vocabulary, (int(rows), int(length)), generator=torch.Generator().manual_seed(1))
    step = {"ours": ours, "transformers": transformers}[side](folder, getattr(torch, dtype), tokens)
    print("@ready", flush=True)
    for _ in sys.stdin:
        step()  # the other side had the caches
        start = time.perf_counter()
        for _ in range(STEPS):
            loss = step()
        print("@" + json.dumps({"seconds": (time.perf_counter() - start) / STEPS, "loss": float(loss)}), flush=True)


if __name__ == "__main__":
    main()
