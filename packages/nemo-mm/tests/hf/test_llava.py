"""LLaVA of transformers: the same logits, the same answers, and the same weights on the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from nemo_core.errors import ArchiveError, ConfigError
from nemo_llm.megatron import engine
from nemo_mm.hf.llava import config_of, export_llava, import_llava
from nemo_mm.models.loading import loaded

transformers = pytest.importorskip("transformers")
MARK = 98


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    torch.manual_seed(0)
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, image_size=28,
            patch_size=14,
        ),
        text_config=transformers.LlamaConfig(
            vocab_size=99, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, bos_token_id=None, eos_token_id=None,
        ),
        image_token_index=MARK,
    )  # fmt: skip
    model = transformers.LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
    folder = tmp_path_factory.mktemp("llava") / "hf"
    model.save_pretrained(folder)
    return model, folder


@pytest.fixture(scope="module")
def ours(peer: tuple[Any, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ours") / "llava.dist"
    import_llava(peer[1], path)
    return path


def given() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, MARK, (2, 14), generator=generator)
    tokens[:, 3:7] = MARK
    return tokens, torch.randint(0, 256, (2, 1, 3, 28, 28), dtype=torch.uint8, generator=generator)


def test_logits_and_answers_are_theirs(peer: tuple[Any, Path], ours: Path) -> None:
    tokens, pixels = given()
    with loaded(ours) as model, torch.no_grad():
        standard = model.config.vision.transform()(pixels[:, 0])
        media = {"pixels": pixels, "pixel_counts": torch.tensor([1, 1])}
        found = model(tokens=tokens, **media)
        theirs = peer[0](input_ids=tokens, pixel_values=standard).logits
        torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-4)
        answers = model.generate(tokens.tolist(), media, max_tokens=6, greedy=True)
        expected = peer[0].generate(
            input_ids=tokens, attention_mask=torch.ones_like(tokens), pixel_values=standard, max_new_tokens=6,
            min_new_tokens=6, do_sample=False, pad_token_id=0,
        )  # fmt: skip
        assert [each.tokens for each in answers] == expected[:, 14:].tolist()


def test_the_way_back_changes_no_bit(peer: tuple[Any, Path], ours: Path, tmp_path: Path) -> None:
    export_llava(ours, tmp_path / "back")
    again = transformers.LlavaForConditionalGeneration.from_pretrained(tmp_path / "back")
    before, after = peer[0].state_dict(), again.state_dict()
    assert set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert json.loads((tmp_path / "back" / "config.json").read_text()) == json.loads(
        (peer[1] / "config.json").read_text()
    )


def test_a_model_of_ours_becomes_one_of_theirs(tmp_path: Path) -> None:
    from nemo_llm.megatron.checkpoint import save_model_folder
    from nemo_mm.models.vision_language import VisionLanguageModel

    language = {"vocab_size": 99, "hidden_size": 32, "num_layers": 1, "num_heads": 2, "ffn_size": 48}
    vision = {"image_size": 28, "patch_size": 14, "width": 16, "layers": 2, "heads": 2}
    tokens, pixels = given()
    with engine(seed=1), torch.no_grad():
        model = VisionLanguageModel({"language": language, "media_token": MARK, "vision": vision})
        model.build()
        save_model_folder(tmp_path / "model.dist", list(model.chunks), model.config)
        found = model(tokens=tokens, pixels=pixels, pixel_counts=torch.tensor([1, 1]))
    export_llava(tmp_path / "model.dist", tmp_path / "hf")
    peer = transformers.LlavaForConditionalGeneration.from_pretrained(tmp_path / "hf").eval()
    with torch.no_grad():
        theirs = peer(input_ids=tokens, pixel_values=model.config.vision.transform()(pixels[:, 0])).logits
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-4)


def test_what_is_not_computed_is_refused(peer: tuple[Any, Path], tmp_path: Path) -> None:
    values = json.loads((peer[1] / "config.json").read_text())
    for key, value in (
        ("vision_feature_layer", [-2, -5]),
        ("vision_feature_select_strategy", "some"),
        ("projector_hidden_act", "relu"),
        ("vision_config", {**values["vision_config"], "model_type": "dinov2"}),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**values, key: value}))
        with pytest.raises(ConfigError, match=key):
            config_of(tmp_path)


def test_weights_of_another_are_refused(peer: tuple[Any, Path], tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    for path in peer[1].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    values = json.loads((folder / "config.json").read_text())
    values["vision_config"]["num_hidden_layers"] = 4
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(ArchiveError, match=r"missing: vision\.encoder"):
        import_llava(folder, tmp_path / "model.dist")


def test_commands(peer: tuple[Any, Path], tmp_path: Path) -> None:
    import typer

    from nemo_mm.cli.export import hf as export
    from nemo_mm.cli.import_ import hf

    app = typer.Typer()
    app.command("import")(hf)
    app.command("export")(export)
    run = CliRunner().invoke
    done = run(app, ["import", str(peer[1]), "-o", str(tmp_path / "a.dist")], catch_exceptions=False)
    assert "a.dist: VisionLanguage of llama" in done.output
    done = run(app, ["export", str(tmp_path / "a.dist"), "-o", str(tmp_path / "b")], catch_exceptions=False)
    assert done.exit_code == 0
    assert (tmp_path / "b" / "model.safetensors").is_file()


@pytest.fixture(scope="module", params=[(-1, True), (-2, False)], ids=["last-layer-head", "layer-before-no-head"])
def siglip(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """LLaVA with SigLIP's encoder, as LLaVA-Interleave has it."""
    layer, head = request.param
    torch.manual_seed(0)
    config = transformers.LlavaConfig(
        vision_config=transformers.SiglipVisionConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, image_size=28,
            patch_size=14, vision_use_head=head,
        ),
        text_config=transformers.Qwen2Config(
            vocab_size=99, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, bos_token_id=None, eos_token_id=None,
        ),
        image_token_index=MARK, vision_feature_layer=layer, vision_feature_select_strategy="full",
    )  # fmt: skip
    model = transformers.LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
    folder = tmp_path_factory.mktemp("siglip") / "hf"
    model.save_pretrained(folder)
    return model, folder


def test_the_encoder_of_siglip(siglip: tuple[Any, Path], tmp_path: Path) -> None:
    peer, folder = siglip
    config = import_llava(folder, tmp_path / "llava.dist")
    assert (config.each, config.vision.mean, config.vision.fit) == (4, (0.5, 0.5, 0.5), "squash")
    tokens, pixels = given()
    with loaded(tmp_path / "llava.dist") as model, torch.no_grad():
        found = model(tokens=tokens, pixels=pixels, pixel_counts=torch.tensor([1, 1]))
        theirs = peer(input_ids=tokens, pixel_values=config.vision.transform()(pixels[:, 0])).logits
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-4)
    export_llava(tmp_path / "llava.dist", tmp_path / "back")
    again = transformers.LlavaForConditionalGeneration.from_pretrained(tmp_path / "back")
    before, after = peer.state_dict(), again.state_dict()
    assert set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("pool", ["attention", "mean"])
def test_a_model_of_ours_with_the_encoder_of_siglip(pool: str, tmp_path: Path) -> None:
    from nemo_llm.megatron.checkpoint import save_model_folder
    from nemo_mm.models.vision_language import VisionLanguageModel

    vision = {
        "image_size": 28, "patch_size": 14, "width": 16, "layers": 2, "heads": 2, "inner": 48, "pool": pool,
        "pre_norm": False, "patch_bias": True, "activation": "gelu_tanh", "eps": 1e-6, "fit": "squash",
        "mean": [0.5] * 3, "std": [0.5] * 3,
    }  # fmt: skip
    language = {"vocab_size": 99, "hidden_size": 32, "num_layers": 1, "num_heads": 2, "ffn_size": 48}
    tokens, pixels = given()
    with engine(seed=1), torch.no_grad():
        model = VisionLanguageModel({"language": language, "media_token": MARK, "vision": vision})
        model.build()
        trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
        assert not any(".encoder.head." in name for name in trained)  # no feature depends on it
        save_model_folder(tmp_path / "model.dist", list(model.chunks), model.config)
        found = model(tokens=tokens, pixels=pixels, pixel_counts=torch.tensor([1, 1]))
    export_llava(tmp_path / "model.dist", tmp_path / "hf")
    peer = transformers.LlavaForConditionalGeneration.from_pretrained(tmp_path / "hf").eval()
    with torch.no_grad():
        theirs = peer(input_ids=tokens, pixel_values=model.config.vision.transform()(pixels[:, 0])).logits
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-4)
    back = import_llava(tmp_path / "hf", tmp_path / "again.dist")
    assert back.vision == model.config.vision


def test_a_strategy_that_drops_a_part_of_the_picture_is_refused(siglip: tuple[Any, Path], tmp_path: Path) -> None:
    values = json.loads((siglip[1] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "vision_feature_select_strategy": "default"}))
    with pytest.raises(ConfigError, match="leaves out the first part of the picture"):
        config_of(tmp_path)
