"""Images to small latents and back: the autoencoder that generation in latent space works on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from nemo_core.errors import ConfigError, DataError
from nemo_core.models import Model
from nemo_mm.data.picture_sets import PictureBatch
from nemo_mm.images import ImageTransform
from nemo_mm.models.image_classifier import ImageClassifier
from nemo_mm.modules.autoencoder import ImageDecoder, ImageEncoder
from nemo_mm.modules.pretrained import Pretrained, taken

__all__ = ["AutoencoderKL"]


class AutoencoderKL(Model):
    """An encoder and a decoder, and a normal distribution that the latents are drawn towards.

    A variational autoencoder whose divergence counts little (Rombach et al., CVPR 2022): latents keep what an image
    looks like, and are smooth enough for a generator to work on. It logs ``train_loss`` and its parts ``rec`` (mean
    absolute error of pixels), ``kl`` and, with a judge, ``perceptual``; and the same for validation.

    While it is validated it learns how large latents are, and :meth:`latents` makes their standard deviation one, as
    generators want it.

    Args:
        transform: Makes pixels in [-1, 1] of images.
        encoder: Images to moments.
        decoder: Latents to images.
        quant_conv: Whether a convolution of 1 x 1 lies between encoder and latents, and between latents and decoder.
        kl_weight: Of the divergence, a sum over the numbers of a latent, divided by the number of pixel values.
        perceptual_weight: Of the distance of what the judge sees; it sharpens images.
        judge: A trained classifier whose features that distance is taken of.

    Raises:
        ConfigError: The parts do not fit together.

    Example:
        >>> sizes = {"channels": 1, "latent_channels": 2, "widths": [4, 8], "layers": 1, "groups": 2}
        >>> transform = ImageTransform(8, mean=[0.5], std=[0.5])
        >>> model = AutoencoderKL(transform, ImageEncoder(**sizes), ImageDecoder(**sizes)).eval()
        >>> latents = model.latents(torch.zeros(3, 1, 8, 8))
        >>> latents.shape, model.pixels(latents).shape
        (torch.Size([3, 2, 4, 4]), torch.Size([3, 1, 8, 8]))
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        transform: ImageTransform,
        encoder: ImageEncoder,
        decoder: ImageDecoder,
        quant_conv: bool = False,
        kl_weight: float = 1e-3,
        perceptual_weight: float = 0.0,
        judge: ImageClassifier | Pretrained | None = None,
    ) -> None:
        super().__init__()
        self.transform, self.encoder, self.decoder = transform, encoder, decoder
        if (encoder.channels, encoder.latent_channels) != (decoder.channels, decoder.latent_channels):
            raise ConfigError("AutoencoderKL: encoder and decoder differ in channels or latent_channels")
        if len(transform.mean) != encoder.channels:
            raise ConfigError(
                f"AutoencoderKL: images of {len(transform.mean)} channels for an encoder of {encoder.channels}"
            )
        self.latent_shape(encoder.channels, *transform.size)
        latent = encoder.latent_channels
        self.quant_conv = torch.nn.Conv2d(2 * latent, 2 * latent, 1) if quant_conv else None
        self.post_quant_conv = torch.nn.Conv2d(latent, latent, 1) if quant_conv else None
        self.kl_weight, self.perceptual_weight = kl_weight, perceptual_weight
        self.judge = taken(judge, ImageClassifier, "AutoencoderKL: judge")
        if self.judge is not None:
            self.judge.requires_grad_(False).eval()
        elif perceptual_weight > 0:
            raise ConfigError(
                "AutoencoderKL: perceptual_weight needs a judge", hint="give a trained mm.ImageClassifier"
            )
        self.register_buffer("latent_mean", torch.zeros(()))
        self.register_buffer("latent_std", torch.ones(()))
        self._seen = torch.zeros(3, dtype=torch.float64)

    def train(self, mode: bool = True) -> Self:
        """Switch to training, but for the judge."""
        super().train(mode)
        if self.judge is not None:
            self.judge.eval()
        return self

    def latent_shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """Return channels, height and width of the latents of an image.

        Raises:
            ConfigError: The encoder does not divide the image.
        """
        factor = self.encoder.factor
        if height % factor or width % factor or channels != self.encoder.channels:
            raise ConfigError(
                f"AutoencoderKL: an image of {channels} x {height} x {width} does not fit an encoder of "
                f"{self.encoder.channels} channels that makes it {factor} times smaller",
                hint=f"give a height and width that {factor} divides",
            )
        return self.encoder.latent_channels, height // factor, width // factor

    def moments(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance (B, C, H / f, W / f) of the latents of images (B, C, H, W)."""
        found = self.encoder(pixels=pixels)
        if self.quant_conv is not None:
            found = self.quant_conv(found)
        mean, log_variance = found.chunk(2, 1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, latents: Tensor) -> Tensor:
        """Return images (B, C, H, W) of latents as the encoder makes them."""
        if self.post_quant_conv is not None:
            latents = self.post_quant_conv(latents)
        decoded: Tensor = self.decoder(latents=latents)
        return decoded

    def latents(self, pixels: Tensor) -> Tensor:
        """Return the means of the latents of images, scaled to a standard deviation of one."""
        return (self.moments(pixels)[0] - self.latent_mean) / self.latent_std

    def pixels(self, latents: Tensor) -> Tensor:
        """Return images of latents that were scaled."""
        return self.decode(latents * self.latent_std + self.latent_mean)

    def forward(self, images: Tensor) -> Tensor:
        """Return images (B, C, H, W), around 0, as they come back of images with values in [0, 255]."""
        return self.decode(self.moments(self.transform(images=images))[0])

    def training_step(self, batch: PictureBatch, batch_index: int) -> Tensor:
        """Return the loss."""
        pixels = self.transform(images=batch.images)
        mean, log_variance = self.moments(pixels)
        made = self.decode(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
        return self._loss("train", pixels, made, mean, log_variance)

    def validation_step(self, batch: PictureBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Log the loss, and see how large latents are."""
        pixels = self.transform(images=batch.images)
        mean, log_variance = self.moments(pixels)
        self._loss("val", pixels, self.decode(mean), mean, log_variance)
        values = mean.double()
        self._seen += torch.stack([values.new_tensor(values.numel()), values.sum(), values.square().sum()]).cpu()

    def on_validation_epoch_start(self) -> None:
        """Forget how large latents were."""
        self._seen.zero_()

    def on_validation_epoch_end(self) -> None:
        """Keep how large latents are."""
        count, total, squares = self.trainer.strategy.reduce(self._seen.to(self.device), reduce_op="sum").tolist()
        if count > 0:
            mean = total / count
            self.latent_mean.fill_(mean)
            self.latent_std.fill_(max(squares / count - mean**2, 1e-12) ** 0.5)

    def _loss(self, prefix: str, pixels: Tensor, made: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        parts = {"rec": (made - pixels).abs().mean()}
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        parts["kl"] = divergence / pixels.numel()
        loss = parts["rec"] + self.kl_weight * parts["kl"]
        if self.judge is not None and self.perceptual_weight > 0:
            parts["perceptual"] = self._perceptual(pixels, made)
            loss = loss + self.perceptual_weight * parts["perceptual"]
        size, sync = len(pixels), prefix != "train"
        self.log(f"{prefix}_loss", loss.detach(), prog_bar=True, batch_size=size, sync_dist=sync)
        named = {f"{prefix}_{name}": part.detach() for name, part in parts.items()}
        self.log_dict(named, batch_size=size, sync_dist=sync)
        return loss

    def _perceptual(self, pixels: Tensor, made: Tensor) -> Tensor:
        """Return the distance of what the judge's layers see, normalised at each place (as LPIPS without weights)."""
        assert self.judge is not None
        total = pixels.new_zeros(())
        real, other = pixels, made
        for layer in self.judge.network.layers:
            with torch.no_grad():
                real = layer(real)
            other = layer(other)
            if isinstance(layer, torch.nn.ReLU):
                difference = torch.nn.functional.normalize(real, dim=1) - torch.nn.functional.normalize(other, dim=1)
                total = total + difference.square().sum(1).mean()
        return total

    @classmethod
    def from_diffusers(cls, folder: str | Path, *, size: int | None = None) -> AutoencoderKL:
        """Return the AutoencoderKL that a folder of diffusers holds (``config.json`` and safetensors).

        Args:
            folder: Such as ``stable-diffusion/vae``.
            size: Side of the images; what the folder says, if not given.

        Raises:
            ConfigError: It is another kind of model, or has parts that this one has not.
            DataError: A file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = Path(folder)
        try:
            config: dict[str, Any] = json.loads((path / "config.json").read_text(encoding="utf-8"))
            weights = load_file(path / "diffusion_pytorch_model.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise DataError(
                f"{path} is no model of diffusers: {error}",
                hint="it has config.json and diffusion_pytorch_model.safetensors",
            ) from None
        model = cls._of_config(config, path, size)
        model.latent_std.fill_(1 / float(config.get("scaling_factor") or 1.0))
        model.latent_mean.fill_(float(config.get("shift_factor") or 0.0))
        mine = {name: weight for name, weight in model.state_dict().items() if not name.startswith("latent_")}
        renamed = {_present_name(name): weight for name, weight in weights.items()}
        lacking, beyond = sorted(mine.keys() - renamed.keys()), sorted(renamed.keys() - mine.keys())
        wrong = [name for name in mine.keys() & renamed.keys() if mine[name].numel() != renamed[name].numel()]
        if lacking or beyond or wrong:
            what = ", ".join([*lacking, *beyond, *wrong][:5])
            raise ConfigError(f"{path}: the weights are not those of an AutoencoderKL as configured: {what}")
        state = {name: renamed[name].reshape(weight.shape) for name, weight in mine.items()}
        model.load_state_dict({**model.state_dict(), **state})
        return model.eval()

    @classmethod
    def _of_config(cls, config: dict[str, Any], path: Path, size: int | None) -> AutoencoderKL:
        kinds = {*config.get("down_block_types", ()), *config.get("up_block_types", ())}
        kinds -= {"DownEncoderBlock2D", "UpDecoderBlock2D"}
        if config.get("_class_name") != "AutoencoderKL" or kinds or config.get("act_fn", "silu") != "silu":
            raise ConfigError(
                f"{path} is a {config.get('_class_name')} with {', '.join(sorted(kinds)) or 'its own activation'}",
                hint="an AutoencoderKL of DownEncoderBlock2D and UpDecoderBlock2D can be read",
            )
        channels, side = int(config.get("in_channels", 3)), size or int(config.get("sample_size", 32))
        sizes: dict[str, Any] = {
            "channels": channels,
            "latent_channels": int(config.get("latent_channels", 4)),
            "widths": [int(width) for width in config.get("block_out_channels", (64,))],
            "layers": int(config.get("layers_per_block", 1)),
            "groups": int(config.get("norm_num_groups", 32)),
            "attention": bool(config.get("mid_block_add_attention", True)),
        }
        half = [0.5] * channels
        return cls(
            ImageTransform(side, mean=half, std=half),
            ImageEncoder(**sizes),
            ImageDecoder(**sizes),
            quant_conv=bool(config.get("use_quant_conv", True)),
        )


#: What the parts of attention were called before diffusers 0.15; published weights still say so.
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def _present_name(name: str) -> str:
    """Return the present name of a weight.

    >>> _present_name("encoder.mid_block.attentions.0.proj_attn.bias")
    'encoder.mid_block.attentions.0.to_out.0.bias'
    """
    stem, _, last = name.rpartition(".")
    parent, _, part = stem.rpartition(".")
    return f"{parent}.{_OLD_NAMES[part]}.{last}" if part in _OLD_NAMES else name
