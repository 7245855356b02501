"""What nemo-core itself registers, through the same hook that any plugin uses."""

from __future__ import annotations

from nemo_core.plugins import Registry, hookimpl


@hookimpl
def nemo_components(registry: Registry) -> None:
    """Register the commands, formats, optimisers and schedulers of the framework."""
    registry.command(
        "doctor", "nemo_core.cli.doctor:doctor", summary="Show versions, devices, plugins and what is missing"
    )
    registry.command("plugins", "nemo_core.cli.plugins:app", summary="List, check and create plugins")
    registry.command("recipes", "nemo_core.cli.recipes:app", summary="List and show training recipes")
    registry.command("components", "nemo_core.cli.components:app", summary="List and show what recipes can build")
    registry.command("train", "nemo_core.cli.train:train", summary="Train or fine-tune a model from a recipe")
    registry.command("archive", "nemo_core.cli.archive:app", summary="Show and verify model archives")
    registry.command("models", "nemo_core.cli.models:app", summary="List, show and fetch pretrained models")
    registry.command("export", "nemo_core.cli.export:export", summary="Write a model in a format of others")
    registry.exporter(
        "nvidia-nemo",
        "nemo_core.models.nvidia_export:export_nvidia",
        summary="Archive (.nemo) that NVIDIA NeMo 2.7 restores",
    )
    registry.module(
        "NeuralGraph",
        "nemo_core.graph.graph:NeuralGraph",
        summary="Neural modules connected by their typed ports",
        example=None,
    )
    registry.module(
        "MelSpectrogram",
        "nemo_core.audio.mel:MelSpectrogram",
        aliases=(
            "asr.MelSpectrogram",
            "nemo_asr.modules.mel.MelSpectrogram",
            "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
            "nemo.collections.asr.modules.audio_preprocessing.AudioToMelSpectrogramPreprocessor",
        ),
        summary="Log-mel features of audio, as NVIDIA NeMo computes them",
    )
    for name, target, summary in _OPTIMIZERS:
        registry.optimizer(name, target, summary=summary)
    for name, target, summary in _SCHEDULERS:
        registry.scheduler(name, target, summary=summary)


_MEGATRON = "nemo_core.training.optim.fused_adam:needs_megatron"
_OPTIMIZERS = (
    ("sgd", "torch.optim:SGD", "Stochastic gradient descent with momentum"),
    ("adam", "torch.optim:Adam", "Adam"),
    ("adamw", "torch.optim:AdamW", "Adam with decoupled weight decay"),
    ("adadelta", "torch.optim:Adadelta", "Adadelta"),
    ("adamax", "torch.optim:Adamax", "Adam by the infinity norm"),
    ("adagrad", "torch.optim:Adagrad", "Adagrad"),
    ("rmsprop", "torch.optim:RMSprop", "RMSprop"),
    ("rprop", "torch.optim:Rprop", "Resilient backpropagation"),
    ("adafactor", "torch.optim:Adafactor", "Adam with a factored second moment, for little memory"),
    ("muon", "nemo_core.training.optim.muon:Muon", "Muon for matrices, AdamW for all else"),
    ("novograd", "nemo_core.training.optim.novograd:NovoGrad", "Adam with one second moment per layer"),
    ("lamb", "nemo_core.training.optim.lamb:Lamb", "Adam scaled per layer, for very large batches"),
    ("adan", "nemo_core.training.optim.adan:Adan", "Adaptive Nesterov momentum"),
    ("fused_adam", "nemo_core.training.optim.fused_adam:FusedAdam", "AdamW in one kernel"),
    ("megatron_fused_adam", "nemo_core.training.optim.fused_adam:FusedAdam", "AdamW in one kernel"),
    ("distributed_fused_adam", _MEGATRON, "Needs Megatron-core: see nemo-llm"),
    ("mcore_distributed_optim", _MEGATRON, "Needs Megatron-core: see nemo-llm"),
)

_OURS = "nemo_core.training.schedulers"
_TORCH = "torch.optim.lr_scheduler"
_SCHEDULERS = (
    ("WarmupPolicy", f"{_OURS}:WarmupPolicy", "Warm-up, then constant"),
    ("WarmupHoldPolicy", f"{_OURS}:WarmupHoldPolicy", "Warm-up, then constant to the end, then min_lr"),
    ("SquareAnnealing", f"{_OURS}:SquareAnnealing", "Warm-up, then a square"),
    ("SquareRootAnnealing", f"{_OURS}:SquareRootAnnealing", "Warm-up, then a square root"),
    ("CosineAnnealing", f"{_OURS}:CosineAnnealing", "Warm-up, then half a cosine"),
    ("NoamAnnealing", f"{_OURS}:NoamAnnealing", "Warm-up, then step^-0.5, scaled by the model's width"),
    ("NoamHoldAnnealing", f"{_OURS}:NoamHoldAnnealing", "Warm-up, hold, then a power of the step"),
    ("WarmupHoldAnnealLinear", f"{_OURS}:WarmupHoldAnnealLinear", "Warm-up, hold, then a line"),
    (
        "WarmupHoldAnnealOneMinusSquareRoot",
        f"{_OURS}:WarmupHoldAnnealOneMinusSquareRoot",
        "Warm-up, hold, then one minus a square root",
    ),
    ("WarmupAnnealing", f"{_OURS}:WarmupAnnealing", "Warm-up, then a line"),
    ("InverseSquareRootAnnealing", f"{_OURS}:InverseSquareRootAnnealing", "Warm-up, then step^-0.5"),
    ("T5InverseSquareRootAnnealing", f"{_OURS}:T5InverseSquareRootAnnealing", "Constant, then step^-0.5"),
    ("PolynomialDecayAnnealing", f"{_OURS}:PolynomialDecayAnnealing", "Warm-up, then a polynomial"),
    ("PolynomialHoldDecayAnnealing", f"{_OURS}:PolynomialHoldDecayAnnealing", "Warm-up, hold, then a polynomial"),
    ("StepLR", f"{_TORCH}:StepLR", "Times gamma every step_size steps"),
    ("ExponentialLR", f"{_TORCH}:ExponentialLR", "Times gamma every epoch"),
    ("ReduceLROnPlateau", f"{_TORCH}:ReduceLROnPlateau", "Lower when a metric no longer improves"),
    ("CyclicLR", f"{_TORCH}:CyclicLR", "Up and down between two rates"),
)
