"""Archives that are damaged, or made to do harm: each is refused, nothing runs, nothing is written."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import pickle
import tarfile

import pytest
import torch
from archive_support import Small
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nemo_core.config import Trust
from nemo_core.errors import ArchiveError, NemoError, UnsafeArchiveError, UntrustedTargetError
from nemo_core.models import Archive, inspect_archive, restore
from nemo_core.models.archive import CONFIG, MANIFEST, WEIGHTS
from nemo_core.models.safe_tar import Limits, SafeTar

TRUST = Trust.user(["archive_support"])


def entry(name, content=b"x", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def tar_of(path, *entries, mode="w"):
    with tarfile.open(path, mode) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return path


def members_of(path):
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def rewritten(archive, path, changes=None, *, hashed=True):
    """Write the members of an archive again with changes, with hashes that fit unless told otherwise."""
    from nemo_core.models.archive import Manifest, _measured

    members = members_of(archive)
    manifest = Manifest.from_json(members.pop(MANIFEST), "test")
    members.update(changes or {})
    members = {name: content for name, content in members.items() if content is not None}
    if hashed:
        listed = {name: _measured(content) for name, content in members.items()}
        fields = {**vars(manifest), "members": listed}
        manifest = Manifest(**fields)
    return tar_of(path, *[entry(n, c) for n, c in {MANIFEST: manifest.to_json(), **members}.items()])


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A folder to work in, whose surroundings must not change."""
    work = tmp_path / "outer" / "work"
    work.mkdir(parents=True)
    (tmp_path / "outer" / "victim").write_text("untouched")
    monkeypatch.chdir(work)
    monkeypatch.setenv("TMPDIR", str(work))
    yield work
    assert (tmp_path / "outer" / "victim").read_text() == "untouched"
    assert sorted(p.name for p in (tmp_path / "outer").iterdir()) == ["victim", "work"]


def refused(path, error, match):
    """Every way in refuses, with the same error."""
    ways = (
        lambda: restore(path, trust=TRUST),
        lambda: inspect_archive(path),
        lambda: Archive(path).close(),
        lambda: Archive(path).extract(path.with_name("unpacked")),
    )
    for way in ways:
        with pytest.raises(error, match=match):
            way()
    assert not path.with_name("unpacked").exists()


NAMES = {
    "parent": "../victim",
    "inner parent": "a/../../victim",
    "absolute": "/tmp/nemo-evil",
    "drive": "C:/evil",
    "drive without slash": "C:evil",
    "backslash": "..\\victim",
    "stream": "file:stream",
    "empty part": "a//b",
    "dot": "a/./b",
    "newline": "a\nb",
    "bidi": "a‮b",
    "too long": "a" * 300,
    "only parent": "..",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_names_that_lead_elsewhere(watched, archive, name):
    content = [entry(n, c) for n, c in members_of(archive).items()]
    refused(tar_of(watched / "evil.nemo", *content, entry(name)), UnsafeArchiveError, "outside the archive|malformed")


KINDS = {
    "symlink": (tarfile.SYMTYPE, "symbolic link"),
    "hardlink": (tarfile.LNKTYPE, "hard link"),
    "char": (tarfile.CHRTYPE, "character device"),
    "block": (tarfile.BLKTYPE, "block device"),
    "fifo": (tarfile.FIFOTYPE, "pipe"),
    "contiguous": (tarfile.CONTTYPE, "unknown kind"),
    "unknown": (b"Z", "unknown kind"),
}


@pytest.mark.parametrize(("kind", "what"), KINDS.values(), ids=KINDS.keys())
def test_members_that_are_no_files(watched, archive, kind, what):
    content = [entry(n, c) for n, c in members_of(archive).items()]
    odd = entry("artifacts/odd", b"", type=kind, linkname="../victim", devmajor=1, devminor=3)
    refused(tar_of(watched / "evil.nemo", odd, *content), UnsafeArchiveError, what)


def test_duplicate_members(watched, archive):
    content = [entry(n, c) for n, c in members_of(archive).items()]
    refused(tar_of(watched / "a.nemo", *content, entry(CONFIG)), UnsafeArchiveError, "twice")
    refused(tar_of(watched / "b.nemo", *content, entry("./" + CONFIG)), UnsafeArchiveError, "twice")
    refused(tar_of(watched / "c.nemo", *content, entry(CONFIG.upper())), UnsafeArchiveError, "twice")
    refused(tar_of(watched / "d.nemo", *content, entry(f"{CONFIG}/x")), UnsafeArchiveError, "inside a file")


def test_members_that_claim_more_than_there_is(watched, archive):
    content = [entry(n, c) for n, c in members_of(archive).items()]
    huge = tarfile.TarInfo("artifacts/huge")
    huge.size = 1 << 50
    path = watched / "evil.nemo"
    with path.open("wb") as file:
        for info, data in content:
            file.write(info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512))
        file.write(huge.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(1024))
    refused(path, ArchiveError, "cut short|damaged")


def test_many_members(watched):
    path = tar_of(watched / "many.nemo", *[entry(f"f{i}", b"") for i in range(11)])
    with pytest.raises(UnsafeArchiveError, match="more than 10 members"):
        SafeTar(path, Limits(members=10))


def test_gzip_bombs_stop_early(watched):
    path = watched / "bomb.nemo"
    with gzip.open(path, "wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    with pytest.raises(UnsafeArchiveError, match="as a bomb does"):
        SafeTar(path, Limits(inflated=1 << 20, ratio=10))
    assert [p.name for p in watched.iterdir()] == ["bomb.nemo"]


def test_damaged_gzip(watched, archive):
    data = gzip.compress(archive.read_bytes())
    for name, content in {"cut": data[: len(data) // 2], "flipped": data[:-6] + b"??" + data[-4:]}.items():
        path = watched / f"{name}.nemo"
        path.write_bytes(content)
        refused(path, ArchiveError, "damaged")


def test_our_archives_may_be_gzipped(watched, archive):
    path = watched / "packed.nemo"
    path.write_bytes(gzip.compress(archive.read_bytes()))
    assert torch.equal(restore(path, trust=TRUST).head.weight, restore(archive, trust=TRUST).head.weight)
    assert inspect_archive(path).compressed


def test_truncated_anywhere(watched, archive):
    data = archive.read_bytes()
    path = watched / "cut.nemo"
    end = data.rstrip(b"\0")
    for length in {0, 1, 100, *range(511, len(end), 509), len(end)}:
        path.write_bytes(data[:length])
        with pytest.raises(ArchiveError):
            restore(path, trust=TRUST)
        with pytest.raises(ArchiveError):
            inspect_archive(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_flipped_bit_never_changes_a_model(watched, archive, data):
    content = bytearray(archive.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path = watched / "flipped.nemo"
    path.write_bytes(content)
    try:
        model = restore(path, trust=TRUST)
    except ArchiveError:
        return
    intact = restore(archive, trust=TRUST)  # padding and the like: then the model must be the same
    assert model.to_config().keys() == intact.to_config().keys()
    assert model.vocabulary.content == intact.vocabulary.content
    for name, value in intact.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=2048), keep=st.integers(0, 4096))
def test_rubbish_is_refused_with_our_errors(watched, archive, content, keep):
    path = watched / "rubbish.nemo"
    path.write_bytes(archive.read_bytes()[:keep] + content)
    with pytest.raises(ArchiveError):
        restore(path, trust=TRUST)


def test_what_is_no_archive_at_all(watched):
    (watched / "empty.nemo").write_bytes(b"")
    (watched / "page.nemo").write_bytes(b"<!DOCTYPE html><html>404</html>" * 50)
    (watched / "pointer.nemo").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    torch.save({"w": torch.zeros(1)}, watched / "bare.nemo")
    tar_of(watched / "photos.nemo", entry("a.jpg"))
    for name, words in {"empty": "empty", "page": "web page", "pointer": "lfs pull", "bare": "zip file",
                        "photos": "no model archive"}.items():  # fmt: skip
        refused(watched / f"{name}.nemo", ArchiveError, words)
    refused(watched / "absent.nemo", ArchiveError, "there is no file")
    refused(watched, ArchiveError, "is a folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_do_not_hang(watched):
    os.mkfifo(watched / "pipe.nemo")
    refused(watched / "pipe.nemo", UnsafeArchiveError, "not a regular file")
    (watched / "pipe.nemo").unlink()
    with pytest.raises(UnsafeArchiveError, match="not a regular file"):
        inspect_archive("/dev/zero")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files(watched, archive):
    archive.chmod(0)
    with pytest.raises(ArchiveError, match="Permission"):
        restore(archive)


def test_wrong_hashes_name_the_members(watched, archive):
    weights = bytearray(members_of(archive)[WEIGHTS])
    weights[-1] ^= 1
    path = rewritten(archive, watched / "m.nemo", {WEIGHTS: bytes(weights)}, hashed=False)
    with pytest.raises(ArchiveError, match=rf"{WEIGHTS} is not what the manifest says"):
        restore(path, trust=TRUST)
    damaged = [finding.where for finding in inspect_archive(path).problems if finding.severity == "damage"]
    assert damaged == [WEIGHTS]


def test_members_missing_from_or_unknown_to_the_manifest(watched, archive):
    path = rewritten(archive, watched / "a.nemo", {"artifacts/vocab.txt": None}, hashed=False)
    refused(path, ArchiveError, r"lacks artifacts/vocab\.txt")
    refused(rewritten(archive, watched / "b.nemo", {"extra": b""}, hashed=False), ArchiveError, "unlisted extra")
    refused(rewritten(archive, watched / "c.nemo", {CONFIG: b"a: 1"}, hashed=False), ArchiveError, "manifest says")
    refused(rewritten(archive, watched / "d.nemo", {WEIGHTS: None}), ArchiveError, f"lacks {WEIGHTS}")
    path = rewritten(archive, watched / "e.nemo", {"artifacts/vocab.txt": None})
    with pytest.raises(ArchiveError, match=r"refers to vocab\.txt"):
        restore(path, trust=TRUST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "newer nemo-core"),
        ({"format_version": "1"}, "damaged"),
        ({"format": "something"}, "damaged"),
        ({"model": "other.Model"}, "digest"),
    ],
)
def test_manifests_of_other_kinds(watched, archive, change, message):
    members = members_of(archive)
    manifest = {**json.loads(members[MANIFEST]), **change}
    members[MANIFEST] = json.dumps(manifest).encode()
    refused(tar_of(watched / "m.nemo", *[entry(n, c) for n, c in members.items()]), ArchiveError, message)


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"format": 1}'])
def test_manifests_that_are_none(watched, archive, manifest):
    members = {**members_of(archive), MANIFEST: manifest}
    refused(tar_of(watched / "m.nemo", *[entry(n, c) for n, c in members.items()]), ArchiveError, MANIFEST)


LAUGHS = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % ((i, i) + (i - 1,) * 10) for i in range(98, 110)
)
CONFIGS = {
    "code": (b"_target_: !!python/object/apply:os.system ['touch evil']\n", "not plain YAML"),
    "laughs": (LAUGHS, "unfolds"),
    "recursive": (b"_target_: x\na: &a [*a]\n", "unfolds"),
    "deep": (b"_target_: x\na: " + b"[" * 100_000, "nested more than"),
    "deep mapping": (b"_target_: x\n" + b"".join(b" " * i + b"a:\n" for i in range(300)), "nested more than"),
    "list": (b"- 1\n", "no mapping"),
    "empty": (b"", "no mapping"),
    "binary": (b"\x00\xff\x12", "not plain YAML"),
    "syntax": (b"a: [1\nb: }", "not plain YAML"),
    "no target": (b"a: 1\n", "_target_"),
    "target of no kind": (b"_target_: 3\n", "_target_"),
    "huge": (b"_target_: x\n#" + b"x" * (65 << 20), "more than"),
}


@pytest.mark.parametrize(("config", "message"), CONFIGS.values(), ids=CONFIGS.keys())
def test_malicious_or_malformed_configurations(watched, archive, config, message):
    refused(rewritten(archive, watched / "m.nemo", {CONFIG: config}), ArchiveError, message)
    assert not (watched / "evil").exists()


TARGETS = [
    "_target_: os.system\ncommand: touch evil\n",
    '_target_: builtins.eval\n_args_: [\'open("evil", "w")\']\n',
    "_target_: torch.load\nf: evil\n",
    "_target_: torch.nn.modules.os.system\ncommand: touch evil\n",
    "_target_: archive_support.Small\npart: {_target_: subprocess.run, args: [touch, evil]}\n",
    "_target_: archive_support.Small\npart: [{a: [{_target_: os.system, command: touch evil}]}]\n",
    "_target_: archive_support.Small\npart: {_target_: torch.nn.Linear, _partial_: true}\n",
    "_target_: archive_support.Small\n_args_: [{_target_: os.system, command: touch evil}]\n",
    "_target_: archive_support.Small\npart: '${oc.env:HOME}'\n",
    "_target_: archive_support.Small\na: os.system\npart: {_target_: '${a}', command: touch evil}\n",
    "_target_: archive_support.Small\ntrust: [os]\npart: {_target_: os.system, command: touch evil}\n",
]


@pytest.mark.parametrize("config", TARGETS)
def test_untrusted_targets_are_never_imported(watched, archive, config):
    path = rewritten(archive, watched / "m.nemo", {CONFIG: config.encode()})
    with pytest.raises(UntrustedTargetError):
        restore(path)
    with pytest.raises(UntrustedTargetError):
        Small.restore(path)
    assert any(finding.severity == "danger" for finding in inspect_archive(path).findings)
    assert not (watched / "evil").exists()


def test_artifact_references_stay_inside(watched, archive):
    for name in ("../victim", "/etc/passwd", "manifest.json", ""):
        config = f"_target_: archive_support.Free\nweights: 'artifact:{name}'\n".encode()
        path = rewritten(archive, watched / "m.nemo", {CONFIG: config})
        with pytest.raises(ArchiveError, match="refers to"):
            restore(path, trust=TRUST)


def safetensors_file(header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(header).to_bytes(8, "little") + header + data


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
WEIGHT_FILES = {
    "empty": b"",
    "short": b"\x01\x00",
    "huge header": (1 << 60).to_bytes(8, "little"),
    "header past the end": (500).to_bytes(8, "little") + b"{}",
    "no json": safetensors_file(b"{{{{"),
    "no object": safetensors_file([1, 2]),
    "deep": safetensors_file(b"[" * 100_000),
    "gap": safetensors_file({"a": {**F32, "data_offsets": [4, 12]}}, bytes(12)),
    "overlap": safetensors_file({"a": F32, "b": {**F32, "data_offsets": [4, 12]}}, bytes(12)),
    "past the end": safetensors_file({"a": F32}, bytes(4)),
    "left over": safetensors_file({"a": F32}, bytes(12)),
    "wrong size": safetensors_file({"a": {**F32, "shape": [3]}}, bytes(8)),
    "huge shape": safetensors_file({"a": {**F32, "shape": [1 << 40, 1 << 40]}}, bytes(8)),
    "negative": safetensors_file({"a": {**F32, "shape": [-2]}}, bytes(8)),
    "negative offsets": safetensors_file({"a": {**F32, "data_offsets": [-8, 0]}}),
    "unknown type": safetensors_file({"a": {**F32, "dtype": "F99"}}, bytes(8)),
    "twice": safetensors_file(b'{"a":%b,"a":%b}' % ((json.dumps(F32).encode(),) * 2), bytes(8)),
    "bool offsets": safetensors_file({"a": {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}}, bytes(1)),
}


@pytest.mark.parametrize("content", WEIGHT_FILES.values(), ids=WEIGHT_FILES.keys())
def test_malformed_weights(watched, archive, content):
    path = rewritten(archive, watched / "m.nemo", {WEIGHTS: content})
    with pytest.raises(ArchiveError, match=WEIGHTS):
        restore(path, trust=TRUST)
    assert [finding.where for finding in inspect_archive(path).problems if finding.where == WEIGHTS] == [WEIGHTS]


class Touch:
    """What a pickle can do: here, make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def nvidia_archive(path, weights, config=b"target: nemo.collections.asr.models.EncDecCTCModel\n"):
    return tar_of(path, entry("./model_config.yaml", config), entry("./model_weights.ckpt", weights))


def saved(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def pickles(folder):
    evil = Touch(folder / "evil")
    value = {"w": torch.zeros(2), "evil": evil}
    return {
        "zip": saved(value),
        "legacy": saved(value, _use_new_zipfile_serialization=False),
        "protocol 4": saved(value, pickle_protocol=4),
        "bare": pickle.dumps(value["evil"]),
    }


@pytest.mark.parametrize("form", ["zip", "legacy", "protocol 4", "bare"])
def test_pickles_that_call_something(watched, form):
    from nemo_core.models.weights import read_checkpoint

    content = pickles(watched)[form]
    with pytest.raises(UnsafeArchiveError, match=r"posix\.system|nt\.system"):
        read_checkpoint(memoryview(content), "here")
    info = inspect_archive(nvidia_archive(watched / "m.nemo", content))
    assert any(f.severity == "danger" and ".system" in f.message for f in info.findings)
    assert not (watched / "evil").exists()


def test_init_from_refuses_pickles(watched, small):
    from nemo_core.models import init_from

    for form, content in pickles(watched).items():
        path = watched / f"{form}.ckpt"
        path.write_bytes(content)
        with pytest.raises(ArchiveError):
            init_from(small, path)
    assert not (watched / "evil").exists()


def test_compressed_checkpoints_are_bombs(watched):
    import zipfile

    from nemo_core.models.pickle_scan import globals_of

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", pickle.dumps({}))
        archive.writestr("m/data/0", bytes(1 << 22))
    with pytest.raises(UnsafeArchiveError, match="compressed"):
        globals_of(memoryview(buffer.getvalue()), "here")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04"]))
def test_rubbish_pickles_end_in_our_errors(content, magic):
    from nemo_core.models.pickle_scan import globals_of
    from nemo_core.models.weights import read_checkpoint

    for read in (globals_of, read_checkpoint):
        with contextlib.suppress(NemoError):
            read(memoryview(magic + content), "here")


def test_harmless_names_are_those_that_torch_allows():
    """Our list, for reports, must not call a name harmless that torch's restricted unpickler refuses."""
    from torch._weights_only_unpickler import _get_allowed_globals

    from nemo_core.models.pickle_scan import _HARMLESS

    allowed = set(_get_allowed_globals())
    harmless = {"torch." + name for name in dir(torch)} | {"torch._utils." + n for n in dir(torch._utils)}
    harmless |= {"torch.storage." + name for name in dir(torch.storage)} | {
        "torch._tensor." + n for n in dir(torch._tensor)
    }
    assert {name for name in harmless if _HARMLESS.fullmatch(name)} <= allowed
