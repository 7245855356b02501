"""JSON Lines to .bin/.idx in two processes: nemo llm prepare-data against the way of megatron's preprocess_data.

Megatron-LM's ``tools/preprocess_data.py`` is no part of the package megatron-core, so that the peer
(``sides/preprocess_data.py``) is a program of ours with the same structure: a ``multiprocessing.Pool`` whose ``imap``
is fed one line at a time in chunks of 32, and which parses the line and calls the Hugging Face tokenizer on the text;
the parent hands each document to megatron-core's ``IndexedDatasetBuilder``. A second row calls the library
``tokenizers`` itself in its place, which that tool does not do. The tokenizer is the same on all sides, a byte-level
BPE of 16,000 tokens that cuts texts as GPT-2 does, and what they write is compared byte for byte. Seconds do not count
starting Python and importing, which for the peer is longer (torch, transformers).

The corpus is 16 MB of documents of 100 to 8,000 characters: cuts of the texts in ``shared/data/text`` beside the
repository, if they are there, else of words drawn by Zipf's law.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nemo_core.testing.bench import in_turn, versions

WORKERS, MEGABYTES, ROUNDS, TARGET = 2, 16, 3, 2.0
SIDES = Path(__file__).parent / "sides"
TEXTS = Path(__file__).parents[3].parent / "shared" / "data" / "text"


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines, tokenizer, source = _corpus(folder)
        print(f"{MEGABYTES} MB of {source}, {WORKERS} processes", file=sys.stderr)
        took = in_turn(
            {
                "ours": _side("prepare_data.py", lines, folder / "ours", tokenizer),
                "transformers": _side("preprocess_data.py", lines, folder / "peer", tokenizer, "transformers"),
                "tokenizers": _side("preprocess_data.py", lines, folder / "bare", tokenizer, "tokenizers"),
            },
            rounds=ROUNDS,
        )
        for side in ("peer", "bare"):
            for suffix in (".bin", ".idx"):
                same = (folder / f"ours{suffix}").read_bytes() == (folder / f"{side}{suffix}").read_bytes()
                assert same, f"the sides wrote different {suffix}"
    speed = {side: MEGABYTES / seconds for side, seconds in took.items()}
    ours, peer = speed["ours"], speed["transformers"]
    return {
        "ours": ours,
        "peer": peer,
        "unit": "MB/s",
        "target": f">= {TARGET:.1f} x",
        "ok": ours >= TARGET * peer,
        "versions": versions("nemo-llm", "megatron-core", "tokenizers", "transformers"),
        "corpus": source,
        "rows": [
            {"what": "preprocess_data, transformers", "ours": ours, "peer": peer, "unit": "MB/s"},
            {"what": "preprocess_data, tokenizers", "ours": ours, "peer": speed["tokenizers"], "unit": "MB/s"},
        ],
    }


def _side(program: str, lines: Path, output: Path, *arguments: Any) -> Callable[[], float]:
    """Return a function that runs a side and returns the seconds that it says it took."""
    command = [sys.executable, str(SIDES / program), str(lines), str(output), str(WORKERS), *map(str, arguments)]

    def measure() -> float:
        environ = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")
        return float(done.stdout.splitlines()[-1])

    return measure


def _corpus(folder: Path) -> tuple[Path, Path, str]:
    """Write the corpus and a tokenizer that has learned from it; return both, and what the corpus is."""
    rng = random.Random(0)
    text, source = _text(rng)
    lines = folder / "corpus.jsonl"
    documents, size = [], 0
    while size < MEGABYTES * 1_000_000:
        start = rng.randrange(len(text) - 8000)
        document = text[start : start + round(100 * 80 ** rng.random())]
        documents.append(document)
        size += len(json.dumps({"text": document}, ensure_ascii=False).encode()) + 1
    with lines.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": document}, ensure_ascii=False) + "\n" for document in documents)
    import tokenizers

    learned = tokenizers.ByteLevelBPETokenizer()
    learned.train_from_iterator(documents[:2000], vocab_size=16_000, special_tokens=["<|endoftext|>"])
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    learned.save(str(tokenizer / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "model_max_length": 10**9}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(config))
    return lines, tokenizer, source


def _text(rng: random.Random) -> tuple[str, str]:
    if TEXTS.is_dir():
        problems = [json.loads(line) for line in (TEXTS / "gsm8k" / "train.jsonl").read_text("utf-8").splitlines()]
        return (
            (TEXTS / "tinyshakespeare.txt").read_text("utf-8")
            + "\n".join(f"{problem['question']}\n{problem['answer']}\n" for problem in problems)
            + (TEXTS / "zh_classics.txt").read_text("utf-8")[:100_000]
        ), "Shakespeare, GSM8K and Chinese classics"
    print(f"{TEXTS} is not there: the corpus is made of drawn words", file=sys.stderr)
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(rng.choices(letters, k=rng.randint(1, 11))) for _ in range(50_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return " ".join(rng.choices(words, weights, k=1_000_000)), "words drawn by Zipf's law"
