"""The model archive: one tar file with everything it takes to have a model back.

====================================  ==================================================================
``manifest.json``                     format version, what wrote it, which components it needs, and the
                                      size and SHA-256 of every other member
``model_config.yaml``                 the node that :func:`nemo_core.config.instantiate` builds the model from
``model_weights.safetensors``         the weights
``artifacts/<name>``                  files that arguments name; ``artifact:<name>`` stands for them in the node
====================================  ==================================================================

NVIDIA NeMo's archives are read as well: ``model_config.yaml`` with ``target:`` at its root, ``model_weights.ckpt``, and
artifacts that the configuration calls ``nemo:<name>``.

Nothing here needs torch, and nothing runs code from an archive.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from nemo_core.errors import ArchiveError
from nemo_core.models import safe_yaml
from nemo_core.models.safe_tar import Limits, Member, SafeTar, sha256

__all__ = [
    "ARTIFACTS",
    "CONFIG",
    "MANIFEST",
    "WEIGHTS",
    "Archive",
    "Manifest",
    "replace_file",
    "write_archive",
    "write_tar",
]

MANIFEST = "manifest.json"
CONFIG = "model_config.yaml"
WEIGHTS = "model_weights.safetensors"
ARTIFACTS = "artifacts/"
NVIDIA_WEIGHTS = "model_weights.ckpt"
ARTIFACT_REFERENCE = "artifact:"
NVIDIA_REFERENCE = "nemo:"
FORMAT = "nemo-archive"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """What an archive says about itself.

    Attributes:
        model: Registry name or import path of the model's class.
        created_by: Versions of the distributions that wrote it.
        components: What the configuration is made of, as ``{"name", "distribution", "version"}`` each.
        members: Size and SHA-256 of every other member, as ``{"size", "sha256"}`` by name.
        tied_weights: Weights that share their values with another and are stored once: name -> name that is stored.
        format_version: Version of the layout.
    """

    model: str
    created_by: Mapping[str, str]
    components: tuple[Mapping[str, str | None], ...]
    members: Mapping[str, Mapping[str, Any]]
    tied_weights: Mapping[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_json(self) -> bytes:
        """Return the manifest as JSON, with a digest of itself."""
        content = {"format": FORMAT, **asdict(self)}
        content["sha256"] = _digest(content)
        return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Manifest:
        """Read a manifest back.

        Raises:
            ArchiveError: It is damaged, or of a format that this version does not know.
        """
        try:
            data = json.loads(content)
            version = data["format_version"]
            if data["format"] != FORMAT or type(version) is not int:
                raise ValueError(f"format is {data['format']!r} {version!r}")
            if version > FORMAT_VERSION:
                raise ArchiveError(
                    f"{where} is of format version {version}; this nemo-core knows {FORMAT_VERSION}",
                    hint="install a newer nemo-core",
                )
            if data.pop("sha256") != _digest(data):
                raise ValueError("its digest does not fit its content")
            manifest = cls(
                model=str(data["model"]),
                created_by=dict(data["created_by"]),
                components=tuple(dict(component) for component in data["components"]),
                members={
                    name: {"size": int(m["size"]), "sha256": str(m["sha256"])} for name, m in data["members"].items()
                },
                tied_weights=dict(data["tied_weights"]),
                format_version=version,
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ArchiveError(f"{where} is damaged: {error}", hint="fetch or copy the archive again") from error
        return manifest


class Archive:
    """A model archive opened for reading: ours (``kind == "nemo"``) or NVIDIA's (``"nvidia"``).

    Opening checks the structure; :meth:`verify` checks the content against the hashes.

    Attributes:
        path: The file.
        kind: Whose format it is.
        manifest: Of our archives; None for NVIDIA's, which have none.
        config: The model's configuration, plain values.
        target: Name of the model's class: ``_target_`` of ours, ``target`` of NVIDIA's.
        weights: Name of the member that holds the weights.
        artifacts: Member names by the name that the configuration uses for them.

    Raises:
        ArchiveError: The file is missing, damaged, or no model archive.
        UnsafeArchiveError: It holds what no model archive needs (links, devices, paths that lead elsewhere, bombs).
    """

    kind: Literal["nemo", "nvidia"]
    manifest: Manifest | None

    def __init__(self, path: str | Path, *, limits: Limits | None = None) -> None:
        self.path = Path(path)
        self._tar = SafeTar(self.path, limits)
        try:
            if MANIFEST in self.members:
                self._open_ours()
            elif CONFIG in self.members:
                self._open_nvidia()
            else:
                held = ", ".join(list(self.members)[:5]) or "nothing"
                raise ArchiveError(f"{self.path} is a tar file but no model archive", hint=f"it holds: {held}")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._tar.close()

    @property
    def members(self) -> Mapping[str, Member]:
        """All files in the archive, by name."""
        return self._tar.members

    @property
    def compressed(self) -> bool:
        """Whether the tar is gzipped."""
        return self._tar.compressed

    def view(self, name: str) -> memoryview:
        """Return the bytes of a member, mapped and not copied; valid until the archive is closed."""
        return self._tar.view(name)

    def verify(self) -> None:
        """Compare every member with the manifest; NVIDIA's archives have nothing to compare with.

        Raises:
            ArchiveError: Members differ; the message names all of them.
        """
        if self.manifest is None:
            return
        damaged = [name for name, listed in self.manifest.members.items() if self.sha256(name) != listed["sha256"]]
        if damaged:
            raise ArchiveError(
                f"{self.path} is damaged: {', '.join(damaged)} {'is' if len(damaged) == 1 else 'are'} not what the "
                "manifest says",
                hint="fetch or copy it again",
            )

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of a member, in hex."""
        with self.view(name) as view:
            return sha256(view)

    @contextlib.contextmanager
    def unpacked_artifacts(self) -> Iterator[dict[str, Path]]:
        """Unpack the artifacts into a temporary folder and yield their paths, by the configuration's name for them."""
        if not self.artifacts:
            yield {}
            return
        with tempfile.TemporaryDirectory(prefix="nemo-") as folder:
            paths = self._tar.extract(self.artifacts.values(), Path(folder))
            yield {name: paths[member] for name, member in self.artifacts.items()}

    def extract(self, folder: str | Path) -> Path:
        """Unpack all members into a new folder and return it; it appears when it is complete.

        Raises:
            ArchiveError: The folder is there already, or cannot be written.
        """
        folder = Path(folder)
        if folder.exists():
            raise ArchiveError(f"{folder} is there already", hint="name a folder that is not there yet")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
                unpacked = Path(temporary) / folder.name
                unpacked.mkdir()
                self._tar.extract(self.members, unpacked)
                os.rename(unpacked, folder)
        except OSError as error:
            raise ArchiveError(f"cannot write {folder}: {error.strerror or error}") from error
        return folder

    def with_paths(self, paths: Mapping[str, Path]) -> dict[str, Any]:
        """Return the configuration with paths in place of its references to artifacts.

        Raises:
            ArchiveError: It refers to an artifact that the archive does not hold.
        """
        prefix = ARTIFACT_REFERENCE if self.kind == "nemo" else NVIDIA_REFERENCE

        def replaced(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: replaced(item) for key, item in value.items()}
            if isinstance(value, list):
                return [replaced(item) for item in value]
            if isinstance(value, str) and value.startswith(prefix):
                name = value.removeprefix(prefix)
                if name not in paths:
                    raise ArchiveError(f"{self.path}: {CONFIG} refers to {name}, which the archive does not hold")
                return str(paths[name])
            return value

        return {key: replaced(item) for key, item in self.config.items()}

    def _open_ours(self) -> None:
        self.kind = "nemo"
        manifest = Manifest.from_json(self._tar.read(MANIFEST), f"{self.path}: {MANIFEST}")
        self.manifest = manifest
        listed, held = set(manifest.members), set(self.members) - {MANIFEST}
        if listed != held:
            missing, extra = ", ".join(sorted(listed - held)), ", ".join(sorted(held - listed))
            problem = " and ".join([f"lacks {missing}"] * bool(missing) + [f"has the unlisted {extra}"] * bool(extra))
            raise ArchiveError(f"{self.path} {problem}", hint="fetch or copy it again")
        for name, entry in manifest.members.items():
            if entry["size"] != self.members[name].size:
                raise ArchiveError(
                    f"{self.path}: {name} is {self.members[name].size:,} bytes, the manifest says {entry['size']:,}"
                )
        for name in (CONFIG, WEIGHTS):
            if name not in listed:
                raise ArchiveError(f"{self.path} lacks {name}")
        self.weights = WEIGHTS
        self.artifacts = {name.removeprefix(ARTIFACTS): name for name in sorted(listed) if name.startswith(ARTIFACTS)}
        self.config = safe_yaml.load(self._tar.read(CONFIG), f"{self.path}: {CONFIG}")
        target = self.config.get("_target_")
        if not isinstance(target, str):
            raise ArchiveError(f"{self.path}: {CONFIG} does not say which model it describes (_target_)")
        self.target = target

    def _open_nvidia(self) -> None:
        self.kind = "nvidia"
        self.manifest = None
        self.config = safe_yaml.load(self._tar.read(CONFIG), f"{self.path}: {CONFIG}", references=True)
        target = self.config.get("target")
        if not isinstance(target, str):
            raise ArchiveError(
                f"{self.path}: {CONFIG} has no target, so there is no telling which model it describes",
                hint="archives of NVIDIA NeMo before 1.0 are not supported",
            )
        self.target = target
        self.weights = next((name for name in (WEIGHTS, NVIDIA_WEIGHTS) if name in self.members), "")
        if not self.weights:
            raise ArchiveError(
                f"{self.path} lacks {NVIDIA_WEIGHTS}",
                hint="archives with sharded (distributed) weights are not supported"
                if any(name.startswith("model_weights/") for name in self.members)
                else "fetch or copy it again",
            )
        self.artifacts = {name: name for name in self.members if name not in (CONFIG, self.weights)}


def write_archive(
    path: str | Path,
    *,
    config: Mapping[str, Any],
    write_weights: Callable[[Path], Mapping[str, str]],
    artifacts: Mapping[str, bytes],
    components: tuple[Mapping[str, str | None], ...],
    created_by: Mapping[str, str],
    overwrite: bool = False,
) -> Path:
    """Write an archive; ``path`` holds the old file or the whole new one at every moment.

    The bytes depend on the arguments only: members come in a fixed order and carry no times, owners or modes.

    Args:
        path: The file to write.
        config: The model's node, with ``artifact:<name>`` where an argument names a file.
        write_weights: Writes the safetensors file it is given the path of, and returns the tied weights.
        artifacts: Content by name.
        components: See :class:`Manifest`.
        created_by: See :class:`Manifest`.
        overwrite: Replace a file that is there.

    Raises:
        ArchiveError: The file is there already, or cannot be written.
    """
    with replace_file(path, overwrite=overwrite) as temporary:
        weights = temporary.with_name(WEIGHTS)
        tied = write_weights(weights)
        contents: dict[str, bytes | Path] = {CONFIG: safe_yaml.dump(dict(config)).encode()}
        contents.update({f"{ARTIFACTS}{name}": artifacts[name] for name in sorted(artifacts)})
        contents[WEIGHTS] = weights
        manifest = Manifest(
            model=config["_target_"],
            created_by=dict(created_by),
            components=tuple(components),
            members={name: _measured(content) for name, content in contents.items()},
            tied_weights=dict(tied),
        )
        write_tar(temporary, {MANIFEST: manifest.to_json(), **contents})
    return Path(path)


def write_tar(path: Path, contents: Mapping[str, bytes | Path]) -> None:
    """Write a tar file of ``contents``, by name, in their order; equal contents give equal bytes."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)  # time 0, owner 0, mode 0644: nothing that differs from machine to machine
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                entry.size = len(content) if isinstance(content, bytes) else content.stat().st_size
                tar.addfile(entry, file)


@contextlib.contextmanager
def replace_file(path: str | Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a path to write to; on leaving without an error, what is there takes the place of ``path`` in one step.

    The temporary file lies in a hidden folder beside ``path``, since a file can only be renamed within a file system;
    what else the writing takes can be put there too.

    Raises:
        ArchiveError: ``path`` is there already and may not be overwritten, or cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise ArchiveError(f"{path} is a folder", hint=f"name a file in it: {path / 'model.nemo'}")
    if path.exists() and not overwrite:
        raise ArchiveError(f"{path} is there already", hint="pass overwrite=True (--overwrite) to replace it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            temporary = folder / f"{path.name}.new"
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise ArchiveError(f"cannot write {path}: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system lets a folder be synced (Windows does not)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _measured(content: bytes | Path) -> dict[str, Any]:
    if isinstance(content, bytes):
        return {"size": len(content), "sha256": sha256(content)}
    with content.open("rb") as file:
        return {"size": content.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _digest(content: Mapping[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
