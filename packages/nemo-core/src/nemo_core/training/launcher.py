"""``python -m nemo_core.training.launcher N COMMAND...``: torchrun's launcher on one machine, without its tracebacks.

What went wrong is said by the process that it went wrong in; a second report, of the launcher, would bury it.
"""

from __future__ import annotations

import logging
import sys
import uuid

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Start N processes of the command, wait for them, and return the exit code of the first that failed."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=int(arguments[0]),
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, arguments[1])(*arguments[2:])
    except ChildFailedError as error:
        return abs(error.get_first_failure()[1].exitcode) or 1
    except SignalException as stopped:  # it was passed on, and all have ended
        return 128 + stopped.sigval
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
