"""Writing archives that NVIDIA NeMo restores; :mod:`nemo_core.models.nvidia` is the other direction.

The mapping itself belongs to the model classes here too: ``to_nvidia`` says a model in NVIDIA's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nemo_core.errors import ArchiveError, ExportError
from nemo_core.models import safe_yaml
from nemo_core.models.archive import CONFIG, NVIDIA_REFERENCE, NVIDIA_WEIGHTS, replace_file, write_tar
from nemo_core.models.safe_tar import sha256

if TYPE_CHECKING:
    from nemo_core.models.model import Model

__all__ = ["RELEASE", "NvidiaModel", "export_nvidia", "reference"]

#: The release whose configurations and weights are written.
RELEASE = "2.7.3"


@dataclass(frozen=True)
class NvidiaModel:
    """A model in NVIDIA's words.

    Attributes:
        target: Import path of NVIDIA's class.
        config: Its configuration; what names a file is a :func:`reference`.
        weights: Tensors under NVIDIA's names.
        artifacts: Content of the files, by the name that the references have.
    """

    target: str
    config: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    artifacts: Mapping[str, bytes] = field(default_factory=dict)


def reference(name: str, content: bytes, artifacts: dict[str, bytes]) -> str:
    """Put a file among ``artifacts`` and return what a configuration says in its place.

    Example:
        >>> files = {}
        >>> reference("vocab.txt", b"a", files), list(files)
        ('nemo:ca978112ca1bbdcafac231b39a23dc4d_vocab.txt', ['ca978112ca1bbdcafac231b39a23dc4d_vocab.txt'])
    """
    # NVIDIA NeMo takes 32 hexadecimal digits off the front when it writes the file again.
    member = f"{sha256(content)[:32]}_{name}"
    artifacts[member] = content
    return NVIDIA_REFERENCE + member


def export_nvidia(model: Model, path: Path, *, overwrite: bool = False) -> Path:
    """Write ``model`` to an archive that NVIDIA NeMo restores.

    Raises:
        ExportError: The model has no counterpart there, or does something that it cannot do.
        ArchiveError: The file is there already, or cannot be written.
    """
    translate = getattr(model, "to_nvidia", None)
    if translate is None:
        raise ExportError(f"{type(model).__qualname__} has no counterpart in NVIDIA NeMo")
    theirs: NvidiaModel = translate()
    config = {**theirs.config, "target": theirs.target, "nemo_version": RELEASE}
    # Each tensor for itself: a view would be saved with all of what it is a view of.
    weights = {name: weight.detach().to("cpu", copy=True).contiguous() for name, weight in theirs.weights.items()}
    with replace_file(path, overwrite=overwrite) as temporary:
        file = temporary.with_name(NVIDIA_WEIGHTS)
        try:
            torch.save(weights, file)
        except RuntimeError as error:  # that is how torch says that the disk is full
            raise ArchiveError(f"cannot write {path}: {str(error).splitlines()[0]}") from error
        members: dict[str, bytes | Path] = {
            CONFIG: safe_yaml.dump(config).encode(),
            **theirs.artifacts,
            NVIDIA_WEIGHTS: file,
        }
        write_tar(temporary, {f"./{name}": content for name, content in members.items()})
    return path
