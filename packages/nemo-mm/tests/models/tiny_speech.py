"""The smallest model that hears, and what it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nemo_mm.data.word_tokenizer import word_tokenizer
from nemo_mm.models.salm import SpeechLanguageModel

MARK = 60
RATE = 8000
ARCHITECTURE: dict[str, Any] = {
    "language": {
        "family": "llama",
        "vocab_size": 61,
        "hidden_size": 32,
        "num_layers": 4,
        "num_heads": 4,
        "num_kv_heads": 2,
        "ffn_size": 64,
    },
    "media_token": MARK,
    # Dither is noise; without it a training is a function of its data.
    "preprocessor": {"_target_": "MelSpectrogram", "sample_rate": RATE, "features": 8, "dither": 0.0, "pad_to": 0},
    "encoder": {"_target_": "mm.StridedEncoder", "feat_in": 8, "feat_out": 16, "stride": 2},
    "stack": 4,
}
EACH = 80 * 2 * 4  # samples of an embedding


def make(**changes: Any) -> SpeechLanguageModel:
    return SpeechLanguageModel({**ARCHITECTURE}, seed=1, **changes)


def make_with_ctc() -> SpeechLanguageModel:
    return SpeechLanguageModel({**ARCHITECTURE, "ctc_weight": 10.0}, seed=1)


def batch_with_transcripts(step: int) -> dict[str, Tensor]:
    """What is said in each recording: three tokens or fewer; of some it is not known."""
    generator = torch.Generator().manual_seed(100 + step)
    found = batch(step)
    shape = found["audio_length"].shape
    length = torch.randint(0, 4, shape, generator=generator) * (found["audio_length"] > 0)
    return {
        **found,
        "transcript": torch.randint(0, 60, (*shape, 3), generator=generator),
        "transcript_length": length,
    }


def batch(step: int, rows: int = 8, length: int = 24) -> dict[str, Tensor]:
    """Rows with none, one or two recordings of lengths of their own."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, 60, (rows, length + 1), generator=generator)
    counts = torch.arange(rows) % 3
    lengths = torch.zeros(rows, 2, dtype=torch.long)
    for row in range(rows):
        place = 1
        for number in range(int(counts[row])):
            embeddings = 1 + (row + number) % 4
            lengths[row, number] = embeddings * EACH - (17 * row) % EACH
            tokens[row, place : place + embeddings] = MARK
            place += embeddings + 2
    audio = torch.randn(rows, 2, int(lengths.max()), generator=generator) * 0.1
    inside = torch.arange(audio.shape[2]) < lengths[..., None]
    learned = (torch.arange(length)[None] >= 12) & (tokens[:, 1:] != MARK)
    return {
        "tokens": tokens[:, :-1],
        "labels": tokens[:, 1:],
        "loss_mask": learned.float(),
        "audio": audio * inside,
        "audio_length": lengths,
        "audio_counts": counts,
        "kind": torch.zeros(rows, dtype=torch.long),
        "skipped": torch.zeros(rows, dtype=torch.long),
    }


TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'user' %}<user>{{ m.content }}{% else %}<assistant>"
    "{% generation %}{{ m.content }}<end>{% endgeneration %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def tokenizer() -> Any:
    special = ["<audio>", "<user>", "<assistant>", "<end>"]
    return word_tokenizer("what is it one two", special, eos_token="<end>", pad_token="<end>", chat_template=TEMPLATE)


def architecture(**changes: Any) -> dict[str, Any]:
    language = {**ARCHITECTURE["language"], "vocab_size": None, "num_layers": 1}
    return {**ARCHITECTURE, "language": language, "media_token": "<audio>", **changes}


def saved(folder: Path) -> Path:
    """Write a model with its tokenizer, as a run does."""
    from nemo_llm.megatron import engine
    from nemo_llm.megatron.checkpoint import save_model_folder

    with engine(seed=1):
        model = SpeechLanguageModel(architecture(), tokenizer(), seed=1)
        model.build()
        path = folder / "model.dist"
        return save_model_folder(path, list(model.chunks), model.config, tokenizer=model.tokenizer)
