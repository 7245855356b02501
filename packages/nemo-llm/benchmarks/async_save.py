"""What a save costs a training: in the background against at once, about 160 MB of weights and AdamW's state.

``stall``: how long training stands still, in the save itself and where the optimizer's step waits for the copies.
``save and steps``: how much longer a save and some steps take than the steps, so that what the writing thread takes
away from training is counted too; on a machine with few cores that is mostly their contest for memory.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from nemo_core.testing.bench import in_turn, versions

STEPS = 4
TARGET = 0.15


def run() -> dict[str, Any]:
    from nemo_llm.megatron import Layout, engine
    from nemo_llm.megatron.checkpoint import MegatronCheckpointIO, ModelParts
    from nemo_llm.megatron.optimizer import build_optimizer
    from nemo_llm.megatron.options import Options
    from nemo_llm.megatron.schedule import connect_schedule, forward_backward
    from nemo_llm.megatron.wrapping import wrap
    from nemo_llm.models import ModelConfig
    from nemo_llm.models.language_model import LanguageModel

    torch.set_num_threads(1)  # the other core is the writing thread's
    layout, options = Layout(), Options()
    config = ModelConfig(vocab_size=4096, hidden_size=384, num_layers=6, num_heads=6, ffn_size=1024)
    with engine(layout, seed=1), tempfile.TemporaryDirectory() as folder:
        model = LanguageModel(config, seed=1)
        model.build(layout, options=options.transformer("32-true", False))
        chunks = wrap(list(model.chunks), options)
        optimizer = build_optimizer(
            {"name": "adamw", "lr": 1e-3},
            chunks,
            dtype=torch.float32,
            sharding=options.sharding,
            clip=1.0,
            options=options,
        )
        connect_schedule(chunks, optimizer, options)
        tokens = torch.randint(0, 4096, (2, 129), generator=torch.Generator().manual_seed(1))
        batch = {"tokens": tokens[:, :-1], "labels": tokens[:, 1:], "loss_mask": torch.ones(2, 128)}

        def step() -> None:
            optimizer.clear()
            forward_backward(chunks, batch, model.token_losses, layout)
            optimizer.step()

        def parts() -> ModelParts:
            return ModelParts(chunks, config, layout, optimizer.inner)

        ways = {
            "background": MegatronCheckpointIO(parts, background=True),
            "at once": MegatronCheckpointIO(parts, background=False),
        }
        waits: list[float] = []
        copies: Any = ways["background"]._copies
        wait = copies.wait

        def waited() -> None:
            start = time.perf_counter()
            wait()
            waits.append(time.perf_counter() - start)

        copies.wait = waited
        stalls: dict[str, list[float]] = {name: [] for name in ways}
        steps: dict[str, list[float]] = {name: [] for name in [*ways, "no save"]}

        def measured(name: str) -> float:
            waits.clear()
            start = time.perf_counter()
            if name in ways:
                ways[name].save_checkpoint({"global_step": 1}, Path(folder) / name / "last.ckpt")
            call = time.perf_counter() - start
            waits.clear()  # those in the call are in it
            for _ in range(STEPS):
                step()
            taken = time.perf_counter() - start
            if name in ways:
                stalls[name].append(call + sum(waits))
                ways[name].wait()
            steps[name].append(taken)
            return taken

        step()
        in_turn({name: lambda name=name: measured(name) for name in [*ways, "no save"]}, rounds=5, warmup=1)  # type: ignore[misc]
        for way in ways.values():
            way.teardown()
        size = sum(path.stat().st_size for path in (Path(folder) / "at once" / "last.ckpt").rglob("*.distcp"))
    median = {name: statistics.median(values[1:]) for name, values in stalls.items()}
    whole = {name: statistics.median(values[1:]) for name, values in steps.items()}
    row = {
        "what": f"stall, {size / 1e6:.0f} MB",
        "ours": 1000 * median["background"],
        "peer": 1000 * median["at once"],
        "unit": "ms",
    }
    both = {
        "what": f"save and {STEPS} steps of {1000 * whole['no save'] / STEPS:.0f} ms",
        "ours": 1000 * (whole["background"] - whole["no save"]),
        "peer": 1000 * (whole["at once"] - whole["no save"]),
        "unit": "ms",
    }
    ratio = median["background"] / median["at once"]
    return {
        **{key: value for key, value in row.items() if key != "what"},
        "target": f"<= {TARGET} x of a save at once",
        "ok": ratio <= TARGET,
        "rows": [row, both],
        "versions": versions("nemo-llm", "megatron-core", "torch"),
    }
