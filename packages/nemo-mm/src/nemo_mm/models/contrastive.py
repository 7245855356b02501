"""Two towers into one space: CLIP, SigLIP, and the same for any two kinds of input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_core.errors import ConfigError, NemoError
from nemo_core.models import Model
from nemo_core.types import Declared, Logits, NeuralType, typed
from nemo_mm.data.pairs import PairBatch
from nemo_mm.losses.contrastive import ContrastiveLoss
from nemo_mm.metrics.retrieval import EmbeddingScores
from nemo_mm.modules.towers import Tower

__all__ = ["ContrastiveModel", "Match"]


@dataclass(frozen=True, slots=True)
class Match:
    """How well something fits.

    Attributes:
        name: What it is: a label, a caption, a file.
        score: The cosine of the two vectors, in [-1, 1].
        probability: Among all that was asked for; with a sigmoid loss, of this one by itself.
    """

    name: str
    score: float
    probability: float


class ContrastiveModel(Model):
    """Two towers, trained to give near vectors to what belongs together, and far ones to all else.

    Pictures and texts are CLIP (Radford et al., 2021, arXiv:2103.00020) with :class:`~nemo_mm.losses.SoftmaxLoss`, and
    SigLIP (Zhai et al., 2023, arXiv:2303.15343) with :class:`~nemo_mm.losses.SigmoidLoss`; recordings and pictures, or
    any other two, work alike.

    Args:
        first: The tower of one kind; that of pictures, by custom.
        second: The tower of the other.
        loss: What training minimises; it holds the temperature, which is learned.
        classes: Names of classes, for zero-shot classification: validation then reports ``val_accuracy``, if its pairs
            have labels, and :meth:`classify` asks for these if it is not told others.
        templates: Sentences that a class is put into, at ``{}``; a class is the mean of them.

    Example:
        >>> from nemo_llm.tokenizers import ByteTokenizer
        >>> from nemo_mm.data import TextTokens
        >>> from nemo_mm.images import ImageTransform
        >>> from nemo_mm.losses import SoftmaxLoss
        >>> from nemo_mm.modules import ImageTower, TextTower, TextTransformer, VisionTransformer
        >>> vit = VisionTransformer(8, 4, width=16, layers=1, heads=2)
        >>> bert = TextTransformer(259, max_length=32, width=16, layers=1, heads=2)
        >>> model = ContrastiveModel(
        ...     ImageTower(ImageTransform(8), vit, size=6),
        ...     TextTower(TextTokens(ByteTokenizer(), 32), bert, size=6),
        ...     SoftmaxLoss(),
        ... )
        >>> import numpy as np
        >>> found = model.classify([np.zeros((9, 7, 3), np.uint8)], ["a cat", "a dog"])
        >>> sorted(match.name for match in found[0]), round(sum(match.probability for match in found[0]), 4)
        (['a cat', 'a dog'], 1.0)
    """

    def __init__(
        self,
        first: Tower,
        second: Tower,
        loss: ContrastiveLoss,
        *,
        classes: Sequence[str] | None = None,
        templates: Sequence[str] = ("{}",),
    ) -> None:
        super().__init__()
        if first.size != second.size:
            raise ConfigError(
                f"the vectors of {first.kind} have length {first.size}, those of {second.kind} {second.size}",
                hint="give both towers the same size",
            )
        bad = [template for template in templates if "{}" not in template]
        if bad or not templates:
            raise ConfigError(f"templates: {bad[0] if bad else 'there is none'!r}", hint="a template has {} in it")
        self.first, self.second, self.loss = first, second, loss
        self.classes = None if classes is None else list(classes)
        self.templates = list(templates)
        if self.classes is not None and self._tower("text", missing_ok=True) is None:
            raise ConfigError("classes are texts, and neither tower reads texts", hint="leave classes out")
        self._scores: dict[int, EmbeddingScores] = {}

    # ------------------------------------------------------------------------------------------------------- embeddings

    @property
    def input_types(self) -> Mapping[str, Declared]:
        """What the two towers take, one after the other; a name that both have gets the kind before it."""
        return {**_named(self.first, self.second), **_named(self.second, self.first)}

    @property
    def output_types(self) -> Mapping[str, Declared]:
        """``logits`` (B, D): of each of the first kind with each of the second."""
        return {"logits": NeuralType(("B", "D"), Logits())}

    @typed
    def forward(self, **inputs: Tensor) -> Tensor:
        """Return how well each of the first kind fits each of the second (B, B')."""
        first = {name: inputs[full] for name, full in _names(self.first, self.second).items()}
        second = {name: inputs[full] for name, full in _names(self.second, self.first).items()}
        return self.loss.logits(self._embed(self.first, first) @ self._embed(self.second, second).T)

    @torch.no_grad()
    def embed(self, kind: str, sources: Sequence[Any], *, batch_size: int = 64) -> Tensor:
        """Return one vector of length 1 (N, D) for each source, in evaluation mode.

        Args:
            kind: image, text, speech: which tower.
            sources: What its front end reads: paths, pixels, texts.
            batch_size: How many are taken together.

        Raises:
            DataError: One cannot be read; the message names it.
        """
        tower = self._tower(kind)
        assert tower is not None
        was, device = tower.training, self.device
        tower.eval()
        try:
            rows = []
            for start in range(0, len(sources), batch_size):
                items = [tower.front.read(source) for source in sources[start : start + batch_size]]
                batch = {name: value.to(device) for name, value in tower.front.batch(items).items()}
                rows.append(self._embed(tower, batch))
            return torch.cat(rows) if rows else torch.empty(0, tower.size, device=device)
        finally:
            tower.train(was)

    def embed_classes(self, classes: Sequence[str], templates: Sequence[str] | None = None) -> Tensor:
        """Return one vector of length 1 (C, D) for each class: the mean over the templates that it is put into."""
        templates = list(templates or self.templates)
        texts = [template.replace("{}", name) for name in classes for template in templates]
        rows = self.embed("text", texts).view(len(classes), len(templates), -1)
        return F.normalize(rows.mean(1), dim=1)

    def classify(
        self,
        sources: Sequence[Any],
        labels: Sequence[str] | None = None,
        *,
        templates: Sequence[str] | None = None,
        kind: str | None = None,
    ) -> list[list[Match]]:
        """Say which label fits each source best, without training for it.

        Args:
            sources: Pictures (paths or pixels), or whatever the tower that is not text reads.
            labels: Texts to choose from; the model's ``classes``, put into its templates, if not given.
            templates: What to put the labels into, at ``{}``; labels that are given stand for themselves.
            kind: Which tower reads the sources, if not the one that does not read texts.

        Returns:
            For each source all labels, the best first.
        """
        if labels is None:
            if self.classes is None:
                raise ConfigError("the model has no classes of its own", hint="give labels")
            labels, templates = self.classes, templates or self.templates
        if len(labels) == 0:
            raise ConfigError("there are no labels to choose from")
        texts = self.embed_classes(labels, templates or ["{}"])
        other = next(tower.kind for tower in (self.first, self.second) if tower.kind != "text")
        return self.rank(self.embed(kind or other, sources), texts, labels)

    @torch.no_grad()
    def rank(
        self, queries: Tensor, candidates: Tensor, names: Sequence[str], top: int | None = None
    ) -> list[list[Match]]:
        """Return for each query (N, D) the candidates (M, D) that fit best, the best first."""
        cosines = queries @ candidates.T
        logits = self.loss.logits(cosines)
        every = logits.softmax(1) if _competes(self.loss) else logits.sigmoid()
        order = cosines.argsort(dim=1, descending=True, stable=True)[:, :top]
        return [
            [Match(names[i], float(cosines[row, i]), float(every[row, i])) for i in places.tolist()]
            for row, places in enumerate(order)
        ]

    # --------------------------------------------------------------------------------------------------------- training

    def on_fit_start(self) -> None:
        """On a processor, have what a step frees kept for the next one."""
        if self.device.type == "cpu":
            from nemo_llm.megatron.memory import keep_freed_memory

            keep_freed_memory()

    def training_step(self, batch: PairBatch, batch_index: int) -> Tensor:
        """Return the loss to minimise."""
        if batch.skipped:
            self.log("train_skipped", float(batch.skipped), on_step=False, on_epoch=True, reduce_fx="sum")
        if not batch.names:
            # All of the batch was damaged. A zero that depends on every weight keeps distributed processes in step.
            return torch.stack([weight.sum() * 0.0 for weight in self.parameters() if weight.requires_grad]).sum()
        first, second = self._embed(self.first, batch.first), self._embed(self.second, batch.second)
        loss: Tensor = self.loss(first=first, second=second, labels=batch.labels)
        self.log("train_loss", loss, prog_bar=True, batch_size=len(batch.names))
        self.log("logit_scale", self.loss.scale.detach(), batch_size=len(batch.names))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the vectors of the evaluation before."""
        self._scores = {}

    def validation_step(self, batch: PairBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Keep the vectors of ``batch``."""
        self._keep(batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Log what the vectors are worth."""
        self._log_scores("val", "validation")

    def on_test_epoch_start(self) -> None:
        """Forget the vectors of the evaluation before."""
        self._scores = {}

    def test_step(self, batch: PairBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Keep the vectors of ``batch``."""
        self._keep(batch, dataloader_idx)

    def on_test_epoch_end(self) -> None:
        """Log what the vectors are worth."""
        self._log_scores("test", "test")

    # ----------------------------------------------------------------------------------------------------------- inside

    def _embed(self, tower: Tower, inputs: Mapping[str, Tensor]) -> Tensor:
        return F.normalize(tower(**inputs).float(), dim=1)

    def _tower(self, kind: str, missing_ok: bool = False) -> Tower | None:
        for tower in (self.first, self.second):
            if tower.kind == kind:
                return tower
        if missing_ok:
            return None
        raise NemoError(
            f"the model does not read {kind}", hint=f"its towers read {self.first.kind} and {self.second.kind}"
        )

    def _keep(self, batch: PairBatch, place: int) -> None:
        scores = self._scores.setdefault(place, EmbeddingScores())
        scores.skip(batch.skipped)
        if batch.names:
            first, second = self._embed(self.first, batch.first), self._embed(self.second, batch.second)
            scores.update(first, second, batch.labels)
            if batch.others is not None and batch.owners is not None:
                scores.choose(first, second, self._embed(self.second, batch.others), batch.owners)

    def _log_scores(self, prefix: str, split: str) -> None:
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        names: list[str] = datamodule.names(split) if hasattr(datamodule, "names") else []
        classes = None if self.classes is None else self.embed_classes(self.classes)
        for place, scores in sorted(self._scores.items()):
            suffix = f"/{names[place]}" if place < len(names) else ""
            found = scores.compute(self.loss, (self.first.kind, self.second.kind), classes, self._class_tower())
            for name, value in found.items():
                self.log(f"{prefix}_{name}{suffix}", value, prog_bar=name in ("accuracy", "loss") and not suffix)

    def _class_tower(self) -> int:
        """Which of the two is classified: the one that does not read texts."""
        return 0 if self.first.kind != "text" else 1


def _competes(loss: ContrastiveLoss) -> bool:
    from nemo_mm.losses.contrastive import SigmoidLoss

    return not isinstance(loss, SigmoidLoss)


def _names(tower: Tower, other: Tower) -> dict[str, str]:
    """Return the names of a tower's inputs and what they are called among those of both."""
    shared = set(tower.input_types) & set(other.input_types)
    return {name: f"{tower.kind}_{name}" if name in shared else name for name in tower.input_types}


def _named(tower: Tower, other: Tower) -> dict[str, Declared]:
    return {full: tower.input_types[name] for name, full in _names(tower, other).items()}
