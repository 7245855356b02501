"""The catalogue of published models: what plugins offer, where it is, and how to have it here."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ArchiveError, ComponentNotFoundError, DownloadError
from nemo_core.models.download import Progress, download

if TYPE_CHECKING:
    from nemo_core.plugins import Component

__all__ = ["Catalogue", "PretrainedModel", "cache_folder", "hub_url", "locate"]

_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class PretrainedModel:
    """A published model.

    Attributes:
        name: What it is called on the command line and in :func:`nemo_core.restore`.
        location: ``https://...``, ``hf://owner/repo/file[@revision]``, or a path.
        summary: One line.
        license: SPDX identifier of the weights' licence.
        model: Registry name of the model's class, if known.
        languages: BCP-47 tags.
        sha256: Of the archive, in hex; without it a download is trusted as it comes.
        size: Of the archive, in bytes.
        distribution: Which plugin offers it.
        metadata: Whatever else the plugin says.
    """

    name: str
    location: str
    summary: str = ""
    license: str | None = None
    model: str | None = None
    languages: tuple[str, ...] = ()
    sha256: str | None = None
    size: int | None = None
    distribution: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def from_component(cls, component: Component) -> PretrainedModel:
        """Read an entry of the registry, kind ``pretrained``."""
        rest = dict(component.metadata)
        rest.pop("location", None)
        known = {name: rest.pop(name, None) for name in ("license", "model", "sha256", "size")}
        return cls(
            name=component.name,
            location=component.target,
            summary=component.summary,
            languages=tuple(rest.pop("languages", ())),
            distribution=component.distribution,
            metadata=rest,
            **known,
        )

    @property
    def url(self) -> str | None:
        """Where it is fetched from; None if it is a path."""
        return _url(self.location)

    def cached(self) -> Path | None:
        """Return where the archive is on this machine, or None if it has yet to be fetched."""
        path = self._path()
        return path if path.is_file() else None

    def pull(self, *, progress: Progress | None = None, **options: Any) -> Path:
        """Fetch the archive into the cache, unless it is there, and return its path.

        Args:
            progress: Told about progress: bytes that are there, and bytes there will be.
            options: For :func:`nemo_core.models.download.download`.

        Raises:
            DownloadError: It cannot be had.
        """
        path = self._path()
        if self.url is None:
            if not path.is_file():
                raise DownloadError(f"{self.name} should be at {path}, where there is no file")
            return path
        headers = _hub_headers() if self.location.startswith("hf://") else {}
        return download(
            self.url, path, sha256=self.sha256, size=self.size, headers=headers, progress=progress, **options
        )

    def _path(self) -> Path:
        if self.url is None:
            return Path(self.location.removeprefix("file://")).expanduser()
        file = urllib.parse.unquote(urllib.parse.urlsplit(self.url).path.rpartition("/")[2]) or "model.nemo"
        # The place depends on content or address, not on our version: upgrading fetches nothing again.
        key = (self.sha256 or hashlib.sha256(self.url.encode()).hexdigest())[:16].lower()
        return cache_folder() / "models" / _file_name(self.name) / key / _file_name(file)


class Catalogue:
    """All published models that the installed plugins know.

    Args:
        components: Entries of kind ``pretrained``; the process's registry if not given.

    Example:
        >>> Catalogue([]).models
        ()
    """

    def __init__(self, components: list[Component] | None = None) -> None:
        if components is None:
            from nemo_core.plugins import registry

            components = list(registry().components("pretrained"))
        self.models = tuple(PretrainedModel.from_component(component) for component in components)
        self._by_name = {
            name: model
            for component, model in zip(components, self.models, strict=True)
            for name in (component.name, *component.aliases)
        }

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def get(self, name: str) -> PretrainedModel:
        """Return the model of that name or alias.

        Raises:
            ComponentNotFoundError: There is none; the message has the nearest names.
        """
        if name not in self._by_name:
            hint = self.nearest(name) or (
                "`nemo models list` shows what there is"
                if self.models
                else "no installed plugin publishes models; give the path of a .nemo file"
            )
            raise ComponentNotFoundError(f"no published model is called {name}", hint=hint)
        return self._by_name[name]

    def nearest(self, name: str) -> str | None:
        """Return a hint that asks whether a model of a similar name is meant, or None."""
        from nemo_core.plugins.nearest import did_you_mean

        return did_you_mean(name, self._by_name)


def locate(path_or_name: str | Path, *, progress: Progress | None = None) -> Path:
    """Return the path of an archive, fetching it if it has to be.

    Args:
        path_or_name: A path, a run folder with a ``model.nemo`` in it, a location (``https://``, ``hf://``), or the
            name of a published model.
        progress: Told about the progress of a download.

    Raises:
        ArchiveError: It looks like a path and there is no such file.
        ComponentNotFoundError: No published model has this name.
        DownloadError: It cannot be fetched.
    """
    path = Path(path_or_name).expanduser()
    if path.is_dir() and (path / "model.nemo").is_file():
        return path / "model.nemo"
    if path.exists():
        return path
    text = str(path_or_name)
    if _url(text) is not None:
        return PretrainedModel(name="by-location", location=text).pull(progress=progress)
    catalogue = Catalogue()
    if text not in catalogue and (isinstance(path_or_name, Path) or path.suffix == ".nemo" or "/" in text):
        hint = catalogue.nearest(text) or "`nemo models list` shows what can be fetched by name"
        raise ArchiveError(f"there is no file {path}", hint=hint)
    return catalogue.get(text).pull(progress=progress)


def cache_folder(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """Return the folder for fetched files: ``NEMO_CACHE``, or where the system keeps caches.

    >>> cache_folder({"NEMO_CACHE": "/data/cache"}).as_posix()
    '/data/cache'
    """
    environ = os.environ if environ is None else environ
    if environ.get("NEMO_CACHE"):
        return Path(environ["NEMO_CACHE"]).expanduser()
    if environ.get("XDG_CACHE_HOME"):
        return Path(environ["XDG_CACHE_HOME"]) / "nemo"
    if platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nemo"
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "nemo" / "Cache"
    return Path.home() / ".cache" / "nemo"


def hub_url(location: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the address of ``hf://owner/repo/file[@revision]``; ``HF_ENDPOINT`` chooses another hub.

    >>> hub_url("hf://acme/birds/model.nemo@v1", {})
    'https://huggingface.co/acme/birds/resolve/v1/model.nemo'
    """
    path, _, revision = location.removeprefix("hf://").partition("@")
    parts = path.split("/")
    if len(parts) < 3 or not all(parts):
        raise DownloadError(f"{location} is not of the form hf://owner/repo/file[@revision]")
    owner, repo, *file = (urllib.parse.quote(part) for part in parts)
    endpoint = ((os.environ if environ is None else environ).get("HF_ENDPOINT") or _HUB).rstrip("/")
    return f"{endpoint}/{owner}/{repo}/resolve/{urllib.parse.quote(revision or 'main', safe='')}/{'/'.join(file)}"


def _url(location: str) -> str | None:
    if location.startswith("hf://"):
        return hub_url(location)
    return location if re.match(r"https?://", location) else None


def _hub_headers() -> dict[str, str]:
    token = os.environ.get("HF_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]", "_", text, flags=re.ASCII).lstrip(".") or "_"
