"""Build the speech that nemo-tts ships: recordings of the Free Spoken Digit Dataset that nemo-asr does not have.

    python tools/build_fsdd.py FSDD_FOLDER src/nemo_tts/datasets/fsdd

``FSDD_FOLDER`` is a checkout of github.com/Jakobovski/free-spoken-digit-dataset, or any folder whose files are named
``{digit}_{speaker}_{take}.wav`` (or ``.flac``). nemo-asr has takes 0-4, the data set's own test split, and 21 of the
others; the remaining 24 are for synthesis, so that a recogniser trained there judges voices trained here by recordings
that it has never heard. Recordings are concatenated, one FLAC a speaker; samples are not changed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile as sf

SAMPLE_RATE = 8000
SPEAKERS = ("george", "jackson", "theo")
#: What nemo-asr has, beside the test split: as its own tool chooses them.
TAKEN = {round(take) for take in np.linspace(5, 49, 21)}
TAKES = [take for take in range(5, 50) if take not in TAKEN]


def build(source: Path, target: Path) -> None:
    """Write the packed FLACs and ``index.json`` into ``target``."""
    found = {path.stem: path for path in source.rglob("*") if path.suffix in (".wav", ".flac")}
    target.mkdir(parents=True, exist_ok=True)
    packs = []
    for speaker in SPEAKERS:
        pieces, entries, start = [], [], 0
        for digit in range(10):
            for take in TAKES:
                samples, rate = sf.read(found[f"{digit}_{speaker}_{take}"], dtype="int16")
                if rate != SAMPLE_RATE or samples.ndim != 1:
                    raise SystemExit(f"{digit}_{speaker}_{take}: not {SAMPLE_RATE} Hz mono")
                pieces.append(samples)
                entries.append([digit, take, start, len(samples)])
                start += len(samples)
        sf.write(target / f"{speaker}.flac", np.concatenate(pieces), SAMPLE_RATE, subtype="PCM_16", compression_level=1)
        packs.append({"file": f"{speaker}.flac", "speaker": speaker, "recordings": entries})
    index = {"sample_rate": SAMPLE_RATE, "recording": ["digit", "take", "start", "frames"], "packs": packs}
    (target / "index.json").write_text(json.dumps(index, separators=(",", ":")) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{sum(len(pack['recordings']) for pack in packs)} recordings, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    build(arguments.source, arguments.target)
