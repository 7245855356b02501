"""Starting a model from the weights of others: fine-tuning, transfer of parts."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nemo_core.errors import ArchiveError, ConfigError
from nemo_core.models.archive import Archive
from nemo_core.models.catalogue import locate
from nemo_core.models.loading import archive_state
from nemo_core.models.report import LoadReport
from nemo_core.models.safe_tar import mapped
from nemo_core.models.weights import load_into, read_checkpoint, read_safetensors
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["InitSource", "init_from", "parse_spec"]

_KEYS = ("path", "name", "include", "exclude")


@dataclass(frozen=True)
class InitSource:
    """Where weights come from, and which of them to take.

    Attributes:
        source: Path of an archive, a checkpoint or a safetensors file, or the name of a published model.
        include: Patterns of names to take; all if empty.
        exclude: Patterns of names to leave out.
    """

    source: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def wants(self, name: str) -> bool:
        """Whether the weight ``name`` is to be taken.

        >>> source = InitSource("a.nemo", include=("encoder",), exclude=("*.bias",))
        >>> source.wants("encoder.layer.weight"), source.wants("encoder.layer.bias"), source.wants("decoder.weight")
        (True, False, False)
        """
        included = not self.include or any(_matches(name, pattern) for pattern in self.include)
        return included and not any(_matches(name, pattern) for pattern in self.exclude)


def init_from(model: torch.nn.Module, spec: Any) -> LoadReport:
    """Load weights into a model as far as they fit, and say what became of each.

    Args:
        model: Receives the weights; ``model.load_report`` is set.
        spec: A path or name; or a mapping with ``path`` or ``name``, ``include`` and ``exclude``; or a list of these,
            where later ones win. A pattern is a weight's name, the name of a part (``encoder``), or has wildcards
            (``encoder.*.bias``). Archives (ours and NVIDIA's), Lightning's checkpoints, bare state dicts and
            safetensors files are read.

    Returns:
        One report for all sources. Weights of other shapes are reported, not loaded.

    Raises:
        ConfigError: The specification has mistakes, a pattern matches nothing, or no weight fits at all.
        ArchiveError: A source is damaged.

    Example:
        ``init_from(model, {"path": "base.nemo", "exclude": ["decoder"]})``
    """
    reports = []
    for source in parse_spec(spec):
        path = locate(source.source)
        with _state(path, model) as state:
            _check_patterns(source, state)
            reports.append(load_into(model, state, str(path), wanted=source.wants))
    report = _combined(reports, model)
    if not report.loaded:
        raise ConfigError(
            f"init_from: no weight of {report.source} fits this model:\n{report}",
            hint="`nemo archive show` lists what an archive holds; is it of the same architecture?",
        )
    model.load_report = report  # type: ignore[assignment]
    return report


def parse_spec(spec: Any, where: str = "init_from") -> list[InitSource]:
    """Return the sources that a specification names.

    Raises:
        ConfigError: It is malformed.

    Example:
        >>> parse_spec({"path": "base.nemo", "exclude": "decoder"})
        [InitSource(source='base.nemo', include=(), exclude=('decoder',))]
    """
    if isinstance(spec, (str, Path)) and str(spec):
        return [InitSource(str(spec))]
    if isinstance(spec, Mapping):
        for key in spec:
            if key not in _KEYS:
                raise ConfigError(f"{where}.{key} is not a key", hint=did_you_mean(str(key), _KEYS))
        named = [spec[key] for key in ("path", "name") if spec.get(key)]
        if len(named) != 1:
            raise ConfigError(f"{where} needs either path or name", hint="init_from: {path: base.nemo}")
        return [
            InitSource(str(named[0]), *(_patterns(spec.get(key), f"{where}.{key}") for key in ("include", "exclude")))
        ]
    if isinstance(spec, Sequence) and not isinstance(spec, (str, bytes)) and spec:
        return [source for index, item in enumerate(spec) for source in parse_spec(item, f"{where}[{index}]")]
    raise ConfigError(
        f"{where} is {spec!r}", hint="give a path, a name, or {path, include, exclude}, or a list of these"
    )


def _patterns(value: Any, where: str) -> tuple[str, ...]:
    patterns = [value] if isinstance(value, str) else list(value or ())
    if not all(isinstance(pattern, str) and pattern for pattern in patterns):
        raise ConfigError(f"{where} must be a pattern or a list of patterns", hint=f"{where}: [encoder]")
    return tuple(patterns)


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or name.startswith(f"{pattern}.") or fnmatch.fnmatchcase(name, pattern)


def _check_patterns(source: InitSource, state: Mapping[str, Any]) -> None:
    for pattern in (*source.include, *source.exclude):
        if not any(_matches(name, pattern) for name in state):
            parts = list(dict.fromkeys(name.partition(".")[0] for name in state))
            raise ConfigError(
                f"init_from: the pattern {pattern!r} matches no weight of {source.source}",
                hint=did_you_mean(pattern, parts) or f"its parts are {', '.join(parts[:20])}",
            )


@contextlib.contextmanager
def _state(path: Path, model: torch.nn.Module) -> Iterator[dict[str, Any]]:
    """Yield the weights in a file, under the model's names; valid inside the block."""
    with mapped(path) as view:
        head = bytes(view[:2])
        if path.suffix == ".safetensors":
            yield read_safetensors(view, str(path))
            return
        if head == b"PK" or head[:1] == b"\x80":  # torch.save's zip, and its older form: bare pickles
            content = read_checkpoint(view, str(path))
            state = content.get("state_dict", content)
            if not isinstance(state, Mapping):
                raise ArchiveError(f"{path} holds no state dict")
            yield dict(state)
            return
    with Archive(path) as archive:
        archive.verify()
        yield archive_state(archive, model)


def _combined(reports: list[LoadReport], model: torch.nn.Module) -> LoadReport:
    if len(reports) == 1:
        return reports[0]
    loaded = {name for report in reports for name in report.loaded}
    mismatched = {
        name: shapes for report in reports for name, shapes in report.mismatched.items() if name not in loaded
    }
    own = list(model.state_dict())
    return LoadReport(
        source=", ".join(report.source for report in reports),
        loaded=[name for name in own if name in loaded],
        missing=[name for name in own if name not in loaded and name not in mismatched],
        unexpected=list(dict.fromkeys(name for report in reports for name in report.unexpected)),
        mismatched=mismatched,
        skipped=list(dict.fromkeys(name for report in reports for name in report.skipped if name not in loaded)),
    )
