"""Parity with NVIDIA NeMo over many configurations of its model classes, on real speech, in both directions.

``nox -s nvidia`` runs this: NeMo, in an environment of its own (:mod:`nemo_core.testing.peers`), writes an archive of
each configuration and what it computes; we restore it and compute the same; then we export what we restored, NeMo
restores that, and computes it again. Models of our own, which NeMo never wrote, go the second half of the way. Names of
configurations as arguments choose some of them.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import soundfile as sf
import soxr
import torch
from torch.nn import functional as F

import nemo_asr
from nemo_asr.data import ConnectedDigits
from nemo_asr.tokenizers import SpecialTokens, train_sentence_piece
from nemo_core.cli.output import table
from nemo_core.errors import NemoError
from nemo_core.models import export
from nemo_core.testing import NVIDIA_NEMO, peer_environment

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from configurations import CONFIGURATIONS, KNOWN, VOCABULARY  # noqa: E402
from our_models import OUR_MODELS  # noqa: E402

#: Largest difference, relative to the largest value.
TOLERANCE = 1e-4
STAGES = ("features", "encoded", "joint", "log_probs", "logits", "embedding", "states")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="configurations; all if none is named", metavar="NAME")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="work in this folder and keep what is written")
    options = parser.parse_args()
    known = [*CONFIGURATIONS, *OUR_MODELS]
    names = options.names or known
    unknown = sorted(set(names) - set(known))
    if unknown:
        parser.error(f"no configuration is called {', '.join(unknown)}")
    python = peer_environment("nemo", NVIDIA_NEMO)
    with tempfile.TemporaryDirectory(prefix="nvidia-") as temporary:
        folder = options.keep or Path(temporary)
        prepare(folder, names)
        theirs(python, "write", folder)
        results = {name: made(name, folder) if name in OUR_MODELS else read(name, folder) for name in names}
        theirs(python, "read", folder)
        for name in names:
            results[name]["export"] = exported(name, folder)
    report(results)


def prepare(folder: Path, names: list[str]) -> None:
    """Write what both sides start from: speech, tokenizers, targets."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in (*folder.glob("*.error"), *folder.glob("*.export.*")):
        left.unlink()
    (folder / "names.json").write_text(json.dumps(names))
    digits = list(ConnectedDigits("test", size=4, min_digits=2, max_digits=5, seed=7))
    # A little noise: what was recorded at 8 kHz is digital silence above 4 kHz, which no norm can be taken of.
    rng = np.random.default_rng(0)
    speech = [soxr.resample(item.audio, ConnectedDigits.sample_rate, 16000) for item in digits]
    speech = [(each + 1e-3 * rng.standard_normal(len(each))).astype(np.float32) for each in speech]
    for index, samples in enumerate(speech):
        sf.write(folder / f"{index}.wav", samples, 16000, subtype="FLOAT")
    pair = speech[3], speech[0]
    audio = np.zeros((2, max(map(len, pair))), np.float32)
    for row, samples in zip(audio, pair, strict=True):
        row[: len(samples)] = samples
    np.savez(
        folder / "audio.npz",
        audio=audio,
        length=np.array([len(samples) for samples in pair]),
        targets=rng.integers(1, 20, (2, 6)),
        tokens=rng.integers(4, 60, (2, 9)),
    )
    texts = [item.text for item in digits] + ["typed neural modules", "the quick brown fox jumps over a lazy dog"]
    write_tokenizer(folder / "tokenizer", train_sentence_piece(texts, vocab_size=VOCABULARY))
    write_special(folder / "special")


def write_tokenizer(folder: Path, model: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model)
    for listing in ("vocab.txt", "tokenizer.vocab"):
        (folder / listing).write_text("")


def write_special(folder: Path) -> None:
    """Write the tokenizer of Canary's special tokens, as a SentencePiece model of nothing else."""
    special = SpecialTokens(["en", "de", "es", "fr"])
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a"]),
        model_writer=model,
        vocab_size=len(special) + 3,  # besides <unk>, the two symbols of the sentence
        user_defined_symbols=special.vocabulary,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    write_tokenizer(folder, model.getvalue())


def theirs(python: Path, what: str, folder: Path) -> None:
    subprocess.run([python, str(HERE / "theirs.py"), what, str(folder)], check=True)


def read(name: str, folder: Path) -> dict[str, Any]:
    """Restore NVIDIA's archive, compare what it computes, and export it."""
    if (error := folder / f"{name}.write.error").exists():
        return {"ours": f"NeMo cannot: {error.read_text().strip().splitlines()[-1][:100]}"}
    expected = np.load(folder / f"{name}.npz")
    try:
        model = nemo_asr.restore(folder / f"{name}.nemo")
        found = outputs(model, folder)
    except NemoError as error:
        return {"ours": f"refused: {str(error).splitlines()[0][:100]}"}
    np.savez(folder / f"{name}.ours.npz", **found)
    result = compare(expected, found)
    try:
        export(model, folder / f"{name}.export.nemo", "nvidia-nemo", overwrite=True)
    except NemoError as error:
        (folder / f"{name}.read.error").write_text(f"not written: {error.message}")
    return result


def made(name: str, folder: Path) -> dict[str, Any]:
    """Make a model of our own, and export it."""
    torch.manual_seed(sum(name.encode()))
    model = OUR_MODELS[name](folder / "tokenizer" / "tokenizer.model").eval()
    np.savez(folder / f"{name}.ours.npz", **outputs(model, folder))
    export(model, folder / f"{name}.export.nemo", "nvidia-nemo", overwrite=True)
    return {"ours": "ok"}


def exported(name: str, folder: Path) -> str | float:
    """Compare what NVIDIA NeMo computes with our archive with what we do."""
    if not (folder / f"{name}.ours.npz").exists():
        return ""
    if not (folder / f"{name}.export.npz").exists():
        said = folder / f"{name}.read.error"
        if not said.exists():
            return "not run"
        return (said.read_text().strip().splitlines() or ["?"])[-1][:100]
    compared = compare(np.load(folder / f"{name}.export.npz"), np.load(folder / f"{name}.ours.npz"))
    return compared["ours"] if compared["ours"] != "ok" else max(v for v in compared.values() if isinstance(v, float))


@torch.no_grad()
def outputs(model: Any, folder: Path) -> dict[str, np.ndarray]:
    given = np.load(folder / "audio.npz")
    audio, length = torch.from_numpy(given["audio"]), torch.from_numpy(given["length"])
    features, frames = model.preprocessor(audio=audio, length=length)
    encoded, encoded_length = model.encoder(features=features, length=frames)
    found = {"features": features, "features_length": frames, "encoded": encoded, "encoded_length": encoded_length}
    kind = type(model).__name__
    if kind == "MultitaskModel":
        found["states"] = model.encode(audio, length)[0].transpose(1, 2)
        found["log_probs"] = model(audio=audio, length=length, tokens=torch.from_numpy(given["tokens"]))
    elif kind == "SpeakerModel":
        found["logits"], found["embedding"] = model(audio=audio, length=length)
    elif kind == "ClassificationModel":
        found["logits"] = model(audio=audio, length=length)
    elif kind == "CTCModel":
        found["log_probs"] = model.decoder(encoded=encoded)
    else:
        targets = torch.from_numpy(given["targets"])
        predicted = model.predictor(targets=targets, target_length=torch.full((len(targets),), targets.shape[1]))
        found["joint"] = model.joint(encoded=encoded.transpose(1, 2), predicted=predicted)
        if type(model.joint).__name__ == "HATJoint":  # NeMo's gives what the logits stand for
            labels, blank = found["joint"][..., :-1].log_softmax(dim=-1), found["joint"][..., -1:]
            found["joint"] = torch.cat([labels + F.logsigmoid(-blank), F.logsigmoid(blank)], dim=-1)
        if kind == "HybridModel":
            found["log_probs"] = model.ctc_decoder(encoded=encoded)
    result = {name: tensor.float().numpy() for name, tensor in found.items()}
    if hasattr(model, "transcribe"):
        heard = model.transcribe([str(path) for path in sorted(folder.glob("*.wav"))])
        result["texts"] = np.array([hypothesis.text for hypothesis in heard])
    return result


def compare(expected: Any, found: Any) -> dict[str, Any]:
    """Return the largest difference of each stage, and whether all is as it should be."""
    result: dict[str, Any] = {}
    problems = []
    for stage in STAGES:
        if stage not in expected:
            continue
        want, have = np.array(expected[stage]), np.array(found[stage])
        if "states" in expected:  # NeMo rounds the number of outputs up
            want, have = (each[..., : min(want.shape[-1], have.shape[-1])] for each in (want, have))
        if want.shape != have.shape:
            problems.append(f"{stage} {have.shape} instead of {want.shape}")
            continue
        for row, count in enumerate(frames_of(stage, expected)):
            want[row], have[row] = (inside(stage, each[row], count) for each in (want, have))
        result[stage] = float(np.abs(want - have).max() / np.abs(want).max())
        if not result[stage] <= TOLERANCE:
            problems.append(f"{stage} differs")
    for stage in ("features_length", "encoded_length"):
        if expected[stage].tolist() != found[stage].tolist():
            problems.append(f"{stage} {found[stage].tolist()} instead of {expected[stage].tolist()}")
    if "texts" in expected:
        same = int((expected["texts"] == found["texts"]).sum())
        result["texts"] = f"{same} of {len(expected['texts'])}"
        if same < len(expected["texts"]):
            problems.append("transcripts differ")
    return {**result, "ours": "; ".join(problems) or "ok"}


def frames_of(stage: str, expected: Any) -> list[int]:
    """Return how many frames of each utterance count at a stage."""
    if stage == "features":
        return [int(count) for count in expected["features_length"]]
    if stage in ("encoded", "joint", "log_probs") and "states" not in expected:
        return [int(count) for count in expected["encoded_length"]]
    return []


def inside(stage: str, values: np.ndarray, count: int) -> np.ndarray:
    values = values.copy()
    values[..., count:] *= 0 if stage in ("features", "encoded") else 1
    if stage not in ("features", "encoded"):
        values[count:] = 0
    return values


def report(results: dict[str, dict[str, Any]]) -> None:
    columns = [*STAGES, "texts", "export", "ours"]
    rows = [[name, *(shown(result.get(column)) for column in columns)] for name, result in results.items()]
    table("Largest difference from NVIDIA NeMo, relative to the largest value", ["configuration", *columns], rows)
    differ = [name for name, result in results.items() if result["ours"] != "ok" or isinstance(result["export"], str)]
    wrong = [name for name in differ if name not in KNOWN]
    print(f"\n{len(results) - len(differ)} of {len(results)} agree" + (f"; not: {', '.join(wrong)}" if wrong else ""))
    for name in differ:
        if name in KNOWN:
            print(f"as is meant: {name}: {KNOWN[name]}")
    raise SystemExit(bool(wrong))


def shown(value: Any) -> Any:
    return f"{value:.0e}" if isinstance(value, float) else value


main()
