"""What a process of the tests does: train, and leave with an exit code."""

from __future__ import annotations

import multiprocessing
import os
import sys


def child(config: dict, environment: dict[str, str]) -> None:
    import torch

    from nemo_core.training import train

    # Data workers are forked, as they are in a process that a shell starts; a server's children would spawn them, which
    # costs an import of torch for each.
    multiprocessing.set_start_method("fork", force=True)
    torch.set_num_threads(1)
    os.environ.update(environment)
    result = train(config)
    sys.exit({"finished": 0, "preempted": 10, "max_time": 11, "interrupted": 12}[result.status])
