"""Downloads against a real HTTP server that misbehaves in every way that servers do."""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import sys
import threading
from collections import Counter

import pytest

from nemo_core.errors import ComponentNotFoundError, DownloadError
from nemo_core.models.catalogue import Catalogue, PretrainedModel, hub_url, locate
from nemo_core.models.download import download
from nemo_core.plugins import Component

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; the first part of the path says how."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.lock = threading.Lock()
        self.content = CONTENT

    def handle_error(self, request, client_address):
        """Say nothing: connections that break off are what this server is for."""

    def count(self, way):
        with self.lock:
            return Counter(path.split("/")[1] for path, _ in self.requests)[way]

    def url(self, way):
        return f"http://127.0.0.1:{self.server_port}/{way}/model.nemo"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        way = self.path.split("/")[1]
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers)))
        getattr(self, f"do_{way}", self.do_good)()

    def send(self, content, code=200, *, length=None, only=None, **headers):
        self.send_response(code)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content if only is None else content[:only])
        if only is not None or length is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)

    def part(self, only=None, etag='"1"'):
        asked = self.headers.get("Range")
        content = self.server.content
        if asked and self.headers.get("If-Range", etag) == etag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send(b"", 416)
                return
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send(content[start:], 206, only=only, Content_Range=place, ETag=etag)
        else:
            self.send(content, only=only, ETag=etag)

    def do_good(self):
        self.part()

    def do_drops(self):
        self.part(only=200_000)

    def do_dropsonce(self):
        self.part(only=300_000 if self.server.count("dropsonce") == 1 else None)

    def do_norange(self):
        self.send(self.server.content, only=300_000 if self.server.count("norange") == 1 else None)

    def do_empty(self):
        self.close_connection = True
        self.connection.shutdown(2)

    def do_stuck(self):
        self.part(only=200_000 if self.server.count("stuck") == 1 else 0)

    def do_longer(self):
        self.send(CONTENT, length=len(CONTENT) + 100)

    def do_shorter(self):
        self.send(CONTENT, length=1000)

    def do_nolength(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT[: 300_000 if self.server.count("nolength") == 1 else None])
        self.close_connection = True

    def do_endless(self):
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        for _ in range(64):
            self.wfile.write(CONTENT)

    def do_wrongpart(self):
        if self.headers.get("Range"):
            self.send(CONTENT[5:], 206, Content_Range=f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self.send(CONTENT, only=300_000)

    def do_missing(self):
        self.send(b"not here", 404)

    def do_forbidden(self):
        self.send(b"", 403)

    def do_broken(self):
        self.send(b"", 500)

    def do_busytwice(self):
        if self.server.count("busytwice") <= 2:
            self.send(b"", 503)
        else:
            self.part()

    def do_other(self):
        self.send(bytes(len(CONTENT)))

    def do_redirect(self):
        self.send(b"", 302, Location=f"http://localhost:{self.server.server_port}/good/model.nemo")

    def do_tofile(self):
        self.send(b"", 302, Location="file:///etc/passwd")

    def do_loop(self):
        self.send(b"", 302, Location=self.path)


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "NEMO_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NEMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fetch(server, way, target, **options):
    options = {"sha256": SHA, "size": len(CONTENT), "backoff": 0.001, "retries": 3, **options}
    return download(server.url(way), target, **options)


def ranges(server):
    return [headers.get("Range") for _, headers in server.requests]


def leftovers(target):
    return sorted(p.name.removeprefix(target.name) for p in target.parent.iterdir() if not p.name.endswith(".lock"))


@pytest.mark.parametrize("way", ["good", "drops", "dropsonce", "norange", "busytwice", "redirect"])
def test_ends_with_the_right_file(server, tmp_path, way):
    target = tmp_path / "a" / "model.nemo"
    assert fetch(server, way, target) == target
    assert target.read_bytes() == CONTENT
    assert leftovers(target) == [""]


def test_resumes_where_it_broke_off(server, tmp_path):
    fetch(server, "drops", tmp_path / "m")
    assert ranges(server) == [None, *(f"bytes={n}-" for n in range(200_000, len(CONTENT), 200_000))]


def test_begins_again_where_the_server_knows_no_ranges(server, tmp_path):
    fetch(server, "norange", tmp_path / "m")
    assert ranges(server) == [None, "bytes=300000-"]


def test_no_request_for_what_is_there(server, tmp_path):
    fetch(server, "good", tmp_path / "m")
    fetch(server, "good", tmp_path / "m")
    assert len(server.requests) == 1


def test_resumes_in_another_run(server, tmp_path):
    target = tmp_path / "m"
    with pytest.raises(DownloadError, match="ended after") as failure:
        fetch(server, "stuck", target, retries=1)
    assert failure.value.hint.endswith(f"fetch the file elsewhere, and give its path or put it at {target}")
    assert leftovers(target) == [".part", ".part.json"]
    (tmp_path / "m.part.json").write_text((tmp_path / "m.part.json").read_text().replace("stuck", "good"))
    fetch(server, "good", target)
    assert ranges(server)[-1] == "bytes=200000-"
    assert target.read_bytes() == CONTENT


def test_a_part_of_another_address_is_not_continued(server, tmp_path):
    with pytest.raises(DownloadError):
        fetch(server, "stuck", tmp_path / "m", retries=0)
    fetch(server, "good", tmp_path / "m")
    assert ranges(server)[-1] is None


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, tmp_path):
    """The ETag of the part goes along (If-Range), so the server sends all of the new file."""
    target = tmp_path / "m"
    with pytest.raises(DownloadError):
        fetch(server, "stuck", target, retries=0)
    note = tmp_path / "m.part.json"
    note.write_text(note.read_text().replace("stuck", "good").replace('\\"1\\"', '\\"0\\"'))
    fetch(server, "good", target)
    assert server.requests[-1][1]["If-Range"] == '"0"'
    assert target.read_bytes() == CONTENT


def test_a_spoilt_part_is_thrown_away_once(server, tmp_path):
    target = tmp_path / "m"
    with pytest.raises(DownloadError):
        fetch(server, "stuck", target, retries=0)
    note = tmp_path / "m.part.json"
    note.write_text(note.read_text().replace("stuck", "good"))
    (tmp_path / "m.part").write_bytes(bytes(200_000))
    fetch(server, "good", target)
    assert ranges(server)[-2:] == ["bytes=200000-", None]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("way", "options", "message"),
    [
        ("missing", {}, "404"),
        ("forbidden", {}, "403"),
        ("broken", {}, "500"),
        ("empty", {}, "could not fetch"),
        ("stuck", {}, "ended after 200,000 of 1,048,576"),
        ("other", {}, "its SHA-256 is"),
        ("longer", {}, "the server has 1,048,676 bytes"),
        ("longer", {"size": None}, "ended after 1,048,576 of 1,048,676"),
        ("shorter", {}, "the server has 1,000 bytes"),
        ("shorter", {"size": None}, "its SHA-256 is"),
        ("endless", {}, "sends more than"),
        ("wrongpart", {}, "another part"),
        ("tofile", {}, "could not fetch|redirect"),
        ("loop", {}, "could not fetch"),
    ],
)
def test_what_cannot_be_had_is_an_error_and_no_file(server, tmp_path, way, options, message):
    target = tmp_path / "m"
    with pytest.raises(DownloadError, match=message) as caught:
        fetch(server, way, target, **options)
    assert caught.value.exit_code == 1
    assert not target.exists()


def test_a_refusal_is_not_asked_again(server, tmp_path):
    with pytest.raises(DownloadError):
        fetch(server, "missing", tmp_path / "m")
    assert len(server.requests) == 1


def test_without_a_length_the_hash_decides(server, tmp_path):
    """HTTP without Content-Length cannot tell a broken connection from the end."""
    with pytest.raises(DownloadError, match="300,000 bytes, not"):
        fetch(server, "nolength", tmp_path / "m")
    fetch(server, "nolength", tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == CONTENT


def test_nobody_there(tmp_path, server):
    port = server.server_port
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match="could not fetch http://127") as caught:
        download(f"http://127.0.0.1:{port}/m", tmp_path / "m", retries=1, backoff=0.001)
    assert "network" in caught.value.hint


@pytest.mark.parametrize("url", ["ftp://host/file", "file:///etc/passwd", "model.nemo"])
def test_other_schemes(tmp_path, url):
    with pytest.raises(DownloadError, match="not an http"):
        download(url, tmp_path / "m")


@pytest.mark.parametrize("name", ["NEMO_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_uses_the_cache_and_nothing_else(server, tmp_path, monkeypatch, name):
    fetch(server, "good", tmp_path / "have")
    monkeypatch.setenv(name, "1")
    fetch(server, "good", tmp_path / "have")
    with pytest.raises(DownloadError, match="offline") as caught:
        fetch(server, "good", tmp_path / "want")
    assert str(tmp_path / "want") in caught.value.hint
    assert len(server.requests) == 1


def test_progress_counts_up_to_the_size(server, tmp_path):
    seen = []
    fetch(server, "drops", tmp_path / "m", progress=lambda here, total: seen.append((here, total)))
    assert [here for here, _ in seen] == sorted(here for here, _ in seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_secrets_do_not_follow_redirects(server, tmp_path):
    fetch(server, "redirect", tmp_path / "m", headers={"Authorization": "Bearer secret"})
    first, second = (headers for _, headers in server.requests)
    assert first["Authorization"] == "Bearer secret"
    assert "Authorization" not in second


PULL = """
import hashlib, pathlib, sys
from nemo_core.models.download import download
url, target, sha256, size = sys.argv[1:]
path = download(url, pathlib.Path(target), sha256=sha256, size=int(size), backoff=0.001)
print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_processes_that_want_one_file_fetch_it_once(server, tmp_path):
    command = [sys.executable, "-c", PULL, server.url("dropsonce"), str(tmp_path / "m"), SHA, str(len(CONTENT))]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=120)[0].strip() for process in processes] == [SHA] * 4
    assert len(server.requests) == 2  # one that broke off, one that went on


def entry(location, name="demo.model", **metadata):
    return Component(
        "pretrained", name, location, ("demo",), "A demo", "nemo-demo", "1.0", {"location": location, **metadata}
    )


def test_catalogue_pulls_by_name_and_alias(server, cache):
    catalogue = Catalogue([entry(server.url("good"), sha256=SHA, size=len(CONTENT), license="MIT", languages=("en",))])
    model = catalogue.get("demo")
    assert (model.name, model.license, model.languages, model.metadata) == ("demo.model", "MIT", ("en",), {})
    assert model.cached() is None
    path = model.pull()
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(cache)
    assert model.cached() == path
    with pytest.raises(ComponentNotFoundError, match=r"demo\.modle") as caught:
        catalogue.get("demo.modle")
    assert "demo.model" in caught.value.hint


def test_a_new_version_of_an_entry_gets_a_new_place(server, cache):
    one = PretrainedModel("demo", server.url("good"), sha256=SHA)
    two = PretrainedModel("demo", server.url("good"), sha256="0" * 64)
    assert one.pull().parent != two._path().parent
    with pytest.raises(DownloadError, match="SHA-256"):
        two.pull()
    assert one.cached()


def test_hub_locations(server, cache, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    path = locate("hf://acme/birds/sub/model.nemo@v1")
    assert path.read_bytes() == CONTENT
    request, headers = server.requests[0]
    assert request == "/acme/birds/resolve/v1/sub/model.nemo"
    assert headers["Authorization"] == "Bearer hf_secret"
    for wrong in ("hf://acme", "hf://acme/birds", "hf://acme//model.nemo"):
        with pytest.raises(DownloadError, match="hf://owner/repo/file"):
            hub_url(wrong, {})


def test_names_cannot_leave_the_cache(cache):
    model = PretrainedModel("../../evil", "https://host/a/..%2f..%2fevil?x=1")
    assert model._path().resolve().is_relative_to(cache.resolve())
    assert ".." not in model._path().relative_to(cache).parts


def test_path_locations(tmp_path):
    (tmp_path / "m.nemo").write_bytes(b"x")
    assert PretrainedModel("demo", str(tmp_path / "m.nemo")).pull() == tmp_path / "m.nemo"
    with pytest.raises(DownloadError, match="no file"):
        PretrainedModel("demo", str(tmp_path / "absent.nemo")).pull()


def test_locate_tells_paths_from_names(tmp_path):
    from nemo_core.errors import ArchiveError

    (tmp_path / "model.nemo").write_bytes(b"x")
    assert locate(tmp_path) == tmp_path / "model.nemo"  # a run folder
    for missing in ("absent.nemo", tmp_path / "absent", "a/b"):
        with pytest.raises(ArchiveError, match="there is no file"):
            locate(missing)
    with pytest.raises(ComponentNotFoundError, match="no published model"):
        locate("no-such-model")
