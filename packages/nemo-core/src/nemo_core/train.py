"""``python -m nemo_core.train RECIPE [overrides...]``: one process of a training, for torchrun, srun and the like.

    torchrun --nnodes 4 --nproc-per-node 8 -m nemo_core.train asr/fastconformer_ctc data.train=train.jsonl

Under Slurm, ``srun --ntasks-per-node 8 python -m nemo_core.train ...`` does the same. How many processes there are is
the launcher's business; ``trainer.devices`` and ``trainer.num_nodes`` are taken from it. SIGTERM and SIGUSR1 (``sbatch
--signal=USR1@120``) save the state and end the job with exit code 0; the same command goes on from there, so a batch
script only has to queue itself again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from nemo_core.errors import ConfigError, NemoError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    rank = int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")))
    debug = "--debug" in words
    try:
        return _main([word for word in words if word != "--debug"], rank == 0)
    except NemoError as error:
        if debug:
            raise
        _tell(error, words, rank)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _tell(error: NemoError, words: list[str], rank: int) -> None:
    """Say what went wrong: to ``nemo train``, if that has started this process, or else to the user."""
    if "--result" in words[:-1]:
        told = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
        with contextlib.suppress(FileExistsError), open(words[words.index("--result") + 1], "x") as file:
            json.dump({"error": told}, file)
    elif rank == 0 or error.exit_code != 2:  # all ranks see the same mistakes of the user; failures may be one's own
        from nemo_core.cli.output import print_problem

        print_problem("error" if rank == 0 else f"rank {rank}: error", error.message, error.hint)


def _main(words: list[str], first_rank: bool) -> int:
    resolved, result_path = _option(words, "--resolved"), _option(words, "--result")
    if resolved is None and (not words or words[0].startswith("-")):
        raise ConfigError("no recipe is given", hint="python -m nemo_core.train RECIPE [key=value ...]")
    from omegaconf import DictConfig, OmegaConf

    if resolved is not None:
        config, overrides = OmegaConf.load(resolved), words
        assert isinstance(config, DictConfig)
    else:
        from nemo_core.config import compose

        config, overrides = compose(words[0], words[1:]), words[1:]
    from nemo_core.training import train

    result = train(config, overrides=overrides, checked=resolved is not None)
    if first_rank:
        if result_path is not None:
            Path(result_path).write_text(result.to_json(), encoding="utf-8")
        else:
            from nemo_core.cli.train import show_result

            show_result(result)
    return 130 if result.status == "interrupted" else 0


def _option(words: list[str], name: str) -> str | None:
    """Take ``name VALUE`` out of ``words``."""
    if name not in words:
        return None
    index = words.index(name)
    if index + 1 == len(words):
        raise ConfigError(f"{name} needs a value")
    words.pop(index)
    return words.pop(index)


if __name__ == "__main__":
    sys.exit(main())
