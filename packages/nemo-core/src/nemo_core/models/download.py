"""Fetching large files: resumed where they broke off, checked, and shared between processes.

A file is fetched into ``<name>.part`` beside its final place and renamed when it is complete and right, so that what
has the final name can be used. Two processes that want one file wait for each other.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from nemo_core._environment import is_on
from nemo_core.errors import DownloadError

__all__ = ["Progress", "download", "file_sha256", "is_offline"]

#: Called with the bytes that are there and the bytes there will be (None if the server does not say).
Progress = Callable[[int, int | None], None]

_CHUNK = 1 << 18
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_AGENT = "nemo-core"


@dataclass(frozen=True)
class _Wanted:
    url: str
    sha256: str | None
    size: int | None
    headers: Mapping[str, str]
    timeout: float


class _TransientError(Exception):
    """Something that may go better next time."""


def is_offline(environ: Mapping[str, str] | None = None) -> bool:
    """Whether ``NEMO_OFFLINE`` or ``HF_HUB_OFFLINE`` forbids to go to the network.

    >>> is_offline({"NEMO_OFFLINE": "1"}), is_offline({"NEMO_OFFLINE": "0"})
    (True, False)
    """
    return is_on("NEMO_OFFLINE", environ) or is_on("HF_HUB_OFFLINE", environ)


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    headers: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    retries: int = 5,
    backoff: float = 0.5,
    timeout: float = 30.0,
) -> Path:
    """Fetch ``url`` into ``target``, unless it is there already.

    Args:
        url: ``http://`` or ``https://``.
        target: The file to have; its folder is made.
        sha256: What the file must have, in hex.
        size: What the file must have, in bytes.
        headers: Sent to the host of ``url`` only, not to where it redirects.
        progress: Told about progress.
        retries: How many times in a row to try again without one byte of progress.
        backoff: Seconds before the first of these; doubled each time.
        timeout: Seconds without a sign of life after which a connection is given up.

    Returns:
        ``target``.

    Raises:
        DownloadError: The network is forbidden or fails, the server refuses, or what came is not what was promised.
    """
    wanted = _Wanted(url, sha256.lower() if sha256 else None, size, dict(headers or {}), timeout)
    if target.is_file():
        return target
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{url} is not an http or https address")
    if is_offline():
        raise DownloadError(
            f"{url} is not in the cache, and offline mode is on",
            hint="unset NEMO_OFFLINE and HF_HUB_OFFLINE; or fetch the file elsewhere, and give its path or put it at "
            f"{target}",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock"), timeout=24 * 3600):
            if not target.is_file():  # another process may have fetched it meanwhile
                part = target.with_name(f"{target.name}.part")
                _fetch_verified(wanted, part, progress, retries, backoff)
                os.replace(part, target)
                _note_of(part).unlink(missing_ok=True)
    except Timeout as error:
        raise DownloadError(
            f"another process has been fetching {target.name} for a day", hint=f"delete {error.lock_file}"
        ) from error
    except OSError as error:
        raise DownloadError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_verified(wanted: _Wanted, part: Path, progress: Progress | None, retries: int, backoff: float) -> None:
    """Have ``part`` complete and right; start over once if it was begun by an earlier run and turned out wrong."""
    resumed = _length(part) > 0
    _fetch(wanted, part, progress, retries, backoff)
    problem = _problem(wanted, part)
    if problem and resumed:
        part.unlink(missing_ok=True)
        _fetch(wanted, part, progress, retries, backoff)
        problem = _problem(wanted, part)
    if problem:
        part.unlink(missing_ok=True)
        raise DownloadError(
            f"{wanted.url}: what came is not what the catalogue promises: {problem}",
            hint="the file was replaced or damaged on its way; it was not kept",
        )


def _problem(wanted: _Wanted, part: Path) -> str | None:
    if wanted.size is not None and _length(part) != wanted.size:
        return f"{_length(part):,} bytes, not {wanted.size:,}"
    if wanted.sha256 is not None and (found := file_sha256(part)) != wanted.sha256:
        return f"its SHA-256 is {found}, not {wanted.sha256}"
    return None


def _fetch(wanted: _Wanted, part: Path, progress: Progress | None, retries: int, backoff: float) -> None:
    """Ask until the whole file has come, beginning each time where the last try ended."""
    failures = 0
    while True:
        before = _length(part)
        try:
            _continue(wanted, part, progress)
            return
        except _TransientError as error:
            failures = failures + 1 if _length(part) <= before else 1
            if failures > retries:
                raise DownloadError(
                    f"could not fetch {wanted.url}: {error}",
                    hint="check the network, proxy and address (what has come is kept, and the next try resumes); or "
                    f"fetch the file elsewhere, and give its path or put it at {str(part).removesuffix('.part')}",
                ) from error
        time.sleep(backoff * 2 ** (failures - 1) * random.uniform(0.5, 1.0))


def _continue(wanted: _Wanted, part: Path, progress: Progress | None) -> None:
    """Make one request for what is missing of ``part`` and append what comes.

    Raises:
        _TransientError: It broke off, or the server asks to try again.
        DownloadError: The server refuses.
    """
    have = _length(part)
    note = _read_note(part)
    if have and (note.get("url") != wanted.url or (wanted.size is not None and have > wanted.size)):
        have = 0
    if have and wanted.size == have:
        return
    try:
        with _open(wanted, have, note.get("validator")) as response:
            start, total = _placed(response, have)
            if wanted.size is not None and total is not None and total != wanted.size:
                raise DownloadError(
                    f"{wanted.url}: the server has {total:,} bytes, the catalogue promises {wanted.size:,}",
                    hint="the published file was replaced; a newer version of the plugin may know it",
                )
            _write_note(part, wanted.url, _validator(response))
            with part.open("r+b" if start else "wb") as file:
                file.truncate(start)
                file.seek(start)
                received = start + _copy(response, file, start, total, wanted.size, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing after what we have: start over, and let the check of the content judge
            part.unlink(missing_ok=True)
            raise _TransientError("the server has less than an earlier run fetched") from error
        if error.code in _TRANSIENT:
            raise _TransientError(f"the server answers {error.code} {error.reason}") from error
        raise DownloadError(
            f"could not fetch {wanted.url}: the server answers {error.code} {error.reason}", hint=_advice(error.code)
        ) from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _TransientError(str(getattr(error, "reason", None) or error or type(error).__name__)) from error
    if total is not None and received < total:
        raise _TransientError(f"the connection ended after {received:,} of {total:,} bytes")


def _open(wanted: _Wanted, have: int, validator: str | None) -> Any:
    request = urllib.request.Request(wanted.url, headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if validator:
            request.add_header("If-Range", validator)
    for name, value in wanted.headers.items():
        request.add_unredirected_header(name, value)
    opener = urllib.request.build_opener(_NoDowngrade)
    return opener.open(request, timeout=wanted.timeout)


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.type == "https" and urllib.parse.urlsplit(newurl).scheme != "https":
            raise DownloadError(f"{req.full_url} redirects to the unprotected {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _placed(response: Any, have: int) -> tuple[int, int | None]:
    """Return where the body starts in the file and how long the whole file is, if the server says."""
    length = response.headers.get("Content-Length")
    rest = int(length) if length and length.isdigit() else None
    if response.status == 206:
        unit, _, span = (response.headers.get("Content-Range") or "").partition(" ")
        place, _, whole = span.partition("/")
        if unit == "bytes" and place.partition("-")[0] == str(have):
            return have, int(whole) if whole.isdigit() else (None if rest is None else have + rest)
        raise _TransientError("the server answers with another part than it was asked for")
    return 0, rest


def _copy(
    response: Any, file: IO[bytes], start: int, total: int | None, limit: int | None, progress: Progress | None
) -> int:
    received = 0
    # Without a length, HTTP cannot tell a broken connection from the end; the check of size and hash has to.
    while chunk := response.read1(_CHUNK):
        file.write(chunk)
        received += len(chunk)
        if limit is not None and start + received > limit:
            raise DownloadError(f"{response.url} sends more than the {limit:,} bytes that the catalogue promises")
        if progress is not None:
            progress(start + received, total)
    return received


def _validator(response: Any) -> str | None:
    """Return what makes sure that a later part is of the same file: a strong ETag, or the date."""
    tag: str | None = response.headers.get("ETag")
    date: str | None = response.headers.get("Last-Modified")
    return tag if tag and not tag.startswith("W/") else date


def _note_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_note(part: Path) -> dict[str, Any]:
    try:
        note = json.loads(_note_of(part).read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _write_note(part: Path, url: str, validator: str | None) -> None:
    _note_of(part).write_text(json.dumps({"url": url, "validator": validator}))


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _advice(code: int) -> str:
    if code in (401, 403):
        return "this needs permission: accept the licence on the site, and set HF_TOKEN for Hugging Face"
    return "the address may have changed; see `nemo models show NAME`"
