"""NVIDIA NeMo's side, run by the Python of its own environment: writes archives, reads ours, says what each computes.

``theirs.py write FOLDER`` makes a model of each configuration with random weights, ``theirs.py read FOLDER`` restores
what we exported. Both leave ``NAME.npz`` beside the archive, or ``NAME.error``.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf, open_dict

sys.path.insert(0, str(Path(__file__).parent))
from configurations import CONFIGURATIONS, SPECIAL, TOKENIZER


def main() -> None:
    what, folder = sys.argv[1], Path(sys.argv[2])
    logging.disable(logging.CRITICAL)
    from nemo.utils import logging as nemo_logging

    nemo_logging.setLevel(nemo_logging.CRITICAL)
    for name in json.loads((folder / "names.json").read_text()):
        if what == "write" and name not in CONFIGURATIONS:
            continue  # a model of our own
        if what == "read" and not (folder / f"{name}.export.nemo").exists():
            continue
        print(f"{what} {name}", flush=True)
        try:
            if what == "write":
                model = make(name, folder)
                model.save_to(str(folder / f"{name}.nemo"))
                outcome = folder / f"{name}.npz"
            else:
                from nemo.core.classes import ModelPT

                model = ModelPT.restore_from(str(folder / f"{name}.export.nemo"), map_location="cpu").eval()
                outcome = folder / f"{name}.export.npz"
            np.savez(outcome, **outputs(model, folder))
        except Exception:
            (folder / f"{name}.{what}.error").write_text(traceback.format_exc())


def make(name: str, folder: Path) -> Any:
    target, config = CONFIGURATIONS[name]
    config = json.loads(
        json.dumps(config)
        .replace(f'"{TOKENIZER}"', json.dumps(str(folder / "tokenizer")))
        .replace(f'"{SPECIAL}"', json.dumps(str(folder / "special")))
    )
    # NeMo sets up loaders while it makes a model, but not while it restores one.
    later = {section: config.pop(section) for section in ("train_ds", "validation_ds")}
    module, _, cls = target.rpartition(".")
    torch.manual_seed(sum(name.encode()))
    model = getattr(importlib.import_module(module), cls)(cfg=OmegaConf.create(config)).eval()
    # Otherwise norms are next to identities, and a mistake in one would not show.
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
                part.running_mean.normal_(0, 0.2)
                part.running_var.uniform_(0.5, 1.5)
            if "Norm" in type(part).__name__ and getattr(part, "weight", None) is not None:
                part.weight.add_(0.2 * torch.randn_like(part.weight))
                part.bias.add_(0.2 * torch.randn_like(part.bias))
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith(("pos_bias_u", "pos_bias_v")):
                parameter.normal_(0, 0.2)
        sharpen(model, folder)
    with open_dict(model.cfg):
        model.cfg.update(later)
    return model


def sharpen(model: Any, folder: Path) -> None:
    """Take the mean outputs off the biases, so that no token wins everywhere and transcripts depend on the speech."""
    given = np.load(folder / "audio.npz")
    audio, length = torch.from_numpy(given["audio"]), torch.from_numpy(given["length"])
    features, frames = model.preprocessor(input_signal=audio, length=length)
    encoded, _ = model.encoder(audio_signal=features, length=frames)
    for decoder in (getattr(model, "ctc_decoder", None), getattr(model, "decoder", None)):
        if type(decoder).__name__ == "ConvASRDecoder":
            decoder.decoder_layers[0].bias -= decoder(encoder_output=encoded).mean(dim=(0, 1))
    if hasattr(model, "joint"):
        bias = model.joint.joint_net[-1].bias
        bias -= joint(model, encoded, torch.from_numpy(given["targets"])).mean(dim=(0, 1, 2))[: len(bias)]
        bias += torch.randn_like(bias)


@torch.no_grad()
def outputs(model: Any, folder: Path) -> dict[str, Any]:
    given = np.load(folder / "audio.npz")
    audio, length = torch.from_numpy(given["audio"]), torch.from_numpy(given["length"])
    features, frames = model.preprocessor(input_signal=audio, length=length)
    encoded, encoded_length = model.encoder(audio_signal=features, length=frames)
    found = {"features": features, "features_length": frames, "encoded": encoded, "encoded_length": encoded_length}
    kind = type(model).__name__
    if kind == "EncDecMultiTaskModel":
        tokens = torch.from_numpy(given["tokens"])
        log_probs, _, states, _ = model(
            input_signal=audio,
            input_signal_length=length,
            transcript=tokens,
            transcript_length=torch.full((len(tokens),), tokens.shape[1]),
        )
        found |= {"log_probs": log_probs, "states": states}
    elif "SpeakerLabel" in kind:
        found["logits"], found["embedding"] = model(input_signal=audio, input_signal_length=length)
    elif "Classification" in kind:
        found["logits"] = model(input_signal=audio, input_signal_length=length)
    elif hasattr(model, "joint"):
        found["joint"] = joint(model, encoded, torch.from_numpy(given["targets"]))
        if hasattr(model, "ctc_decoder"):
            found["log_probs"] = model.ctc_decoder(encoder_output=encoded)
    else:
        found["log_probs"] = model.decoder(encoder_output=encoded)
    tokenizer = getattr(model, "tokenizer_type", "")
    if "logits" in found or (tokenizer == "agg" and kind != "EncDecMultiTaskModel"):
        return arrays(found)  # it cannot transcribe with several tokenizers
    texts = model.transcribe([str(path) for path in sorted(folder.glob("*.wav"))], batch_size=1, verbose=False)
    return {**arrays(found), "texts": np.array([getattr(text, "text", text) for text in texts])}


def joint(model: Any, encoded: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    predicted, *_ = model.decoder(targets=targets, target_length=torch.full((len(targets),), targets.shape[1]))
    model.joint.log_softmax = False
    logits = model.joint.joint(encoded.transpose(1, 2), predicted.transpose(1, 2))
    model.joint.log_softmax = None
    return logits


def arrays(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}


main()
