"""Build the speech that nemo-asr ships: a balanced subset of the Free Spoken Digit Dataset, packed and lossless.

    python tools/build_fsdd.py FSDD_FOLDER src/nemo_asr/datasets/fsdd

``FSDD_FOLDER`` is a checkout of github.com/Jakobovski/free-spoken-digit-dataset, or any folder whose files are named
``{digit}_{speaker}_{take}.wav`` (or ``.flac``). Takes 0-4 are the data set's own test split and are all kept; of the
rest, ``--takes`` are chosen at equal distances, the same ones for every digit and speaker. Recordings are
concatenated, one FLAC a speaker and split, because a FLAC header weighs as much as a spoken digit; ``index.json`` says
where each one lies. Samples are not changed.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import soundfile as sf

SAMPLE_RATE = 8000
TEST_TAKES = range(5)
ALL_TAKES = range(50)


def chosen_takes(count: int) -> list[int]:
    """Return ``count`` training takes, at equal distances over takes 5-49."""
    return sorted({round(take) for take in np.linspace(TEST_TAKES.stop, ALL_TAKES.stop - 1, count)})


def build(source: Path, target: Path, takes: int) -> None:
    """Write the packed FLACs and ``index.json`` into ``target``."""
    recordings: dict[tuple[str, int, int], Path] = {}
    for path in sorted(source.rglob("*")):
        match = re.fullmatch(r"(\d)_([a-z]+)_(\d+)\.(?:wav|flac)", path.name)
        if match:
            recordings[match[2], int(match[1]), int(match[3])] = path
    if not recordings:
        raise SystemExit(f"{source}: no files named like 7_jackson_32.wav")
    speakers = sorted({speaker for speaker, _, _ in recordings})

    target.mkdir(parents=True, exist_ok=True)
    packs = []
    for speaker in speakers:
        for split, wanted in (("test", list(TEST_TAKES)), ("train", chosen_takes(takes))):
            pieces, entries, start = [], [], 0
            for digit in range(10):
                for take in wanted:
                    samples, rate = sf.read(recordings[speaker, digit, take], dtype="int16")
                    if rate != SAMPLE_RATE or samples.ndim != 1:
                        raise SystemExit(f"{recordings[speaker, digit, take]}: not {SAMPLE_RATE} Hz mono")
                    pieces.append(samples)
                    entries.append([digit, take, start, len(samples)])
                    start += len(samples)
            name = f"{speaker}-{split}.flac"
            sf.write(target / name, np.concatenate(pieces), SAMPLE_RATE, subtype="PCM_16", compression_level=1.0)
            packs.append({"file": name, "speaker": speaker, "split": split, "recordings": entries})
    index = {"sample_rate": SAMPLE_RATE, "recording": ["digit", "take", "start", "frames"], "packs": packs}
    (target / "index.json").write_text(json.dumps(index, separators=(",", ":")) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in target.iterdir())
    count = sum(len(pack["recordings"]) for pack in packs)
    print(f"{count} recordings of {len(speakers)} speakers, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--takes", type=int, default=20, help="training takes a digit and speaker (default 20)")
    arguments = parser.parse_args()
    build(arguments.source, arguments.target, arguments.takes)
