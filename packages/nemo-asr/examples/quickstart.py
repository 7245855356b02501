"""Train a recogniser of spoken digits, and let it transcribe recordings that it was not trained on.

    python quickstart.py [OVERRIDES...]

Everything is done by commands that anyone can type; they are shown before they run. Overrides go to ``nemo train``.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from nemo_core.cli.output import table

HELD_OUT = 12
MOST_WER = 0.04  # what the recipe is held to; CI runs this script, and a recipe that got worse must not pass


def nemo(*arguments: str, capture: bool = False) -> str:
    """Show a command, run it, and return what it printed if that is not shown."""
    print(f"\n$ nemo {shlex.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "nemo_core.cli.main", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE if capture else None, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout or ""


def main(overrides: list[str]) -> None:
    """Train, transcribe, and print what came of it."""
    nemo("train", "asr/spoken_digits", "experiment.resume=never", *overrides)
    run_dir = Path(next((o.partition("=")[2] for o in overrides if o.startswith("experiment.dir=")), "runs"))
    run_dir = (run_dir / "spoken_digits" / "latest").resolve()
    archive = str(run_dir / "model.nemo")
    with tempfile.TemporaryDirectory() as folder:
        nemo("asr", "digits", "--split", "test", "--n", str(HELD_OUT), "-o", f"{folder}/held_out")
        nemo("transcribe", archive, f"{folder}/held_out/manifest.jsonl")
        nemo("asr", "digits", "--split", "test", "--n", "400", "--seed", "2", "-o", f"{folder}/many")
        heard = json.loads(nemo("transcribe", archive, f"{folder}/many/manifest.jsonl", "--json", capture=True))

    result = json.loads((run_dir / "result.json").read_text(encoding="utf-8"))
    metrics = result["metrics"]
    minutes, seconds = divmod(round(result["seconds"]), 60)
    rows = [
        ("test WER", f"{100 * metrics['test_wer']:.2f} %"),
        ("test CER", f"{100 * metrics['test_cer']:.2f} %"),
        ("training time", f"{minutes}:{seconds:02d} min"),
        ("training speed", f"{result['steps_per_second']:.1f} steps/s"),
        ("transcription speed", f"{heard['audio_seconds'] / heard['seconds']:.0f} x real time"),
        ("archive", archive),
        ("training curve", str(run_dir / "curve.png")),
        ("TensorBoard log", str(run_dir / "tensorboard")),
    ]
    print()
    table("Spoken digits", ["", ""], rows)
    if metrics["test_wer"] > MOST_WER:
        sys.exit(f"test WER is above the {MOST_WER:.0%} that the recipe is held to")


if __name__ == "__main__":
    main(sys.argv[1:])
