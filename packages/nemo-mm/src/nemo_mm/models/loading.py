"""A language model with a reader from a folder, ready to answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_llm.megatron import Layout
    from nemo_mm.models.multimodal import MultimodalLanguageModel

__all__ = ["loaded"]


@contextmanager
def loaded(
    path: str | Path, *, layout: Layout | None = None, dtype: Any = None, expect: type[Any] | None = None
) -> Iterator[MultimodalLanguageModel]:
    """Load a model for as long as the block takes; the engine is started if it does not run.

    Args:
        path: A model folder (``model.dist``), a checkpoint, or the folder of a run.
        layout: How it is divided among processes.
        dtype: What weights are computed in: float32 on a CPU, bfloat16 on a GPU, if not given.
        expect: Class that the model has to be of.

    Raises:
        ConfigError: There is no model, or one of another kind.
        ArchiveError: It is damaged.

    Example:
        >>> with loaded("runs/vlm_scenes/latest") as model:  # doctest: +SKIP
        ...     model.ask(["How many yellow squares?"], [["scene.png"]])
        ['two']
    """
    from contextlib import nullcontext

    from nemo_core.plugins import registry
    from nemo_llm.generation.loading import can_afford, type_of
    from nemo_llm.megatron import engine, engine_running
    from nemo_llm.models.sources import load_source, read_source
    from nemo_llm.tokenizers import load_tokenizer
    from nemo_mm.models.multimodal_config import MultimodalConfig

    _refuse_archive(Path(path))
    source = read_source(Path(path))
    if not isinstance(source.config, MultimodalConfig):
        raise ConfigError(
            f"{source.path} is no language model that is given more than text: {type(source.config).__name__}",
            hint="text alone: nemo llm generate",
        )
    kind = type(source.config).__name__
    component = next(
        each
        for each in registry().components("model")
        if str(each.metadata.get("architecture", "")).rpartition(":")[2] == kind
    )
    cls: Any = component.load()
    if expect is not None and not issubclass(cls, expect):
        raise ConfigError(f"{source.path} is a {cls.__name__}, not a {expect.__name__}")
    tokenizer = None if source.tokenizer is None else load_tokenizer(source.tokenizer)
    with nullcontext() if engine_running() else engine(layout):
        model: MultimodalLanguageModel = cls(source.config, tokenizer)
        model.build(layout, dtype=type_of(dtype))
        load_source(source.path, list(model.chunks), source.config)
        model.eval().requires_grad_(False)
        model.pack = can_afford(list(model.chunks))
        yield model


def _refuse_archive(path: Path) -> None:
    """Say what to do with a model that is kept as an archive, since no language model is."""
    archive = path if path.suffix == ".nemo" else path / "model.nemo"
    if not archive.is_file():
        return
    from nemo_core.models import restore

    kind = str(restore(archive, return_config=True).get("_target_", "a model")).rpartition(".")[2]
    raise ConfigError(
        f"{archive} is a {kind}, not a language model that sees or hears",
        hint="pictures and words: nemo mm classify, nemo mm retrieve; speech alone: nemo transcribe",
    )
