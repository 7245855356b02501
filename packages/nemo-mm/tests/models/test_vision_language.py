"""Vision-language models: pictures in their places, what is refused, answers, tiles, layouts, archives."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nemo_core.errors import ConfigError, DataError
from nemo_llm.megatron import Layout, engine
from nemo_llm.megatron.checkpoint import load_model_folder, read_manifest, save_model_folder
from nemo_llm.tokenizers import CharacterTokenizer
from nemo_mm.models.loading import loaded
from nemo_mm.models.network import Media, places_of
from nemo_mm.models.vision_config import VisionLanguageConfig
from nemo_mm.models.vision_language import VisionLanguageModel, positions_of

sys.path.insert(0, str(Path(__file__).parent))
from tiny_vision import LANGUAGE, MARK, VISION, batch, config, model, training


@pytest.fixture
def running() -> Iterator[None]:
    with engine(seed=1):
        yield


@pytest.fixture
def built(running: None) -> VisionLanguageModel:
    found = model()
    found.build()
    return found.eval()


def test_a_picture_decides_and_its_places_do_not(built: VisionLanguageModel) -> None:
    given = {name: value for name, value in batch(0).items() if name not in ("labels", "loss_mask")}
    before = built.logits(given)
    pixels = given["pixels"].clone()
    pixels[1, 0] = 255 - pixels[1, 0]
    after = built.logits({**given, "pixels": pixels})
    changed = (before != after).any(-1)
    first = int((given["tokens"][1] == MARK).nonzero()[0])
    assert changed[1, first:].all()
    assert not changed[1, :first].any()
    assert not changed[[0, 2, 3]].any()
    pixels[0] = 0  # not counted: row 0 has no picture
    assert torch.equal(built.logits({**given, "pixels": pixels})[0], before[0])


def test_rows_do_not_matter_to_each_other(built: VisionLanguageModel) -> None:
    given = {name: value for name, value in batch(1).items() if name not in ("labels", "loss_mask")}
    whole = built.logits(given)
    for row in range(4):
        alone = built.logits({name: value[row : row + 1] for name, value in given.items()})
        torch.testing.assert_close(alone[0], whole[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("change", [-1, 1])
def test_places_and_pictures_must_agree(built: VisionLanguageModel, change: int) -> None:
    given = batch(0)
    given["tokens"] = given["tokens"].clone()
    given["tokens"][1, 3 if change < 0 else 15] = 5 if change < 0 else MARK
    with pytest.raises(DataError, match=r"row 1 of a micro-batch has (3|5) places .* give 4"):
        built.logits(given)


def test_pictures_that_are_missing_are_missed(built: VisionLanguageModel) -> None:
    with pytest.raises(DataError, match="no pixels"):
        built.logits({"tokens": batch(0)["tokens"]})


def without_cache(model: VisionLanguageModel, prompt: list[int], media: dict[str, torch.Tensor], count: int) -> Any:
    """Return the likeliest tokens by the whole model each time; a mark that it says itself is no picture's place."""
    index, total = places_of(torch.tensor([prompt]), MARK)
    tokens = list(prompt)
    for _ in range(count):
        behind = index.new_full((1, len(tokens) - len(prompt)), -1)
        seen = Media(torch.cat([index, behind], 1), total, media)
        sections = model.config.language.rope.sections
        positions = None if sections is None else positions_of(seen.index, model.config.grid)
        logits = model.whole()(torch.tensor([tokens]), positions, None, media=seen)
        tokens.append(int(logits[0, -1].argmax()))
    return tokens[len(prompt) :]


def test_cached_generation_is_that_of_the_whole_model(built: VisionLanguageModel) -> None:
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (2, 1, 3, 28, 28), dtype=torch.uint8, generator=generator)
    media = {"pixels": pixels, "pixel_counts": torch.tensor([1, 1])}
    prompts = [[1, 2, *[MARK] * 4, 7], [*[MARK] * 4, 9, 8, 3, 4, 5]]
    found = built.generate(prompts, media, max_tokens=6, greedy=True)
    for row, prompt in enumerate(prompts):
        one = {name: value[row : row + 1] for name, value in media.items()}
        assert found[row].tokens == without_cache(built, prompt, one, 6)
    with pytest.raises(DataError, match="prompt 1 has 3 places"):
        built.generate([[1, *[MARK] * 3]], {name: value[:1] for name, value in media.items()})


@pytest.mark.parametrize(
    "changes",
    [
        {"merge": 2},
        {"merge": [1, 2]},
        {"projector": "linear", "projector_bias": False},
        {"class_feature": True},
        {"features": 1},
        {"vision": {**VISION, "pool": "mean", "pre_norm": False, "patch_bias": True}},
        {"tiles": [[1, 2], [2, 2]]},
    ],
    ids=str,
)
def test_kinds_of_readers_learn(running: None, changes: dict[str, Any]) -> None:
    architecture = config(**changes)
    found = model(architecture=architecture)
    found.build()
    pictures = architecture.pictures()
    media = pictures.collate([[pictures.read(np.full((40, 90, 3), 99, np.uint8))], []])
    count = pictures.read(np.full((40, 90, 3), 99, np.uint8)).count
    tokens = torch.tensor([[1, *[MARK] * count, 5], [7] * (count + 2)])
    found.logits({"tokens": tokens, **media}).square().mean().backward()
    reader: Any = found.chunks[0].reader
    assert all((weight.grad is not None) == weight.requires_grad for weight in reader.parameters())
    assert VisionLanguageConfig.from_dict(architecture.to_dict()) == architecture
    assert architecture.num_parameters == sum(weight.numel() for weight in found.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"media_token": 99}, "media_token is 99"),
        ({"merge": 3}, "do not divide"),
        ({"merge": [1, 3]}, "do not divide into 1 x 3 patches"),
        ({"merge": [2, 0]}, r"merge is \(2, 0\)"),
        ({"merge": [1, 2, 1]}, "merge is"),
        ({"merge": "two"}, "merge is 'two'"),
        ({"vision": {**VISION, "image_size": [28]}}, "vision.image_size is"),
        ({"features": 5}, "features is 5"),
        ({"projector": "deep"}, "projector is 'deep'"),
        ({"class_feature": True, "merge": 2}, "class_feature"),
        ({"language": {**LANGUAGE, "positions": "learned"}}, "positions is learned"),
        ({"visoin": {}}, "visoin is not a part"),
        ({"vision": {"widht": 3}}, "vision.widht is not a part"),
    ],
)
def test_architectures_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**changes)


# ------------------------------------------------------------------------------------------------------- layouts


@pytest.fixture(scope="module")
def alone() -> list[tuple[float, float]]:
    return training(Layout())


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        (Layout(tensor=2, sequence_parallel=True), {}),
        (Layout(pipeline=2), {}),
        (Layout(context=2), {}),
        (Layout(), {"sharding": "fsdp2"}),
    ],
    ids=["TP2 SP", "PP2", "CP2", "FSDP2"],
)
def test_two_processes_train_as_one(layout: Layout, options: Any, two_ranks: Any, alone: Any) -> None:
    for found in two_ranks.run(training, layout, **options):
        for (loss, norm), (other, other_norm) in zip(found, alone, strict=True):
            assert loss == pytest.approx(other, rel=1e-4)
            assert norm == pytest.approx(other_norm, rel=1e-3)


# ------------------------------------------------------------------------------------------ folders and sources


def save_in(layout: Layout, path: str, **options: Any) -> None:
    """Save a model that is divided so; run in the processes of a layout."""
    with engine(layout, seed=1):
        found = model(**options)
        found.build(layout)
        save_model_folder(path, list(found.chunks), found.config, layout=layout)


def test_a_folder_of_two_processes_is_read_by_one(two_ranks: Any, tmp_path: Path, running: None) -> None:
    two_ranks.run(save_in, Layout(tensor=2), str(tmp_path / "tp.dist"))
    two_ranks.run(save_in, Layout(pipeline=2), str(tmp_path / "pp.dist"))
    expected = model()
    expected.build()
    given = {name: value for name, value in batch(0).items() if name not in ("labels", "loss_mask")}
    for name in ("tp", "pp"):
        other = VisionLanguageModel(seed=5)
        other.init_from(tmp_path / f"{name}.dist")
        other.build()
        torch.testing.assert_close(other.logits(given), expected.logits(given))


def test_parts_come_from_where_they_are(tmp_path: Path, running: None) -> None:
    from nemo_llm.models.language_model import LanguageModel

    text, seen = LanguageModel(LANGUAGE, seed=7), model()
    text.build()
    seen.build()
    save_model_folder(tmp_path / "text.dist", list(text.chunks), text.config)
    save_model_folder(tmp_path / "seen.dist", list(seen.chunks), seen.config)
    made = VisionLanguageModel({"media_token": MARK, "vision": VISION}, seed=9, freeze=["language", "reader.encoder"])
    made.init_from({"language": tmp_path / "text.dist", "reader": tmp_path / "seen.dist"})
    made.build()
    state, texts, reads = (part.chunks[0].state_dict() for part in (made, text, seen))
    assert all(torch.equal(state[name], texts[name]) for name in texts if "_extra_state" not in name)
    assert all(torch.equal(state[name], reads[name]) for name in reads if name.startswith("reader."))
    trained = {name for name, weight in made.chunks[0].named_parameters() if weight.requires_grad}
    assert trained == {f"reader.projector.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")}
    with pytest.raises(ConfigError, match="another architecture"):
        VisionLanguageModel(config({**LANGUAGE, "num_layers": 1})).init_from(tmp_path / "text.dist")
    wrong = VisionLanguageModel(config(), freeze=["reader.decoder"])
    with pytest.raises(ConfigError, match=r"reader\.decoder' names no weight"):
        wrong.build()


def test_adapters_and_the_reader_go_on_from_a_checkpoint(tmp_path: Path, running: None) -> None:
    base = model()
    base.build()
    save_model_folder(tmp_path / "base.dist", list(base.chunks), base.config)

    def made(seed: int) -> VisionLanguageModel:
        found = VisionLanguageModel(peft="lora", freeze=["reader.encoder"], seed=seed)
        found.init_from(tmp_path / "base.dist")
        found.build()
        return found

    first = made(1)
    with torch.no_grad():
        for weight in first.parameters():
            if weight.requires_grad:
                weight.add_(0.1)
    save_model_folder(tmp_path / "step.ckpt", list(first.chunks), first.config)
    names = {name for name, weight in first.chunks[0].named_parameters() if weight.requires_grad}
    assert any("adapter" in name for name in names)
    assert any(name.startswith("reader.projector") for name in names)
    second = made(2)
    load_model_folder(tmp_path / "step.ckpt", list(second.chunks))
    given = {name: value for name, value in batch(0).items() if name not in ("labels", "loss_mask")}
    torch.testing.assert_close(second.logits(given), first.logits(given))


def test_questions_are_answered_from_a_folder(tmp_path: Path) -> None:
    tokenizer = CharacterTokenizer(
        [chr(code) for code in range(32, 91)], special_tokens=["<image>", "<end>"], unknown="skip", eos_token="<end>",
        chat_template="{% for m in messages %}{{ m.content }}{% endfor %}",
    )  # fmt: skip
    architecture = {"language": {**LANGUAGE, "vocab_size": None}, "media_token": "<image>", "vision": VISION}
    with engine(seed=1):
        made = VisionLanguageModel(architecture, tokenizer, seed=1)
        made.build()
        save_model_folder(tmp_path / "model.dist", list(made.chunks), made.config, tokenizer=tokenizer)
        picture = np.zeros((28, 28, 3), np.uint8)
        expected = made.ask(["HOW MANY?", "<image> OR <image>?"], [[picture], [picture, picture]], max_tokens=5)
    assert read_manifest(tmp_path / "model.dist").config == made.config
    with loaded(tmp_path / "model.dist") as found:
        assert isinstance(found, VisionLanguageModel)
        answers = found.ask(["HOW MANY?", "<image> OR <image>?"], [[picture], [picture, picture]], max_tokens=5)
        assert answers == expected
        with pytest.raises(DataError, match="question 1 has 2 marks"):
            found.ask(["<image><image>"], [[picture]])


# -------------------------------------------------------------------------------------- positions of three parts

SECTIONS = {**LANGUAGE, "rope": {"sections": [1, 2, 1]}}


def test_positions_of_three_parts_are_those_of_qwen2_vl() -> None:
    qwen = pytest.importorskip("transformers.models.qwen2_vl.modeling_qwen2_vl")
    index = torch.tensor([[-1, -1, *range(6), -1, *range(6, 12), -1, -1]])
    found = positions_of(index, (2, 3))[0].t()
    grid = torch.tensor([1, 2, 3])
    place = qwen.Qwen2VLModel.get_vision_position_ids
    text = torch.arange(3)
    expected = [text[:2].expand(3, 2), place(None, 2, grid), torch.full((3, 1), 5), place(None, 6, grid),
                (text[:2] + 9).expand(3, 2)]  # fmt: skip
    assert torch.equal(found, torch.cat(expected, 1))


def test_text_alone_does_not_notice_three_parts(running: None) -> None:
    tokens = torch.randint(0, 60, (2, 9))
    logits = []
    for language in (LANGUAGE, SECTIONS):
        found = model(architecture=config(language))
        found.build()
        logits.append(found.logits({"tokens": tokens}))
    torch.testing.assert_close(*logits)


def test_cached_generation_with_three_parts(running: None) -> None:
    found = model(architecture=config(SECTIONS))
    found.build()
    found.eval()
    media = {"pixels": torch.full((2, 1, 3, 28, 28), 9, dtype=torch.uint8), "pixel_counts": torch.tensor([1, 1])}
    prompts = [[1, 2, *[MARK] * 4, 7], [*[MARK] * 4, 9, 8, 3, 4, 5]]
    answers = found.generate(prompts, media, max_tokens=5, greedy=True)
    for row, prompt in enumerate(prompts):
        one = {name: value[row : row + 1] for name, value in media.items()}
        assert answers[row].tokens == without_cache(found, prompt, one, 5)


def test_packed_rows_begin_anew() -> None:
    index = torch.tensor([[-1, 0, 1, 2, 3, -1, -1, 4, 5, 6, 7, -1]])
    segments = torch.tensor([[1] * 6 + [2] * 6])
    found = positions_of(index, (2, 2), segments)
    assert torch.equal(found[:, :6], found[:, 6:])
