"""Strings of spoken digits: FastConformer-CTC from nothing, and FastConformer-TDT from its encoder, on two cores."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from nemo_core.testing.bench import versions

#: Word error rate on 640 strings of recordings that were not trained on; minutes of the whole command.
TARGET_WER, TARGET_MINUTES = 0.02, 6.0


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ctc = _train(folder, "asr/fastconformer_ctc")
        tdt = _train(
            folder, "asr/fastconformer_hybrid_tdt_ctc", "trainer.max_epochs=2", f"init_from={folder}/ctc/v1/model.nemo"
        )
    rows = [{"what": "CTC, from nothing", **ctc}, {"what": "TDT, from the CTC model's encoder", **tdt}]
    return {
        "ours": max(ctc["test WER"], tdt["test WER"]),
        "peer": TARGET_WER,
        "unit": "WER",
        "target": f"<= {TARGET_WER:.0%} WER, <= {TARGET_MINUTES:g} min each",
        "ok": all(row["test WER"] <= TARGET_WER and row["minutes"] <= TARGET_MINUTES for row in rows),
        "minutes": [ctc["minutes"], tdt["minutes"]],
        "versions": versions("nemo-core", "nemo-asr", "torch"),
        "rows": rows,
    }


def _train(folder: Path, recipe: str, *overrides: str) -> dict[str, Any]:
    name = "tdt" if "tdt" in recipe else "ctc"
    command = [sys.executable, "-m", "nemo_core.cli.main", "train", recipe, "asr/data=spoken_digits", *overrides]
    started = time.perf_counter()
    subprocess.run([*command, f"experiment.dir={folder}", f"name={name}"], check=True, stdout=sys.stderr)
    minutes = (time.perf_counter() - started) / 60
    metrics = json.loads((folder / name / "v1/metrics.json").read_text())
    return {"test WER": metrics["test_wer"], "test CER": metrics["test_cer"], "minutes": minutes}
