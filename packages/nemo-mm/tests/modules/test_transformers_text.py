"""Against the library itself, on small random models in the layout of Hugging Face."""

from __future__ import annotations

import json

import pytest
import torch
from generation_support import make_generator

from nemo_core.errors import ConfigError, DataError
from nemo_mm.models import PretrainedText, restore
from nemo_mm.modules import TransformersText

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

WORDS = ["<pad>", "</s>", "a", "red", "cat", "owl", "at", "night"]


@pytest.fixture(params=["t5", "clip"])
def folder(request, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(0)
    sizes = {"num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2}
    if request.param == "t5":
        config = transformers.T5Config(
            vocab_size=8, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2, pad_token_id=0, eos_token_id=1
        )
        model = transformers.T5EncoderModel(config)
    else:
        config = transformers.CLIPTextConfig(
            vocab_size=8, **sizes, max_position_embeddings=6, pad_token_id=0, bos_token_id=0, eos_token_id=1
        )
        model = transformers.CLIPTextModel(config)
    model.save_pretrained(tmp_path / "text")
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(tmp_path / "text" / "tokenizer.json"))
    return tmp_path / "text", model.eval()


def test_encodings_are_those_of_the_library(folder):
    path, theirs = folder
    encoder = TransformersText.from_folder(path)
    texts = ["a red cat", "owl"]
    with torch.no_grad():
        found, mask = encoder.encode_texts(texts)
        assert mask.sum(1).tolist() == [4, 2]
        for row, ids in enumerate([[2, 3, 4, 1], [5, 1]]):
            expected = theirs(input_ids=torch.tensor([ids])).last_hidden_state
            torch.testing.assert_close(found[row : row + 1, : len(ids)], expected, rtol=1e-4, atol=1e-4)


def test_pictures_of_texts_are_made_from_an_archive_alone(folder, tmp_path):
    path, _ = folder
    model = make_generator(network={"classes": None, "text_width": 8}, text_encoder=PretrainedText(str(path)))
    assert not any(weight.requires_grad for weight in model.text_encoder.parameters())
    expected = model.sample(texts=["a red cat"], steps=2, guidance=2)
    model.save(tmp_path / "model.nemo")
    for file in path.iterdir():
        file.unlink()
    assert torch.equal(restore(tmp_path / "model.nemo").sample(texts=["a red cat"], steps=2, guidance=2), expected)


def test_what_is_no_text_encoder_is_said(folder):
    path, _ = folder
    with pytest.raises(DataError, match="a text of 4 tokens"):
        TransformersText.from_folder(path, max_length=3).encode_texts(["a red cat"])
    (path / "model.safetensors").unlink()
    with pytest.raises(DataError, match="safetensors"):
        TransformersText.from_folder(path)
    (path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConfigError, match="is of a bert"):
        TransformersText.from_folder(path)
    (path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="is no text encoder"):
        TransformersText.from_folder(path)
