"""Token files are byte for byte those of Megatron-core, either way; damaged ones are refused, and it is said why."""

from __future__ import annotations

import pickle
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError, DataError
from nemo_llm.data.indexed import TokenFile, TokenWriter, token_dtype

#: Documents, each of sequences of tokens.
documents = st.lists(st.lists(st.lists(st.integers(0, 255), max_size=5), max_size=3), max_size=6)


@pytest.fixture(scope="module")
def megatron():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("megatron.core.datasets.indexed_dataset")


def write_theirs(megatron, prefix: Path, drawn, dtype, modes: bool) -> None:
    builder = megatron.IndexedDatasetBuilder(f"{prefix}.bin", dtype=dtype, multimodal=modes)
    for document in drawn:
        tokens = np.concatenate([*map(np.array, document), []]).astype(dtype)
        lengths = [len(sequence) for sequence in document]
        builder.add_document(tokens, lengths, list(range(len(document))) if modes else None)
    builder.finalize(f"{prefix}.idx")


def write_ours(prefix: Path, drawn, dtype, modes: bool) -> None:
    with TokenWriter(prefix, dtype, modes=modes) as writer:
        for document in drawn:
            tokens = np.concatenate([*map(np.array, document), []]).astype(np.int64)
            writer.add(tokens, [len(sequence) for sequence in document], range(len(document)) if modes else None)


@settings(max_examples=40, deadline=None)
@given(documents, st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.int64]), st.booleans())
def test_files_are_those_of_megatron(megatron, tmp_path_factory, drawn, dtype, modes):
    folder = tmp_path_factory.mktemp("files")
    write_theirs(megatron, folder / "theirs", drawn, dtype, modes)
    write_ours(folder / "ours", drawn, dtype, modes)
    for suffix in (".bin", ".idx"):
        assert (folder / f"ours{suffix}").read_bytes() == (folder / f"theirs{suffix}").read_bytes()
    found = TokenFile(folder / "theirs")
    assert [found[i].tolist() for i in range(len(found))] == [sequence for document in drawn for sequence in document]
    whole = [[token for sequence in document for token in sequence] for document in drawn]
    assert [found.document(i).tolist() for i in range(found.documents)] == whole
    assert found.document_lengths.tolist() == [len(document) for document in whole]
    assert found.tokens == sum(map(len, whole))
    if modes and len(found):
        assert found.modes.tolist() == [mode for document in drawn for mode in range(len(document))]


def test_megatron_reads_ours(megatron, tmp_path):
    drawn = [[[1, 2, 3]], [[40000]], [[5, 6], [7]]]
    write_ours(tmp_path / "ours", drawn, np.uint16, modes=False)
    theirs = megatron.IndexedDataset(str(tmp_path / "ours"))
    assert [theirs[i].tolist() for i in range(len(theirs))] == [[1, 2, 3], [40000], [5, 6], [7]]
    assert theirs.document_indices.tolist() == [0, 1, 2, 4]
    assert theirs.get(2, offset=1).tolist() == [6]


def test_many_documents_at_once_are_the_same_as_one_by_one(tmp_path):
    with TokenWriter(tmp_path / "one", np.uint16) as writer:
        for document in ([1, 2], [], [3]):
            writer.add(document)
    with TokenWriter(tmp_path / "many", np.uint16) as writer:
        writer.add_many([1, 2], [2, 0])
        writer.add_many(np.array([3], np.uint16), [1])
        assert (writer.documents, writer.tokens) == (3, 3)
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"many{suffix}").read_bytes()


def test_parts_of_documents_and_copies_in_workers(tmp_path):
    write_ours(tmp_path / "some", [[[1, 2], [3, 4, 5]], [[6]]], np.int32, modes=False)
    tokens = TokenFile(tmp_path / "some.idx")
    assert tokens.document(0, 1, 4).tolist() == [2, 3, 4]
    assert tokens.document(0, 4).tolist() == [5]
    assert tokens.document(-1).tolist() == [6]
    assert [part.tolist() for part in tokens[1:]] == [[3, 4, 5], [6]]
    blob = pickle.dumps(tokens)
    assert len(blob) < 500
    assert pickle.loads(blob).document(0).tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(IndexError):
        tokens.document(2)


@pytest.mark.parametrize(("vocabulary", "dtype"), [(256, "uint16"), (65499, "uint16"), (65500, "int32")])
def test_type_is_the_one_megatron_chooses(megatron, vocabulary, dtype):
    assert token_dtype(vocabulary) == dtype == megatron.DType.optimal_dtype(vocabulary).__name__


def header(magic=b"MMIDIDX\0\0", version=1, code=8, sequences=2, boundaries=3) -> bytes:
    return struct.pack("<9sQBQQ", magic, version, code, sequences, boundaries)


def index(lengths=(3, 2), pointers=(0, 6), boundaries=(0, 1, 2), **changed) -> bytes:
    arrays = np.array(lengths, "<i4"), np.array(pointers, "<i8"), np.array(boundaries, "<i8")
    sizes = {"sequences": len(lengths), "boundaries": len(boundaries)}
    return header(**{**sizes, **changed}) + b"".join(array.tobytes() for array in arrays)


@pytest.mark.parametrize(
    ("idx", "wrong"),
    [
        (b"", "does not start with MMIDIDX"),
        (b"\x80\x04K\x01.", "does not start with MMIDIDX"),
        (header(magic=b"TNTIDX\0\0\0"), "does not start with MMIDIDX"),
        (header()[:20], "ends within its header, after 20 bytes"),
        (index(version=2), "version 2"),
        (index(code=9), r"type 9; known are 1 \(uint8\)"),
        (index()[:-1], "has 81 bytes, but an index of 2 sequences and 2 documents has 82"),
        (index() + b"abc", "has 85 bytes"),
        (index(sequences=2**62), "sequences"),
        (index(boundaries=(0, 1)), "boundaries of documents"),
        (index(boundaries=(1, 1, 2)), "boundaries of documents"),
        (index(boundaries=(0, 2, 1, 2)), "boundaries of documents"),
        (index(boundaries=()), "boundaries of documents"),
        (index(lengths=(3, -2)), r"sequence 1 \(-2 tokens at byte 6\) has a negative length"),
        (index(pointers=(-2, 6)), "starts before the file"),
        (index(pointers=(0, 5)), "starts within a token"),
        (index(lengths=(3, 3)), "sequence 1 .* ends after the 10 bytes of bad.bin"),
        (index(pointers=(0, 4)), "does not start where the one before it ends"),
        (index(lengths=(3, 1)), "has 10 bytes, but bad.idx describes 8"),
        (index(code=4), "starts within a token"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_index(tmp_path, idx, wrong):
    (tmp_path / "bad.bin").write_bytes(bytes(10))
    (tmp_path / "bad.idx").write_bytes(idx)
    with pytest.raises(DataError, match=wrong) as caught:
        TokenFile(tmp_path / "bad")
    assert "bad." in str(caught.value)


@given(st.integers(0, 3000))
@settings(max_examples=30, deadline=None)
def test_truncated_anywhere(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("cut")
    write_ours(folder / "cut", [[[1] * 10]] * 60, np.uint16, modes=False)
    for suffix in (".bin", ".idx"):
        path = folder / f"cut{suffix}"
        whole = path.read_bytes()
        if cut < len(whole):
            path.write_bytes(whole[:cut])
            with pytest.raises(DataError, match=f"cut{suffix}"):
                TokenFile(folder / "cut")
            path.write_bytes(whole)
    assert len(TokenFile(folder / "cut")) == 60


def test_missing_files(tmp_path):
    (tmp_path / "half.idx").write_bytes(index())
    with pytest.raises(DataError, match=r"half\.bin is not there; half\.idx is"):
        TokenFile(tmp_path / "half")
    with pytest.raises(DataError, match=r"none\.idx is not there$|none\.idx is not there\n"):
        TokenFile(tmp_path / "none")


def test_writing_that_fails_leaves_what_was_there(tmp_path):
    write_ours(tmp_path / "kept", [[[1, 2]]], np.uint16, modes=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DataError):
        write_ours(tmp_path / "kept", [[[3]], [[-1]]], np.uint16, modes=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with TokenWriter(tmp_path / "kept", np.uint16) as writer:
        writer.add([3])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.bin", "kept.idx"]
    assert TokenFile(tmp_path / "kept")[0].tolist() == [3]


def test_tokens_that_do_not_fit_are_refused(tmp_path):
    with (
        pytest.raises(DataError, match="token 65536 does not fit the type uint16"),
        TokenWriter(tmp_path / "x", np.uint16) as writer,
    ):
        writer.add([65535, 65536])
    with pytest.raises(DataError, match="do not make sequences"), TokenWriter(tmp_path / "x", np.uint16) as writer:
        writer.add([1, 2, 3], lengths=[1, 1])
    with pytest.raises(ConfigError, match="complex128"):
        TokenWriter(tmp_path / "x", np.complex128)
    with pytest.raises(ConfigError, match="modes=True"), TokenWriter(tmp_path / "x", np.uint16) as writer:
        writer.add([1], modes=[1])
    assert list(tmp_path.iterdir()) == []
