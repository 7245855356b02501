"""What is in an archive, found out without torch and without running or believing any of it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nemo_core.errors import ArchiveError, UnsafeArchiveError
from nemo_core.models import nvidia
from nemo_core.models.archive import MANIFEST, Archive
from nemo_core.models.pickle_scan import ViewIO, globals_of, unsafe_globals
from nemo_core.models.safetensors_format import read_header

__all__ = ["ArchiveInfo", "Finding", "inspect_archive"]

Severity = Literal["danger", "damage", "missing", "note"]


@dataclass(frozen=True)
class Finding:
    """Something worth knowing before an archive is used.

    Attributes:
        severity: ``danger``: it is refused as unsafe; ``damage``: it is refused as broken; ``missing``: it is sound,
            but what it takes to use it is not installed; ``note``: good to know.
        where: Member, or place in the configuration.
        message: What was found.
    """

    severity: Severity
    where: str
    message: str


@dataclass(frozen=True)
class ArchiveInfo:
    """Everything that ``nemo archive show`` prints.

    Attributes:
        path: The file.
        kind: ``nemo`` or ``nvidia``.
        target: The model's class as the archive names it.
        component: Registry name of the installed model that reads it, or None.
        size: Bytes of the file.
        compressed: Whether it is gzipped.
        format_version: Of our archives.
        created_by: Versions of what wrote it.
        components: What it is made of: ``name``, ``distribution``, ``version``, ``installed`` (version here, or None).
        members: ``name``, ``size``, ``sha256`` and ``ok`` (None where there is nothing to compare with).
        weights: ``tensors``, ``values`` and ``bytes`` in all, ``dtypes`` (count by type), ``tied``.
        config: The model's configuration.
        findings: What to know before using it.
    """

    path: str
    kind: str
    target: str
    component: str | None
    size: int
    compressed: bool
    format_version: int | None
    created_by: Mapping[str, str]
    components: tuple[Mapping[str, Any], ...]
    members: tuple[Mapping[str, Any], ...]
    weights: Mapping[str, Any]
    config: Mapping[str, Any]
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings for which :func:`nemo_core.restore` refuses the archive, wherever it is tried."""
        return tuple(finding for finding in self.findings if finding.severity in ("danger", "damage"))


def inspect_archive(path: str | Path) -> ArchiveInfo:
    """Read an archive, ours or NVIDIA's, and judge it; nothing of it is executed, unpacked or imported.

    Raises:
        ArchiveError: It cannot be read at all.
        UnsafeArchiveError: Its structure is unsafe (links, devices, paths that lead elsewhere, bombs).
    """
    with Archive(path) as archive:
        members = tuple(_members(archive))
        findings = [
            Finding("damage", member["name"], "is not what the manifest says")
            for member in members
            if member["ok"] is False
        ]
        weights: Mapping[str, Any] = {}
        if not findings:
            weights, found = _weights(archive)
            findings += found
        findings += _config_findings(archive)
        findings += _member_findings(archive)
        component = _component(archive)
        return ArchiveInfo(
            path=str(archive.path),
            kind=archive.kind,
            target=archive.target,
            component=component,
            size=archive.path.stat().st_size,
            compressed=archive.compressed,
            format_version=archive.manifest.format_version if archive.manifest else None,
            created_by=_created_by(archive),
            components=tuple(_components(archive)),
            members=members,
            weights=weights,
            config=archive.config,
            findings=tuple(findings),
        )


def _members(archive: Archive) -> Iterator[dict[str, Any]]:
    listed = archive.manifest.members if archive.manifest else {}
    for name, member in archive.members.items():
        digest = archive.sha256(name)
        ok = digest == listed[name]["sha256"] if name in listed else None
        if name == MANIFEST and archive.manifest is not None:
            ok = True  # it carries a digest of itself, without which the archive does not open
        yield {"name": name, "size": member.size, "sha256": digest, "ok": ok}


def _created_by(archive: Archive) -> Mapping[str, str]:
    if archive.manifest is not None:
        return archive.manifest.created_by
    version = archive.config.get("nemo_version")
    return {"nemo_toolkit": str(version)} if version is not None else {}


def _component(archive: Archive) -> str | None:
    from nemo_core.plugins import registry

    found = nvidia.find_component(archive.target) if archive.kind == "nvidia" else registry().find(archive.target)
    return found.name if found else None


def _components(archive: Archive) -> Iterator[dict[str, Any]]:
    from nemo_core.plugins import registry

    if archive.manifest is not None:
        for component in archive.manifest.components:
            found = registry().find(str(component.get("name")))
            yield {**component, "installed": found.version if found else None}
        return
    for target in dict.fromkeys([archive.target, *(target for _, target in _targets(archive.config))]):
        found = registry().find(target)
        yield {
            "name": target,
            "distribution": found.distribution if found else None,
            "version": None,
            "installed": found.version if found else None,
        }


def _targets(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield every ``_target_`` of a configuration with its place."""
    if isinstance(value, Mapping):
        if isinstance(value.get("_target_"), str):
            yield where, value["_target_"]
        for key, item in value.items():
            yield from _targets(item, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _targets(item, f"{where}[{index}]")


def _weights(archive: Archive) -> tuple[Mapping[str, Any], list[Finding]]:
    where = f"{archive.path}: {archive.weights}"
    with archive.view(archive.weights) as view:
        try:
            if archive.weights.endswith(".safetensors"):
                return _safetensors_summary(archive, view, where), []
            return _checkpoint_summary(view, where), _checkpoint_findings(archive, view, where)
        except UnsafeArchiveError as error:
            return {}, [Finding("danger", archive.weights, error.message)]
        except ArchiveError as error:
            return {}, [Finding("damage", archive.weights, error.message)]


def _safetensors_summary(archive: Archive, view: memoryview, where: str) -> dict[str, Any]:
    tensors = read_header(view, where).values()
    dtypes: dict[str, int] = {}
    for tensor in tensors:
        dtypes[tensor.dtype] = dtypes.get(tensor.dtype, 0) + 1
    return {
        "format": "safetensors",
        "tensors": len(tensors),
        "values": sum(tensor.numel for tensor in tensors),
        "bytes": sum(tensor.end - tensor.start for tensor in tensors),
        "dtypes": dtypes,
        "tied": dict(archive.manifest.tied_weights) if archive.manifest else {},
    }


def _checkpoint_summary(view: memoryview, where: str) -> dict[str, Any]:
    """Count the storages of a checkpoint; what shape they have only the pickle says, which is not run."""
    if bytes(view[:2]) != b"PK":
        return {"format": "pickle", "bytes": len(view)}
    try:
        with zipfile.ZipFile(ViewIO(view)) as archive:
            broken = archive.testzip()
            storages = [entry.file_size for entry in archive.infolist() if "/data/" in entry.filename]
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{where} is damaged: {error}") from error
    if broken is not None:
        raise ArchiveError(f"{where} is damaged: the checksum of {broken} does not fit")
    return {"format": "torch checkpoint", "tensors": len(storages), "bytes": sum(storages)}


def _checkpoint_findings(archive: Archive, view: memoryview, where: str) -> list[Finding]:
    findings = [
        Finding("danger", archive.weights, f"the pickle imports {name}, which no state dict needs")
        for name in unsafe_globals(view, where)
    ]
    if findings:
        return findings
    names = ", ".join(name.rpartition(".")[2] for name in globals_of(view, where))
    return [Finding("note", archive.weights, f"a pickle, read by torch's restricted unpickler; it imports {names}")]


def _config_findings(archive: Archive) -> Iterator[Finding]:
    if archive.kind == "nvidia":
        if nvidia.find_component(archive.target) is None:
            yield Finding("missing", "target", f"nothing reads {archive.target}: {nvidia.hint_for(archive.target)}")
        return
    from nemo_core.config import Trust, check

    for problem in check(dict(archive.config), Trust.archive()):
        yield Finding("danger", problem.path or "_target_", problem.message)


def _member_findings(archive: Archive) -> Iterator[Finding]:
    if archive.manifest is None:
        yield Finding("note", "archive", "has no manifest: nothing says what its content should be")
    if archive.compressed:
        yield Finding("note", "archive", "is gzipped, so it has to be unpacked to a temporary file each time")
    for name in archive.members:
        if name in (MANIFEST, archive.weights):
            continue
        with archive.view(name) as view:
            head = bytes(view[:4])
        if head[:1] == b"\x80" or name.endswith((".pkl", ".pickle", ".pt", ".pth", ".ckpt")):
            yield Finding("note", name, "looks like a pickle; nothing loads it")
        elif head in (b"\x7fELF", b"MZ\x90\x00") or name.endswith((".so", ".dll", ".dylib", ".py", ".pyc")):
            yield Finding("note", name, "looks like code; nothing runs it")
