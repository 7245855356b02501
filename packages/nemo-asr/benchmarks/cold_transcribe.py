"""Cold ``nemo transcribe`` of one 5 s file, process start to exit, against importing torch and Lightning."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from nemo_asr.data import ConnectedDigits
from nemo_core.config import Trust, compose, instantiate
from nemo_core.testing.bench import in_turn, process_seconds

TARGET = 2.5
SECONDS = 5


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        archive, audio = _prepare(Path(folder))
        command = [sys.executable, "-m", "nemo_core.cli.main", "transcribe", str(archive), str(audio)]
        statements = {
            "bare Python": "pass",
            "import torch": "import torch",
            "import pytorch_lightning": "import pytorch_lightning",
            "import torch, pytorch_lightning": "import torch, pytorch_lightning",
        }
        sides = {what: process_seconds([sys.executable, "-c", code]) for what, code in statements.items()}
        took = in_turn({"nemo transcribe": process_seconds(command), **sides})
    ours, peer = took["nemo transcribe"], took["import torch, pytorch_lightning"]
    rows = [
        {
            "what": what,
            "seconds": value,
            "x bare Python": value / took["bare Python"],
            "x torch": value / took["import torch"],
            "x torch and Lightning": value / peer,
        }
        for what, value in took.items()
    ]
    target = f"<= {TARGET} x import torch and Lightning"
    return {"ours": ours, "peer": peer, "unit": "s", "target": target, "ok": ours <= TARGET * peer, "rows": rows}


def _prepare(folder: Path) -> tuple[Path, Path]:
    """Write the model of the recipe, with random weights, and five seconds of speech."""
    model = instantiate(compose("asr/spoken_digits").model, trust=Trust.user())
    strings = ConnectedDigits("test", size=16)
    speech = np.concatenate([strings[index].audio for index in (6, 7, 14, 15)])
    rate = strings.sample_rate
    sf.write(folder / "speech.wav", speech[: SECONDS * rate], rate)
    return model.save(folder / "model.nemo"), folder / "speech.wav"
