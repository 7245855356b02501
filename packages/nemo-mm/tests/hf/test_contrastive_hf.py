"""CLIP and SigLIP of transformers: the same answers, and the same bits on the way back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from nemo_core.errors import ArchiveError, ConfigError, ExportError, NemoError
from nemo_core.models import restore
from nemo_mm.hf import export_hf, import_hf

transformers = pytest.importorskip("transformers")

LAYERS = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "attention_dropout": 0.0,
}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A byte-level tokenizer with CLIP's special tokens, as tokenizer.json."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
    special = [(token, tokenizer.token_to_id(token)) for token in ("<|startoftext|>", "<|endoftext|>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>", special_tokens=special
    )
    folder = tmp_path_factory.mktemp("words")
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**named, "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 20})
    )
    return folder


def make(kind: str, folder, words) -> torch.nn.Module:
    torch.manual_seed(3)
    vision = {**LAYERS, "image_size": 24, "patch_size": 8}
    text = {**LAYERS, "vocab_size": 260, "max_position_embeddings": 20, "bos_token_id": 256, "eos_token_id": 257}
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
        model = transformers.CLIPModel(config)
        processor = {"size": {"shortest_edge": 24}, "crop_size": {"height": 24, "width": 24}}
    else:
        text |= {"pad_token_id": 257, "projection_size": 32}
        config = transformers.SiglipConfig(text_config=text, vision_config=vision)
        model = transformers.SiglipModel(config)
        torch.nn.init.constant_(model.logit_scale, 2.0)
        torch.nn.init.constant_(model.logit_bias, -3.0)
        processor = {"size": {"height": 24, "width": 24}}
    for name, weight in model.named_parameters():  # biases and norms that are not trivial, so that none can be lost
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, std=0.2, mean=1.0 if name.endswith("norm.weight") else 0.0)
    model.eval().save_pretrained(folder)
    for path in words.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return model


@pytest.fixture(params=["clip", "siglip"])
def theirs(request, tmp_path, words):
    folder = tmp_path / "theirs"
    return request.param, folder, make(request.param, folder, words)


TEXTS = ["a cat", "A much longer story than fits into it", "x"]


def test_logits_agree(theirs):
    kind, folder, model = theirs
    ours = import_hf(folder)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((24, 24, 3), (40, 30, 3), (20, 60, 3))]
    front = ours.second.front
    batch = front.batch([front.read(text) for text in TEXTS])
    pixels = ours.first.front(ours.first.front.stack(images))
    with torch.no_grad():
        expected = model(input_ids=batch["tokens"], pixel_values=pixels)
        found = ours(images=ours.first.front.stack(images), **batch)
    torch.testing.assert_close(found, expected.logits_per_image, rtol=0, atol=1e-4)
    torch.testing.assert_close(ours.embed("text", TEXTS), expected.text_embeds, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.embed("image", images), expected.image_embeds, rtol=0, atol=1e-5)
    assert {"clip": "softmax", "siglip": "sigmoid"}[kind] in type(ours.loss).__name__.lower()


def test_losses_and_gradients_agree(theirs):
    _, folder, model = theirs
    ours = import_hf(folder).train()
    front = ours.second.front
    batch = front.batch([front.read(text) for text in ("a", "bc", "def", "g")])
    images = torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8)
    first, second = ours._embed(ours.first, {"images": images}), ours._embed(ours.second, batch)
    mine = ours.loss(first=first, second=second)
    mine.backward()
    yours = model(input_ids=batch["tokens"], pixel_values=ours.first.front(images), return_loss=True).loss
    yours.backward()
    torch.testing.assert_close(mine, yours, rtol=1e-5, atol=1e-5)
    for name, there in (
        ("patches.weight", "embeddings.patch_embedding.weight"),
        ("positions", "embeddings.position_embedding.weight"),
        ("transformer.layers.0.fc1.weight", "encoder.layers.0.mlp.fc1.weight"),
        ("transformer.layers.1.attention.out.bias", "encoder.layers.1.self_attn.out_proj.bias"),
    ):
        grad = model.get_parameter(f"vision_model.{there}").grad
        torch.testing.assert_close(ours.first.encoder.get_parameter(name).grad, grad.view_as(
            ours.first.encoder.get_parameter(name)
        ), rtol=1e-3, atol=1e-5)  # fmt: skip


def test_there_and_back_is_the_same_to_the_bit(theirs, tmp_path):
    kind, folder, model = theirs
    archive = import_hf(folder).save(tmp_path / "model.nemo")
    assert export_hf(restore(archive), tmp_path / "back") == []
    cls = {"clip": transformers.CLIPModel, "siglip": transformers.SiglipModel}[kind]
    again, report = cls.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    expected, found = model.state_dict(), again.state_dict()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    config, before = json.loads((tmp_path / "back/config.json").read_text()), model.config.to_dict()
    for group in ("vision_config", "text_config"):
        for key, value in config[group].items():
            if key != "projection_dim":  # there, transformers itself takes that of the whole model
                assert before[group].get(key, value) == value, f"{group}.{key}"
    if kind == "clip":
        assert config["projection_dim"] == before["projection_dim"] == 16
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    front = import_hf(folder).second.front
    assert tokenizer("a cat")["input_ids"] == front.read("a cat").tolist()


def test_the_preprocessor_file_is_understood_by_its_class(theirs, tmp_path):
    kind, folder, _ = theirs
    export_hf(import_hf(folder), tmp_path / "back")
    if kind == "clip":
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil as Processor
    else:
        from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil as Processor
    image = np.random.default_rng(1).integers(0, 256, (50, 33, 3), dtype=np.uint8)
    theirs_ = Processor.from_pretrained(tmp_path / "back")(image, return_tensors="pt")["pixel_values"]
    ours = import_hf(tmp_path / "back").first.front
    torch.testing.assert_close(ours(ours.stack([image])), theirs_, rtol=0, atol=1e-5)


def test_bad_folders(theirs, tmp_path, words):
    _, folder, _ = theirs
    with pytest.raises(ArchiveError, match=r"has no config\.json"):
        import_hf(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "clipseg"}))
    with pytest.raises(ConfigError, match=r"clipseg.*\n.*clip"):
        import_hf(folder)
    smaller = {**config, "vision_config": {**config["vision_config"], "num_hidden_layers": 1}}
    (folder / "config.json").write_text(json.dumps(smaller))
    with pytest.raises(ArchiveError, match=r"unexpected: vision_model\.encoder\.layers\.1"):
        import_hf(folder)
    wider = {**config, "vision_config": {**config["vision_config"], "intermediate_size": 52}}
    (folder / "config.json").write_text(json.dumps(wider))
    with pytest.raises(ArchiveError, match=r"mlp\.fc1"):
        import_hf(folder)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="has no tokenizer"):
        import_hf(folder)
    import_hf(folder, tokenizer=words)


def test_what_transformers_has_no_words_for(theirs, tmp_path):
    _, folder, _ = theirs
    model = import_hf(folder)
    model.second.encoder.pool = "mean"
    with pytest.raises(ExportError, match="text transformer"):
        export_hf(model, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    model = import_hf(folder)
    (tmp_path / "there").mkdir()
    with pytest.raises(NemoError, match="exists already"):
        export_hf(model, tmp_path / "there")


def test_the_first_siglip_and_its_sentencepiece(tmp_path, words):
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path / "theirs"
    make("siglip", folder, words)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (tmp_path / "corpus.txt").write_text("a cat sat on the mat\na photo of two cats and a dog\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"), model_prefix=str(tmp_path / "s"), vocab_size=40, pad_id=-1, bos_id=-1,
        eos_id=1, unk_id=2, hard_vocab_limit=False, control_symbols="<pad>",
    )  # fmt: skip
    (folder / "spiece.model").write_bytes((tmp_path / "s.model").read_bytes())
    front = import_hf(folder).second.front
    tokenizer = transformers.SiglipTokenizer(str(folder / "spiece.model"))
    for text in ("a photo of two cats", "A Cat, on the mat!"):
        expected = tokenizer([text], padding="max_length", max_length=20, truncation=True)["input_ids"][0]
        assert front.batch([front.read(text)])["tokens"][0].tolist() == expected
