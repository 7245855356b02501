"""The log of a run: a file that gets what is logged while the run lasts, and quiet for Lightning meanwhile."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["run_log"]

# What Lightning says about choices that are ours and right.
_NOISE = (
    r".*does not have many workers.*",
    r".*is smaller than the logging interval.*",
    r".*Consider setting `persistent_workers=True`.*",
    r".*Starting from v1\.9\.0, `tensorboardX`.*",
    r".*exists and is not empty.*",
    r".*Total length of `list` across ranks is zero.*",
    r".*You defined a `validation_step` but have no `val_dataloader`.*",
    r".*lr_scheduler\.step\(\)` before `optimizer\.step\(\).*",
    r".*isinstance\(treespec, LeafSpec\).*",
    r".*No device id is provided via `init_process_group`.*",
    r".*It is recommended to use `self\.log\(.*sync_dist=True\).*",
    r".*Using `DistributedSampler` with the dataloaders.*",
    r".*Detected KeyboardInterrupt.*",
    r".*Trying to infer the `batch_size`.*",
    r".*but `CUDA` is not available.*",
    r".*GPU available but not used.*",
    r".*`weights_only` was not set.*",
    r".*The `srun` command is available.*",
)


@contextmanager
def run_log(path: Path) -> Iterator[None]:
    """Write the log to ``path``, while inside; then put everything back.

    Records of the framework and its plugins from INFO on, and warnings of all others. Lightning's own chatter goes to
    the file and not to the terminal.
    """
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.INFO)
    root, lightning = (
        logging.getLogger(),
        [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")],
    )
    ours = logging.getLogger("nemo_core")
    before = ours.level, [(logger.handlers[:], logger.propagate) for logger in lightning]
    root.addHandler(handler)
    if ours.getEffectiveLevel() > logging.INFO:
        ours.setLevel(logging.INFO)
    for logger in lightning:
        logger.handlers, logger.propagate = [handler], False
    try:
        with warnings.catch_warnings():
            for pattern in _NOISE:
                warnings.filterwarnings("ignore", pattern)
            yield
    finally:
        root.removeHandler(handler)
        ours.setLevel(before[0])
        for logger, (handlers, propagate) in zip(lightning, before[1], strict=True):
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()
