"""Folders that are damaged, foreign or hostile: an error of ours in every process, before anything is read or run."""

from __future__ import annotations

import dataclasses
import enum
import io
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import checkpoint_work as work

from nemo_core.errors import ArchiveError, NemoError, TrainingError, UnsafeArchiveError
from nemo_core.training.checkpoint_folder import seal
from nemo_llm.megatron import Layout, engine
from nemo_llm.megatron.checkpoint import load_model_folder, read_manifest, save_model_folder
from nemo_llm.models import build_chunks

SMALL = dataclasses.replace(work.CONFIG, num_layers=1)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model"
    work.train_and_save(path, Layout(), SMALL, steps=1)
    return path


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def reseal(folder: Path) -> None:
    """Make the checksums right again, as whoever means harm would."""
    content = json.loads((folder / "manifest.json").read_text())
    del content["files"]
    seal(folder, content)


def shard(folder: Path) -> Path:
    return next(folder.glob("weights/*.distcp"))


def missing(folder: Path) -> None:
    shard(folder).unlink()


def truncated(folder: Path) -> None:
    path = shard(folder)
    path.write_bytes(path.read_bytes()[:-100])


def truncated_and_sealed(folder: Path) -> None:
    truncated(folder)
    reseal(folder)


def flipped(folder: Path) -> None:
    content = bytearray(shard(folder).read_bytes())
    content[len(content) // 2] ^= 1
    shard(folder).write_bytes(content)


def scrambled_and_sealed(folder: Path) -> None:
    size = shard(folder).stat().st_size
    shard(folder).write_bytes(os.urandom(size))
    reseal(folder)


def no_metadata(folder: Path) -> None:
    (folder / "weights" / ".metadata").unlink()
    reseal(folder)


def damaged_metadata(folder: Path) -> None:
    path = folder / "weights" / ".metadata"
    path.write_bytes(path.read_bytes()[:-50])
    reseal(folder)


def metadata_of_something_else(folder: Path) -> None:
    (folder / "weights" / ".metadata").write_bytes(pickle.dumps({"a": 1}))
    reseal(folder)


def no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def of_transformers(folder: Path) -> None:
    no_manifest(folder)
    (folder / "config.json").write_text("{}")


def foreign(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps({"format": "tiny", "files": {}}))


def changed(key: str, value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / "manifest.json").read_text())
        content[key] = value
        (folder / "manifest.json").write_text(json.dumps(content))

    return change


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a missing shard": (missing, "__0_0.distcp is missing"),
    "a truncated shard": (truncated, r"__0_0.distcp has .* bytes instead of"),
    "a truncated shard with a right manifest": (truncated_and_sealed, "does not have what .metadata looks for"),
    "a flipped bit": (flipped, "checksum of weights/__0_0.distcp"),
    "noise": (scrambled_and_sealed, "damaged"),
    "no metadata": (no_metadata, "not finished"),
    "damaged metadata": (damaged_metadata, "damaged"),
    "other metadata": (metadata_of_something_else, "no description of shards"),
    "no manifest": (no_manifest, "no manifest.json"),
    "transformers": (of_transformers, "nemo llm import"),
    "foreign": (foreign, "no model of nemo-llm"),
    "a later version": (changed("version", 2), "version 2"),
    "an unknown kind": (changed("kind", "os.system"), "kind of model"),
    "an unknown layout": (changed("layout", {"warp": 3}), "warp"),
    "an architecture that cannot be": (changed("architecture", {"vocab_size": -1}), "vocab_size"),
    "an unknown part": (changed("architecture", {"flux": 1}), "flux"),
    "no architecture": (changed("architecture", None), "no architecture"),
    "no step": (changed("step", "many"), "step"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_or_foreign(folder: Path, name: str) -> None:
    damage, told = DAMAGE[name]
    damage(folder)
    with pytest.raises(NemoError, match=told) as caught:
        load(folder)
    assert isinstance(caught.value, ArchiveError)


def load(folder: Path, config: Any = SMALL) -> None:
    with engine():
        load_model_folder(folder, build_chunks(config))


def evil_metadata(folder: Path, evil: Evil) -> None:
    (folder / "weights" / ".metadata").write_bytes(pickle.dumps(evil))


def evil_metadata_at_the_end(folder: Path, evil: Evil) -> None:
    path = folder / "weights" / ".metadata"
    path.write_bytes(path.read_bytes()[:-1] + pickle.dumps(evil)[2:])


def evil_common(folder: Path, evil: Evil) -> None:
    torch.save({"optimizer_plain": evil}, folder / "weights" / "common.pt")


def evil_object(folder: Path, evil: Evil) -> None:
    """Put the pickle where a shard has one of the engine's small objects."""
    _replace(folder, evil, of_tensor=False)


def evil_tensor(folder: Path, evil: Evil) -> None:
    """Put the pickle where a shard has a tensor."""
    _replace(folder, evil, of_tensor=True)


def _replace(folder: Path, evil: Evil, *, of_tensor: bool) -> None:
    from torch.distributed.checkpoint import TensorStorageMetadata

    from nemo_llm.megatron.checkpoint.safety import read_metadata

    metadata = read_metadata(folder / "weights")
    content = io.BytesIO()
    torch.save(evil, content)
    for index, place in metadata.storage_data.items():
        if isinstance(metadata.state_dict_metadata[index.fqn], TensorStorageMetadata) == of_tensor:
            with shard(folder).open("r+b") as file:
                file.seek(0, io.SEEK_END)
                place.offset, place.length = file.tell(), len(content.getvalue())
                file.write(content.getvalue())
            break
    (folder / "weights" / ".metadata").write_bytes(pickle.dumps(metadata))


PLANTS = [evil_metadata, evil_metadata_at_the_end, evil_common, evil_object, evil_tensor]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_code_in_a_folder_is_not_run(folder: Path, tmp_path: Path, plant: Callable[[Path, Evil], None]) -> None:
    plant(folder, Evil(tmp_path / "pwned"))
    reseal(folder)
    with pytest.raises(UnsafeArchiveError, match="mkdir"):
        load(folder)
    assert not (tmp_path / "pwned").exists()


class ByGetattr(pickle.Pickler):
    """Pickles the members of enumerations as Python 3.11.0 to 3.11.3 do."""

    def reducer_override(self, value: Any) -> Any:
        return (getattr, (type(value), value.name)) if isinstance(value, enum.Enum) else NotImplemented


def test_metadata_that_an_older_python_wrote_is_read(folder: Path) -> None:
    from nemo_llm.megatron.checkpoint.safety import read_metadata

    metadata = read_metadata(folder / "weights")
    written = io.BytesIO()
    ByGetattr(written).dump(metadata)
    assert b"getattr" in written.getvalue()
    (folder / "weights" / ".metadata").write_bytes(written.getvalue())
    reseal(folder)
    load(folder)


def test_no_other_attribute_is_taken(folder: Path) -> None:
    class Fetch:
        def __reduce__(self) -> Any:
            return getattr, (torch.device, "__init_subclass__")

    (folder / "weights" / ".metadata").write_bytes(pickle.dumps(Fetch()))
    reseal(folder)
    with pytest.raises(UnsafeArchiveError, match=r"builtins\.getattr"):
        load(folder)


def test_metadata_names_no_file_outside_the_folder(folder: Path) -> None:
    from nemo_llm.megatron.checkpoint.safety import read_metadata

    metadata = read_metadata(folder / "weights")
    for place in metadata.storage_data.values():
        place.relative_path = "../../secret"
    (folder / "weights" / ".metadata").write_bytes(pickle.dumps(metadata))
    reseal(folder)
    with pytest.raises(UnsafeArchiveError, match="secret"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hidden_size": 64}, "hidden_size 32 there and 64 here"),
        ({"num_layers": 2}, r"layers.1.* is not in the folder"),
        ({"vocab_size": 67}, "vocab_size 61 there and 67 here"),
        ({"qkv_bias": True}, "linear_qkv.bias is not in the folder"),
        ({"tied_embeddings": False}, "output_layer.weight is not in the folder"),
    ],
    ids=str,
)
def test_another_architecture(folder: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(ArchiveError, match=told):
        load(folder, dataclasses.replace(SMALL, **change))


def test_weights_that_the_model_has_not(tmp_path: Path) -> None:
    with engine():
        biased = dataclasses.replace(SMALL, qkv_bias=True)
        save_model_folder(tmp_path / "model", build_chunks(biased), biased)
        with pytest.raises(ArchiveError, match=r"linear_qkv.bias is not in this model"):
            load_model_folder(tmp_path / "model", build_chunks(SMALL))
        load_model_folder(tmp_path / "model", build_chunks(SMALL), strict=False)


def test_another_optimizer(folder: Path) -> None:
    momentum = {"name": "sgd", "momentum": 0.9}
    with pytest.raises(ArchiveError, match=r"momentum_buffer.* is not in the folder"):
        work.load_only(folder, Layout(), SMALL, optim=momentum, sharding="none")


def test_no_optimizer(tmp_path: Path) -> None:
    with work.training(Layout(), SMALL) as it:
        save_model_folder(tmp_path / "model", it.chunks, it.config)
        with pytest.raises(ArchiveError, match="without the state of an optimizer"):
            load_model_folder(tmp_path / "model", it.chunks, it.optimizer.inner)


def test_what_is_there_is_not_written_over(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("")
    (tmp_path / "file").write_text("")
    with engine():
        chunks = build_chunks(SMALL)
        for name in ("precious", "file", "model"):
            with pytest.raises(ArchiveError, match="there already"):
                save_model_folder(tmp_path / name, chunks, SMALL)
        with pytest.raises(ArchiveError, match="no model folder"):
            save_model_folder(tmp_path / "precious", chunks, SMALL, overwrite=True)
        save_model_folder(folder, chunks, SMALL, overwrite=True)
        (tmp_path / "empty").mkdir()
        save_model_folder(tmp_path / "empty", chunks, SMALL)
    assert read_manifest(folder).step is None
    assert read_manifest(tmp_path / "empty").config == SMALL


def outcomes(folder: Path, layout: Layout, kind: Any) -> str:
    """Load, and say how it ended in this process."""
    try:
        work.load_only(folder, layout, kind)
    except NemoError as error:
        return f"{type(error).__name__}: {error.message}"
    return "loaded"


@pytest.mark.parametrize("layout", [Layout(tensor=2), Layout()], ids=str)
@pytest.mark.parametrize("name", ["a missing shard", "a flipped bit", "noise", "damaged metadata", "no manifest"])
def test_all_processes_raise_alike(two_ranks: Any, folder: Path, name: str, layout: Layout) -> None:
    DAMAGE[name][0](folder)
    first, second = two_ranks.run(outcomes, folder, layout, SMALL)
    assert first == second
    assert first.startswith("ArchiveError")


def test_an_error_of_one_stage_is_raised_in_all(two_ranks: Any, folder: Path) -> None:
    deeper = dataclasses.replace(SMALL, num_layers=2)  # what is missing belongs to the second stage
    first, second = two_ranks.run(outcomes, folder, Layout(pipeline=2), deeper)
    assert first == second
    assert "layers.1" in first


def save_where_one_cannot_write(folder: Path) -> str:
    from torch import distributed

    from nemo_llm.megatron.checkpoint import writing

    def fail(self: Any) -> Any:
        raise OSError(28, "No space left on device")

    before = writing.Shards.write
    if distributed.get_rank() == 1:
        writing.Shards.write = fail  # type: ignore[method-assign]
    try:
        with engine(Layout(tensor=2)):
            save_model_folder(folder, build_chunks(SMALL, Layout(tensor=2)), SMALL)
    except TrainingError as error:
        return error.message
    finally:
        writing.Shards.write = before  # type: ignore[method-assign]
    return "saved"


def test_a_process_that_cannot_write_fails_the_save_in_all(two_ranks: Any, tmp_path: Path) -> None:
    first, second = two_ranks.run(save_where_one_cannot_write, tmp_path / "model")
    assert first == second
    assert "process 1: OSError" in first
    assert not (tmp_path / "model").exists()
