"""Weights in files: what is damaged, missing or somebody else's is refused by name before anything runs."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from nemo_core.errors import ArchiveError, ConfigError, ExportError, UnsafeArchiveError
from nemo_llm.hf.config import config_to_hf
from nemo_llm.hf.families import weights
from nemo_llm.hf.files import INDEX, SINGLE, WeightFiles
from nemo_llm.hf.load import check_hf
from nemo_llm.hf.writing import WeightWriter, parse_size
from nemo_llm.models.config import Experts, ModelConfig

CONFIG = ModelConfig(
    family="llama", vocab_size=11, hidden_size=8, num_layers=2, num_heads=2, num_kv_heads=1, ffn_size=6, max_length=16
)


def _values(config: ModelConfig = CONFIG) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        piece.tensor: torch.randn(piece.shape, generator=generator)
        for weight in weights(config).values()
        for piece in weight.pieces
    }


def _folder(path: Path, values: dict[str, torch.Tensor] | None = None, config: ModelConfig = CONFIG) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config_to_hf(config)))
    save_file(_values(config) if values is None else values, path / SINGLE)
    return path


def _sharded(path: Path) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config_to_hf(CONFIG)))
    values = _values()
    with WeightWriter(path, {name: (each.dtype, tuple(each.shape)) for name, each in values.items()}, 600) as writer:
        for name, each in values.items():
            writer.write(name, each)
    return path


def test_a_whole_folder_passes(tmp_path: Path) -> None:
    assert check_hf(_folder(tmp_path / "one")) == (CONFIG, torch.float32)
    assert check_hf(_sharded(tmp_path / "many"))[0] == CONFIG


def test_values_come_back_in_one_file_or_many(tmp_path: Path) -> None:
    for folder in (_folder(tmp_path / "one"), _sharded(tmp_path / "many")):
        with WeightFiles(folder) as files:
            for name, expected in _values().items():
                assert torch.equal(files.view(name), expected)
                assert files.dtype(name) == torch.float32


def test_a_missing_shard(tmp_path: Path) -> None:
    folder = _sharded(tmp_path / "many")
    gone = sorted(folder.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(ArchiveError, match=rf"lacks {gone.name}, 1 of the \d+ files"):
        check_hf(folder)


@pytest.mark.parametrize("keep", [0, 5, 40, -1, -200])
def test_a_file_that_is_cut_short(tmp_path: Path, keep: int) -> None:
    folder = _folder(tmp_path / "one")
    content = (folder / SINGLE).read_bytes()
    (folder / SINGLE).write_bytes(content[:keep])
    with pytest.raises(ArchiveError, match=r"(?s)model.safetensors.*(cut short|end at byte|cannot be read).*again"):
        check_hf(folder)


def test_shapes_that_disagree_are_both_named(tmp_path: Path) -> None:
    values = _values()
    values["model.layers.1.mlp.up_proj.weight"] = torch.zeros(7, 8)
    message = r"model.layers.1.mlp.up_proj.weight is \[7, 8\], and config.json makes it \[6, 8\]"
    with pytest.raises(ArchiveError, match=message):
        check_hf(_folder(tmp_path / "one", values))


def test_missing_and_unexpected_weights_are_named(tmp_path: Path) -> None:
    values = _values()
    del values["model.norm.weight"]
    values["model.layers.0.self_attn.q_proj.bias"] = torch.zeros(8)
    with pytest.raises(ArchiveError, match=r"(?s)missing: model.norm.weight.*unexpected: .*q_proj.bias"):
        check_hf(_folder(tmp_path / "one", values))


def test_buffers_that_no_model_needs_are_passed_over(tmp_path: Path) -> None:
    values = _values()
    values["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(4)
    values["model.layers.2.eh_proj.weight"] = torch.zeros(4)  # behind the last: predicts further tokens
    check_hf(_folder(tmp_path / "one", values))


def test_files_of_the_bare_model(tmp_path: Path) -> None:
    values = {name.removeprefix("model."): each for name, each in _values().items()}
    check_hf(_folder(tmp_path / "one", values))


def test_pickles_are_not_read(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "one")
    (folder / SINGLE).unlink()

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UnsafeArchiveError, match=r"(?s)pytorch_model.bin is a pickle.*save_pretrained"):
        check_hf(folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("index", "told"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"weight_map": {}}', "names no weights"),
        ('{"weight_map": {"w": "../other.safetensors"}}', "no file of this folder"),
        ('{"weight_map": {"w": "model.safetensors"}}', "has no w, which"),
    ],
)
def test_an_index_that_lies(tmp_path: Path, index: str, told: str) -> None:
    folder = _folder(tmp_path / "one")
    (folder / INDEX).write_text(index)
    with pytest.raises(ArchiveError, match=told):
        check_hf(folder)


def test_no_weights_at_all(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "one")
    (folder / SINGLE).unlink()
    with pytest.raises(ArchiveError, match=r"has no model\.safetensors"):
        check_hf(folder)
    with pytest.raises(ConfigError, match=r"config\.json cannot be read"):
        check_hf(tmp_path / "nowhere")


def test_quantised_values(tmp_path: Path) -> None:
    values = _values()
    values["model.layers.0.mlp.up_proj.weight"] = torch.zeros(6, 8, dtype=torch.int8)
    with pytest.raises(ArchiveError, match="I8 values: the model is quantised"):
        check_hf(_folder(tmp_path / "one", values))


def test_a_tied_output_layer_that_is_stored_again(tmp_path: Path) -> None:
    tied = ModelConfig.from_dict({**CONFIG.to_dict(), "tied_embeddings": True})
    values = _values(tied)
    values["lm_head.weight"] = values["model.embed_tokens.weight"].clone()
    check_hf(_folder(tmp_path / "same", values, tied))
    values["lm_head.weight"] = values["lm_head.weight"] + 1
    with pytest.raises(ArchiveError, match=r"unexpected: lm_head\.weight"):
        check_hf(_folder(tmp_path / "other", values, tied))


def test_experts_that_are_stacked_as_in_memory(tmp_path: Path) -> None:
    config = ModelConfig.from_dict({**CONFIG.to_dict(), "family": "qwen3_moe", "qk_norm": True})
    config = ModelConfig(**{**vars(config), "experts": Experts(count=3, per_token=1, ffn_size=5, normalize=False)})
    values = _values(config)
    stacked = {name: each for name, each in values.items() if ".experts." not in name}
    for layer in range(2):
        base = f"model.layers.{layer}.mlp.experts"
        gates, ups, downs = (
            torch.stack([values[f"{base}.{n}.{part}_proj.weight"] for n in range(3)]) for part in ("gate", "up", "down")
        )
        stacked |= {f"{base}.gate_up_proj": torch.cat([gates, ups], 1), f"{base}.down_proj": downs}
    folder = _folder(tmp_path / "one", stacked, config)
    check_hf(folder)
    with WeightFiles(folder) as files:
        assert all(torch.equal(files.view(name), each) for name, each in values.items())


# ---------------------------------------------------------------------------------------------------------- writing
@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3), min_size=1, max_size=6),
    limit=st.sampled_from([1, 40, 10_000]),
    data=st.data(),
)
def test_what_is_written_is_what_safetensors_reads(
    shapes: list[list[int]], limit: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("out")
    types = [torch.float32, torch.bfloat16, torch.float16]
    values = {f"w{n}": torch.randn(shape).to(types[n % 3]) for n, shape in enumerate(shapes)}
    with WeightWriter(folder, {name: (v.dtype, tuple(v.shape)) for name, v in values.items()}, limit) as writer:
        for name in data.draw(st.permutations(sorted(values))):
            writer.write(name, values[name])
    found = {name: each for path in folder.glob("*.safetensors") for name, each in load_file(path).items()}
    assert found.keys() == values.keys()
    assert all(torch.equal(found[name], each) and found[name].dtype == each.dtype for name, each in values.items())
    files = sorted(path.name for path in folder.glob("*.safetensors"))
    assert (folder / INDEX).exists() == (len(files) > 1)
    if len(files) > 1:
        index = json.loads((folder / INDEX).read_text())
        assert sorted(set(index["weight_map"].values())) == files
        assert index["metadata"]["total_size"] == sum(each.nbytes for each in values.values())


def test_values_are_converted_to_what_was_announced(tmp_path: Path) -> None:
    with WeightWriter(tmp_path, {"w": (torch.bfloat16, (2,))}) as writer:
        writer.write("w", torch.tensor([1.0, 1.00001]))
    assert load_file(tmp_path / SINGLE)["w"].tolist() == [1.0, 1.0]


def test_what_was_announced_has_to_come(tmp_path: Path) -> None:
    writer = WeightWriter(tmp_path, {"w": (torch.float32, (2,))})
    with pytest.raises(ExportError, match=r"w is \[3\] and has to be \[2\]"):
        writer.write("w", torch.zeros(3))
    with pytest.raises(ExportError, match="nothing was written for w"):
        writer.close()


@pytest.mark.parametrize("size", ["", "big", "5 XB", "-1GB", "0", "1.2.3GB"])
def test_sizes_that_are_none(size: str) -> None:
    with pytest.raises(ConfigError, match="is no size of files"):
        parse_size(size)


def test_transformers_reads_files_in_many_parts(
    hf_folder: Callable[..., Path], transformers: Any, tmp_path: Path
) -> None:
    folder = hf_folder("llama", saving={"max_shard_size": "40KB"})
    assert len(list(folder.glob("*.safetensors"))) > 2
    check_hf(folder)
    again = tmp_path / "again"
    again.mkdir()
    (again / "config.json").write_bytes((folder / "config.json").read_bytes())
    with WeightFiles(folder) as files:
        names = {name: (files.dtype(name), files.shape(name)) for name in files.names()}
        with WeightWriter(again, names, "30KB") as writer:
            for name in names:
                writer.write(name, files.view(name))
    one = transformers.AutoModelForCausalLM.from_pretrained(folder).state_dict()
    other = transformers.AutoModelForCausalLM.from_pretrained(again).state_dict()
    assert all(torch.equal(other[name], each) for name, each in one.items())


def test_a_language_model_within_another(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "whole", {f"text.{name}": value for name, value in _values().items()})
    (folder / "config.json").write_text(json.dumps({"text_config": config_to_hf(CONFIG), "model_type": "seeing"}))
    names = {f"text.{name}": name for name in _values()}
    with WeightFiles(folder, names=names.get) as files:
        assert sorted(files.names()) == sorted(_values())
    save_file({"picture": torch.zeros(2), **load_file(folder / SINGLE)}, folder / SINGLE)
    with WeightFiles(folder, names=names.get) as files:
        assert "picture" not in files
