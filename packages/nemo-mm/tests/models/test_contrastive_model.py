"""Two towers as a model: training, evaluation, archives, and what one asks it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nemo_core.errors import ConfigError, NemoError
from nemo_core.models import restore
from nemo_llm.tokenizers.byte import ByteTokenizer
from nemo_mm.data import Pair, PairData, TextTokens
from nemo_mm.data.words import caption_tokenizer
from nemo_mm.images import ImageTransform
from nemo_mm.losses import SigmoidLoss, SoftmaxLoss
from nemo_mm.metrics import EmbeddingScores, recall_at
from nemo_mm.models import ContrastiveModel
from nemo_mm.modules import ImageTower, TextTower, TextTransformer, VisionTransformer

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


def tiny(loss=None, **options) -> ContrastiveModel:
    torch.manual_seed(0)
    small = {"width": 16, "layers": 1, "heads": 2}
    vit = VisionTransformer(8, 4, **small, pre_norm=True)
    text = TextTransformer(259, 24, **small)
    return ContrastiveModel(
        ImageTower(ImageTransform.siglip(8), vit, size=8),
        TextTower(TextTokens(ByteTokenizer(), 24), text, size=8),
        loss or SoftmaxLoss(),
        **options,
    )


def colours(count: int) -> list[Pair]:
    rng = np.random.default_rng(0)
    names = list(COLOURS)
    return [
        Pair(
            np.clip(rng.normal(COLOURS[names[i % 4]], 30, (8, 8, 3)), 0, 255).astype(np.uint8),
            [f"a {names[i % 4]} square", names[i % 4]],
            f"square {i}",
            i % 4,
        )
        for i in range(count)
    ]


def fit(model: ContrastiveModel, epochs: int = 25):
    import pytorch_lightning as pl

    model.optimizer_factory = lambda model: torch.optim.AdamW(model.parameters(), 3e-3)
    data = PairData(model.first.front, model.second.front, colours(64), colours(16), colours(16), batch_size=16, seed=1)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, data)
    return trainer


@pytest.mark.parametrize("loss", [SoftmaxLoss, SigmoidLoss])
def test_learns_what_words_mean(loss, tmp_path):
    model = tiny(loss(), classes=list(COLOURS), templates=["a {} square", "{}"])
    trainer = fit(model)
    measured = trainer.callback_metrics
    assert measured["val_accuracy"] == 1.0
    assert measured["val_image_to_text_r1"] == measured["val_text_to_image_r1"] == 1.0
    assert {"val_loss", "train_loss", "logit_scale"} <= set(measured)
    red = np.full((20, 10, 3), (230, 20, 20), np.uint8)
    assert model.classify([red])[0][0].name == "red"
    found = model.classify([red], ["blue", "a red square"])[0]
    assert [match.name for match in found] == ["a red square", "blue"]
    assert found[0].score > found[1].score

    again = restore(model.save(tmp_path / "model.nemo"))
    torch.testing.assert_close(again.embed("image", [red]), model.eval().embed("image", [red]), rtol=0, atol=0)
    assert again.classes == model.classes
    assert again.classify([red])[0][0] == model.classify([red])[0][0]


def test_an_archive_holds_a_tokenizer_that_was_learned(tmp_path):
    small = {"width": 16, "layers": 1, "heads": 2}
    tokens = TextTokens(caption_tokenizer(colours(8), 280), 24)
    model = ContrastiveModel(
        ImageTower(ImageTransform.siglip(8), VisionTransformer(8, 4, **small), size=8),
        TextTower(tokens, TextTransformer(280, 24, **small), size=8),
        SoftmaxLoss(),
    )
    again = restore(model.save(tmp_path / "model.nemo"))
    assert len(again.second.front.read("a red square")) < len("a red square")
    texts = ["a red square", "blue"]
    torch.testing.assert_close(again.embed("text", texts), model.eval().embed("text", texts), rtol=0, atol=0)


def test_forward_gives_logits():
    model = tiny().eval()
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    tokens = model.second.front.batch([model.second.front.read(text) for text in ("a", "bc")])
    logits = model(images=images, **tokens)
    assert logits.shape == (3, 2)
    assert set(model.input_types) == {"images", "tokens", "length"}


def test_embedding_leaves_training_mode_as_it_was():
    model = tiny().train()
    vectors = model.embed("text", ["a", "b", "c"], batch_size=2)
    assert model.training
    assert model.second.training
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_what_does_not_go_together():
    model = tiny()
    with pytest.raises(NemoError, match="does not read speech"):
        model.embed("speech", [])
    with pytest.raises(ConfigError, match="no classes"):
        model.classify([np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(ConfigError, match="template"):
        tiny(templates=["no place"])
    small = {"width": 16, "layers": 1, "heads": 2}
    with pytest.raises(ConfigError, match="length 16"):
        ContrastiveModel(ImageTower(ImageTransform(8), VisionTransformer(8, 4, **small)), model.second, SoftmaxLoss())


def test_a_batch_of_nothing_but_damage_trains_nothing():
    from nemo_mm.data import PairBatch

    model = tiny()
    model.log = lambda *args, **options: None
    loss = model.training_step(PairBatch({}, {}, [], None, 4), 0)
    loss.backward()
    assert loss.item() == 0.0
    assert all(weight.grad is not None and not weight.grad.any() for weight in model.parameters())


def test_recall_counts_by_label():
    vectors = torch.nn.functional.normalize(torch.randn(40, 6), dim=1)
    labels = torch.arange(40) % 5
    assert recall_at(vectors, vectors, labels, labels)[1] == 1.0
    cosines = vectors @ vectors.T
    cosines.fill_diagonal_(-2)
    other = torch.nn.functional.normalize(torch.randn(40, 6), dim=1)
    expected = float((labels[(vectors @ other.T).argmax(1)] == labels).float().mean())
    assert recall_at(vectors, other, labels, labels)[1] == pytest.approx(expected)


def test_scores_without_labels_want_the_very_pair():
    scores = EmbeddingScores()
    scores.update(torch.eye(5), torch.eye(5)[[1, 0, 2, 3, 4]], None)
    found = scores.compute(SoftmaxLoss(), ("image", "text"))
    assert found["image_to_text_r1"] == pytest.approx(3 / 5)
    assert found["image_to_text_r5"] == 1.0
    assert "accuracy" not in found
