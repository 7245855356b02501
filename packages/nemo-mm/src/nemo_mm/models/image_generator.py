"""Making images out of noise: of a class, of a text, or of nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from nemo_core.errors import ConfigError
from nemo_core.models import Model
from nemo_mm.data.picture_sets import PictureBatch
from nemo_mm.diffusion.guidance import guided
from nemo_mm.diffusion.noise import SeededNoise, seeds_of
from nemo_mm.diffusion.process import Process
from nemo_mm.images import ImageTransform
from nemo_mm.models.autoencoder import AutoencoderKL
from nemo_mm.models.conditions import Conditions, encode_conditions, read_classes
from nemo_mm.modules.dit import DiT
from nemo_mm.modules.pretrained import Pretrained, taken
from nemo_mm.modules.text_encoder import TextEncoder

__all__ = ["ImageGenerator"]


class ImageGenerator(Model):
    """A network that takes noise out of images, and the process that it was trained for.

    It works on pixels, or on the latents of an autoencoder (Rombach et al., CVPR 2022), which stays as it is. In
    training, conditions are left out now and then, so that sampling can be guided (Ho and Salimans, 2022). It logs
    ``train_loss`` and ``val_loss``; noise and times of validation are always the same. Weights that are averaged over
    training make far better images: ``experiment.ema.enable=true``.

    Args:
        transform: Makes pixels in [-1, 1] of images, and its inverse images of pixels.
        network: Predicts; made for the transform's images, or for the autoencoder's latents.
        process: Noise in, noise out.
        autoencoder: Trained; its latents are what is made.
        text_encoder: Encodes texts, where the network takes any; a module with ``encode_texts`` and ``text_width``.
        train_text_encoder: Whether the text encoder learns; if not, it stays as it is.
        class_names: In the order of the classes.
        condition_dropout: How often training leaves the condition out.
        steps: Of sampling, where nothing else is said.
        guidance: Of sampling, where nothing else is said.

    Raises:
        ConfigError: The parts do not fit together.

    Example:
        >>> from nemo_mm.diffusion import FlowMatching
        >>> network = DiT(8, channels=1, patch_size=4, width=16, depth=1, heads=1, classes=2)
        >>> transform = ImageTransform(8, mean=[0.5], std=[0.5])
        >>> model = ImageGenerator(transform, network, FlowMatching(), class_names=["cat", "dog"]).eval()
        >>> images = model.sample(classes=["dog"], n=3, steps=2, guidance=1.5, seed=1)
        >>> images.shape, images.dtype
        (torch.Size([3, 1, 8, 8]), torch.uint8)
    """

    def __init__(
        self,
        transform: ImageTransform,
        network: DiT,
        process: Process,
        autoencoder: AutoencoderKL | Pretrained | None = None,
        text_encoder: TextEncoder | Pretrained | None = None,
        train_text_encoder: bool = False,
        class_names: Sequence[str] | None = None,
        condition_dropout: float = 0.1,
        steps: int = 25,
        guidance: float = 1.0,
    ) -> None:
        super().__init__()
        self.transform, self.network, self.process = transform, network, process
        self.autoencoder = taken(autoencoder, AutoencoderKL, "ImageGenerator: autoencoder")
        self.text_encoder: Any = taken(text_encoder, TextEncoder, "ImageGenerator: text_encoder")
        self.train_text_encoder = train_text_encoder
        self.class_names = None if class_names is None else list(class_names)
        self.condition_dropout, self.steps, self.guidance = condition_dropout, steps, guidance
        self._check()
        for part in self._fixed():
            part.requires_grad_(False).eval()

    @property
    def conditional(self) -> bool:
        """Whether images can be asked for by class or text."""
        return self.network.num_classes is not None or self.network.text_width is not None

    def train(self, mode: bool = True) -> Self:
        """Switch to training, but for the parts that stay as they are."""
        super().train(mode)
        for part in self._fixed():
            part.eval()
        return self

    def forward(self, sample: Tensor, time: Tensor, conditions: Conditions | None = None) -> Tensor:
        """Return what the network predicts (B, C, H, W) for noisy images or latents at times (B,)."""
        predicted: Tensor = self.network(sample=sample, time=time, **(conditions or Conditions()).arguments())
        return predicted

    def training_step(self, batch: PictureBatch, batch_index: int) -> Tensor:
        """Return the loss of the batch at times that are spread evenly over it."""
        count, device = len(batch.images), batch.images.device
        clean = self.encode(batch.images)
        spread = (torch.randperm(count, device=device) + torch.rand(count, device=device)) / count
        noise, dropped = torch.randn_like(clean), torch.rand(count, device=device) < self.condition_dropout
        conditions = self._conditions(batch).without(dropped)
        loss = self._loss(clean, noise, self.process.times(spread), conditions)
        self.log("train_loss", loss.detach(), prog_bar=True, batch_size=count)
        return loss

    def validation_step(self, batch: PictureBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Log the loss."""
        self._evaluate("val", batch, batch_index)

    def test_step(self, batch: PictureBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Log the loss."""
        self._evaluate("test", batch, batch_index)

    def _evaluate(self, prefix: str, batch: PictureBatch, batch_index: int) -> None:
        clean = self.encode(batch.images)
        generator = torch.Generator().manual_seed(batch_index)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        spread = (torch.arange(len(clean)) + torch.rand(len(clean), generator=generator)) / len(clean)
        loss = self._loss(clean, noise, self.process.times(spread.to(clean.device)), self._conditions(batch))
        self.log(f"{prefix}_loss", loss, prog_bar=True, batch_size=len(clean), sync_dist=True)

    def _loss(self, clean: Tensor, noise: Tensor, time: Tensor, conditions: Conditions) -> Tensor:
        predicted = self(self.process.noisy(clean, noise, time), time, conditions)
        return self.process.loss(predicted, clean, noise, time).mean()

    def _conditions(self, batch: PictureBatch) -> Conditions:
        known = self.network.num_classes
        classes = None if known is None else batch.need_classes(known)
        if self.network.text_width is None:
            return Conditions(classes)
        with torch.set_grad_enabled(self.train_text_encoder and torch.is_grad_enabled()):
            return Conditions(classes, *self.text_encoder.encode_texts(batch.need_texts()))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return pixels in [-1, 1], or latents (B, C, H, W), of images (B, C, H, W) with values in [0, 255]."""
        pixels: Tensor = self.transform(images=images)
        return pixels if self.autoencoder is None else self.autoencoder.latents(pixels)

    @torch.no_grad()
    def decode(self, sample: Tensor) -> Tensor:
        """Return images (B, C, H, W), uint8, of pixels or latents."""
        pixels = sample if self.autoencoder is None else self.autoencoder.pixels(sample)
        values = (pixels - self.transform.shift) / self.transform.scale
        return values.round().clamp(0, 255).to(torch.uint8)

    @torch.no_grad()
    def sample(
        self,
        classes: Sequence[int | str] | int | str | None = None,
        texts: Sequence[str] | str | None = None,
        *,
        n: int = 1,
        steps: int | None = None,
        guidance: float | None = None,
        sampler: str | None = None,
        seed: int = 0,
        batch_size: int = 64,
        after_step: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Make images.

        The same seed gives the same images, whatever ``batch_size`` is, and the first of ``n`` images are those of a
        smaller ``n``.

        Args:
            classes: Numbers or names; one, or several.
            texts: Descriptions; one, or several.
            n: Images for each class or text; without either, their number.
            steps: Of the sampler; more are slower and, up to a point, better.
            guidance: 1 is none; more makes images more typical of their class or text, and more alike.
            sampler: One of the process's samplers.
            seed: What the images depend on.
            batch_size: Images that are made at once.
            after_step: Called with the number of images, after each step of theirs.

        Returns:
            Images (N, C, H, W), uint8, on the CPU; all of the first class or text, then all of the second, ...

        Raises:
            ConfigError: A condition is not there or not known, or a number is out of range.
            DataError: A text cannot be encoded.
        """
        steps = self.steps if steps is None else steps
        scale = self.guidance if guidance is None else guidance
        wanted = self._wanted(classes, texts)
        if n < 1 or batch_size < 1:
            raise ConfigError(f"{n} images in batches of {batch_size} cannot be made", hint="one is the least")
        self._check_guidance(scale, asked=guidance is not None, conditions=wanted)
        self.process.check(steps, sampler)
        all_conditions = wanted.repeat(n) if wanted is not None else Conditions()
        count = n * (1 if wanted is None else len(wanted))
        # Images of one class or text are numbered for themselves, so that others beside it change nothing.
        seeds = [each for _ in range(count // n) for each in seeds_of(seed, n)]
        made = []
        for start in range(0, count, batch_size):
            part = slice(start, min(start + batch_size, count))
            size = part.stop - part.start
            report = None if after_step is None else (lambda size=size: after_step(size))
            noise = SeededNoise(seeds[part], (self.network.channels, *self.network.image_size), self.device)
            predict = self._predict(all_conditions.part(part), scale, size)
            made.append(
                self.decode(self.process.sample(predict, noise, steps, sampler=sampler, after_step=report)).cpu()
            )
        return torch.cat(made)

    def _wanted(self, classes: Any, texts: Any) -> Conditions | None:
        if texts is not None and self.network.text_width is None:
            raise ConfigError("the model makes no images of texts", hint=self._what_it_takes())
        if classes is not None and self.network.num_classes is None:
            raise ConfigError("the model makes no images of classes", hint=self._what_it_takes())
        if classes is None and texts is None:
            return None
        numbers = None if classes is None else read_classes(classes, self.network.num_classes or 0, self.class_names)
        return encode_conditions(numbers, texts, self.text_encoder, self.device)

    def _check_guidance(self, scale: float, *, asked: bool, conditions: Conditions | None) -> None:
        if not torch.isfinite(torch.tensor(scale)) or scale < 0:
            raise ConfigError(f"guidance {scale} is not a scale", hint="1 is none; 1.5 to 7 are usual")
        if not asked or scale == 1:
            return
        if conditions is None:
            raise ConfigError("guidance needs a class or a text to guide to", hint="give one, or leave guidance out")
        if self.condition_dropout == 0:
            raise ConfigError(
                "the model was never trained without a condition, so it cannot be guided away from that",
                hint="train it with model.condition_dropout=0.1, or leave guidance out",
            )

    def _predict(self, conditions: Conditions, scale: float, size: int) -> Callable[[Tensor, Tensor], Tensor]:
        if scale == 1 or conditions.empty:
            return lambda x, t: self(x, t, conditions)
        none = torch.arange(2 * size, device=self.device) >= size
        both = conditions.repeat_whole(2).without(none)
        return guided(lambda x, t: self(x, t, both), scale)

    def _what_it_takes(self) -> str:
        if self.network.text_width is not None:
            return "it takes texts"
        if self.network.num_classes is not None:
            names = self.class_names or [f"0 to {self.network.num_classes - 1}"]
            return f"it takes classes: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
        return "it takes no condition at all"

    def _fixed(self) -> list[torch.nn.Module]:
        parts = [self.autoencoder, None if self.train_text_encoder else self.text_encoder]
        return [part for part in parts if isinstance(part, torch.nn.Module)]

    def _check(self) -> None:
        network, encoder = self.network, self.autoencoder
        made = (len(self.transform.mean), *self.transform.size)
        if encoder is not None:
            made = encoder.latent_shape(*made)
        if made != (network.channels, *network.image_size):
            raise ConfigError(
                f"ImageGenerator: {'latents' if encoder else 'images'} are {made} (channels, height, width), and the "
                f"network is made for {(network.channels, *network.image_size)}",
                hint="set network.channels and network.image_size to the first",
            )
        if (network.text_width is None) != (self.text_encoder is None):
            raise ConfigError(
                "ImageGenerator: a network that takes texts needs a text encoder, and the other way round",
                hint="set network.text_width and text_encoder, or neither",
            )
        if self.text_encoder is not None and self.text_encoder.text_width != network.text_width:
            raise ConfigError(
                f"ImageGenerator: texts are encoded in {self.text_encoder.text_width} numbers, and the network is made "
                f"for {network.text_width}",
                hint="set network.text_width to the first",
            )
        names, classes = self.class_names, network.num_classes
        if names is not None and len(names) != (classes or 0):
            raise ConfigError(f"ImageGenerator: {len(names)} names for {classes or 'no'} classes")
        if not 0 <= self.condition_dropout < 1:
            raise ConfigError(f"ImageGenerator: condition_dropout {self.condition_dropout} is not a share below 1")
        if self.steps < 1 or self.guidance < 0:
            raise ConfigError(f"ImageGenerator: steps {self.steps}, guidance {self.guidance}", hint="25 and 1.5, say")
        if self.guidance != 1 and self.condition_dropout == 0:
            raise ConfigError(
                f"ImageGenerator: guidance {self.guidance} needs a model that knows what no condition is",
                hint="set condition_dropout=0.1, or guidance=1",
            )
