"""The main job in three commands: train a recogniser on real speech, compose strings it never heard, transcribe them.

``python quickstart.py [--dir DIR] [KEY=VALUE ...]`` runs what a person would type, and says how long each part took.
The arguments that hold a ``=`` go to ``nemo train``. It fails if the word error rate is above what it is meant to be.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

MOST_WER = 0.04


def nemo(*arguments: str) -> float:
    """Run a ``nemo`` command, show it as one would type it, and return how many seconds it took."""
    print(f"\n$ nemo {shlex.join(arguments)}", flush=True)
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "nemo_core.cli.main", *arguments], check=True)
    return time.monotonic() - started


def main() -> int:
    """Run the three commands."""
    parser = argparse.ArgumentParser(description="Train a recogniser on spoken digits and let it transcribe.")
    parser.add_argument("--dir", type=Path, default=Path("runs"), help="folder of the run")
    parser.add_argument("overrides", nargs="*", help="changes to the recipe, KEY=VALUE")
    options = parser.parse_args()

    folder = options.dir / "spoken_digits"
    place = [] if options.dir == Path("runs") else [f"experiment.dir={options.dir}"]
    seconds = {
        "train and test": nemo("train", "asr/spoken_digits", "experiment.resume=never", *place, *options.overrides)
    }
    model, held_out = folder / "latest" / "model.nemo", folder / "latest" / "held_out"
    seconds["compose recordings"] = nemo("asr", "digits", "--split", "test", "--n", "8", "-o", str(held_out))
    seconds["transcribe"] = nemo("transcribe", str(model), str(held_out / "manifest.jsonl"))

    print("\n" + ", ".join(f"{name}: {value:.0f} s" for name, value in seconds.items()))
    metrics = json.loads((folder / "latest" / "metrics.json").read_text(encoding="utf-8"))
    wer = metrics["test_wer"]
    print(f"word error rate {wer:.2%} on test strings; at most {MOST_WER:.0%} is asked for")
    return 0 if wer <= MOST_WER else 1


if __name__ == "__main__":
    sys.exit(main())
