"""Whatever happens to a writer, the archive is the old one or the new one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from nemo_core.models import Archive

# Writes one archive over and over, without torch, so that nearly all of its life is spent writing.
WRITER = """
import itertools, pathlib, sys
from nemo_core.models.archive import write_archive
def weights(file):
    header = b'{"w":{"dtype":"U8","shape":[4000000],"data_offsets":[0,4000000]}}'
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes([number % 256]) * 4_000_000)
    return {}
for number in itertools.count(1):
    write_archive(sys.argv[1], config={"_target_": "demo.Model", "number": number}, write_weights=weights,
                  artifacts={"a.txt": b"x" * 1000}, components=(), created_by={}, overwrite=True)
    print(number, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_writer_killed_at_any_moment_leaves_a_whole_archive(tmp_path):
    path = tmp_path / "model.nemo"
    chance = random.Random(1)
    last = 0
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()  # one whole archive is written
        time.sleep(chance.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with Archive(path) as archive:
            archive.verify()
            last = archive.config["number"]
            assert set(archive.view("model_weights.safetensors")[-4_000_000:]) == {last % 256}
        assert last >= 1
    remains = [p for p in tmp_path.iterdir() if p != path]
    assert all(p.name.startswith(".model.nemo.") for p in remains)  # what was in the making, hidden beside it


def test_a_full_disk_keeps_the_old_archive(tmp_path):
    """A limit on the size of files stands in for the disk: the writer's error is ours, and the old archive is whole."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "model.nemo"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.kill()
    process.wait()
    before, remains = path.read_bytes(), set(tmp_path.iterdir())  # the kill may have left something in the making
    limited = f"import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" \
              f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, {resource.RLIM_INFINITY}))\n"  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", limited + WRITER, str(path)], capture_output=True, text=True, timeout=120
    )
    assert "ArchiveError: cannot write" in result.stderr
    assert path.read_bytes() == before
    assert set(tmp_path.iterdir()) == remains
