"""Text encoders of Hugging Face: T5's encoder and CLIP's text tower."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nemo_core import types as nt
from nemo_core.errors import ConfigError, DataError
from nemo_core.modules import NeuralModule

__all__ = ["TransformersText"]

#: Type of model in ``config.json``: the configuration and the model of its text encoder.
_FAMILIES = {
    "t5": ("T5Config", "T5EncoderModel"),
    "mt5": ("MT5Config", "MT5EncoderModel"),
    "clip": ("CLIPTextConfig", "CLIPTextModel"),
    "clip_text_model": ("CLIPTextConfig", "CLIPTextModel"),
}


class TransformersText(NeuralModule):
    """A text encoder of the library transformers, which it needs.

    Give :meth:`from_folder` a folder of Hugging Face; in a recipe, ``mm.PretrainedText``. Archives keep configuration,
    tokenizer and weights, and need the folder no more.

    Args:
        config: File ``config.json`` of T5 (and mT5) or CLIP.
        tokenizer: File ``tokenizer.json``.
        max_length: Most tokens of a text; the model's own limit if not given, 512 where it has none.

    Raises:
        ConfigError: transformers is not installed, or it is another kind of model.
        DataError: A file is missing or damaged.
    """

    def __init__(self, config: str | Path, tokenizer: str | Path, max_length: int | None = None) -> None:
        super().__init__()
        from tokenizers import Tokenizer

        try:
            self._config, self._tokenizer = Path(config).read_bytes(), Path(tokenizer).read_bytes()
            settings: dict[str, Any] = json.loads(self._config)
            self.tokenizer = Tokenizer.from_buffer(self._tokenizer)
        except Exception as error:  # tokenizers raises Exception itself
            raise DataError(
                f"{Path(config).parent} is no text encoder: {error}", hint="it has config.json and tokenizer.json"
            ) from None
        self.network, own = _build(settings, str(config))
        self.text_width = int(own.hidden_size)
        self.pad = int(own.pad_token_id or 0)
        self.max_length = max_length or int(getattr(own, "max_position_embeddings", 512))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    @classmethod
    def from_folder(cls, folder: str | Path, max_length: int | None = None) -> TransformersText:
        """Return the text encoder of a folder of Hugging Face, with its weights.

        Raises:
            ConfigError: It is another kind of model.
            DataError: A file is missing or damaged.
        """
        path = Path(folder)
        encoder = cls(path / "config.json", path / "tokenizer.json", max_length)
        try:
            theirs = type(encoder.network).from_pretrained(path, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{path}: {error}", hint="weights are read from model.safetensors") from None
        encoder.network.load_state_dict(theirs.state_dict())
        return encoder.eval()

    def artifacts(self) -> Mapping[str, bytes]:
        """Return the files for an archive to keep."""
        return {"config": self._config, "tokenizer": self._tokenizer}

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``tokens`` (B, S), and how many of them there are, ``lengths`` (B,)."""
        return {
            "tokens": nt.NeuralType(("B", "SEQ"), nt.TokenIndex()),
            "lengths": nt.NeuralType(("B",), nt.Lengths()),
        }

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``text`` (B, S, D), and which positions hold a token, ``text_mask`` (B, S)."""
        return {
            "text": nt.NeuralType(("B", "SEQ", f"D:{self.text_width}"), nt.EncodedRepresentation()),
            "text_mask": nt.NeuralType(("B", "SEQ"), nt.Mask()),
        }

    @nt.typed
    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last hidden states (B, S, D) of tokens (B, S), and which positions hold one (B, S)."""
        mask = torch.arange(tokens.shape[1], device=tokens.device) < lengths.unsqueeze(1)
        return self.network(input_ids=tokens, attention_mask=mask.long()).last_hidden_state, mask

    def encode_texts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the encodings (B, S, D), and which positions hold a token (B, S).

        Raises:
            DataError: A text is too long.
        """
        pieces = [each.ids for each in self.tokenizer.encode_batch(list(texts))]
        for text, piece in zip(texts, pieces, strict=True):
            if not 0 < len(piece) <= self.max_length:
                raise DataError(f"a text of {len(piece)} tokens: {text[:40]!r}", hint=f"1 to {self.max_length} will do")
        tokens = nn.utils.rnn.pad_sequence([torch.tensor(each) for each in pieces], True, float(self.pad))
        lengths = torch.tensor([len(each) for each in pieces])
        device = next(self.network.parameters()).device
        encoded: tuple[Tensor, Tensor] = self(tokens=tokens.to(device), lengths=lengths.to(device))
        return encoded


def _build(settings: dict[str, Any], where: str) -> tuple[Any, Any]:
    try:
        import transformers
    except ImportError:
        raise ConfigError(
            "text encoders of Hugging Face need the library transformers", hint="pip install 'nemo-mm[transformers]'"
        ) from None
    kind = settings.get("model_type")
    if kind not in _FAMILIES:
        raise ConfigError(f"{where} is of a {kind}", hint=f"text encoders can be {', '.join(_FAMILIES)}")
    config_name, model_name = _FAMILIES[kind]
    own = getattr(transformers, config_name)(**(settings.get("text_config") or settings))
    return getattr(transformers, model_name)(own), own
