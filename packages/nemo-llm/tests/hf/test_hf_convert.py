"""The commands ``nemo llm import hf`` and ``nemo llm export hf``: folders there and back, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from nemo_core.cli.main import run
from nemo_core.errors import ArchiveError, ConfigError, NemoError
from nemo_llm.hf import check_hf, export_hf, import_hf, save_hf
from nemo_llm.megatron.checkpoint import read_manifest
from nemo_llm.tokenizers import train_tokenizer


@pytest.fixture
def source(hf_folder: Callable[..., Path]) -> Path:
    """A small Llama with a tokenizer of its own, as a person has it from a hub."""
    folder = hf_folder("llama", vocab_size=300, saving={"max_shard_size": "60KB"})
    tokenizer = train_tokenizer(["to be or not to be"], kind="byte_level_bpe", vocab_size=300, special_tokens=["<s>"])
    tokenizer.save(folder)
    settings = {"eos_token_id": [2, 7], "temperature": 0.7, "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: each for path in sorted(folder.glob("*.safetensors")) for name, each in load_file(path).items()}


def test_there_and_back_by_command(
    source: Path, tmp_path: Path, transformers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, again = tmp_path / "llama.dist", tmp_path / "again"
    assert run(["llm", "import", "hf", str(source), "-o", str(ours)]) == 0
    assert "llama, " in capsys.readouterr().out
    manifest = read_manifest(ours)
    assert manifest.config.vocab_size == 300
    assert manifest.tokenizer is not None
    assert run(["llm", "export", "hf", str(ours), "-o", str(again), "--max-shard-size", "60KB"]) == 0
    before, after = _weights(source), _weights(again)
    assert before.keys() == after.keys()
    assert all(torch.equal(each, after[name]) for name, each in before.items())
    assert json.loads((again / "generation_config.json").read_text())["eos_token_id"] == [2, 7]
    config = json.loads((again / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"], config["dtype"]) == (1, 2, "float32")
    reader = transformers.AutoTokenizer.from_pretrained(again)
    assert reader("to be", add_special_tokens=False)["input_ids"] == train_tokens(source)
    model = transformers.AutoModelForCausalLM.from_pretrained(again)
    assert model.generation_config.temperature == 0.7


def train_tokens(folder: Path) -> list[int]:
    from nemo_llm.tokenizers import load_tokenizer

    return load_tokenizer(folder).encode("to be")


def test_other_types_and_outputs_that_are_there(source: Path, tmp_path: Path) -> None:
    ours, again = tmp_path / "llama.dist", tmp_path / "again"
    import_hf(source, ours, dtype=torch.bfloat16)
    with pytest.raises(NemoError, match="exists already"):
        import_hf(source, ours)
    import_hf(source, ours, overwrite=True)
    export_hf(ours, again, dtype=torch.bfloat16)
    assert check_hf(again)[1] == torch.bfloat16
    assert run(["llm", "export", "hf", str(ours), "-o", str(again), "--dtype", "fp32"]) == 2
    assert run(["llm", "export", "hf", str(ours), "-o", str(again), "--dtype", "fp32", "--overwrite"]) == 0
    assert check_hf(again)[1] == torch.float32
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert run(["llm", "export", "hf", str(ours), "-o", str(tmp_path / "new"), "--dtype", "int3"]) == 2


def test_half_precision_is_kept_and_so_are_biases_in_full(hf_model: Callable[..., Any], tmp_path: Path) -> None:
    model = hf_model("deepseek_v3")
    biases = {name: each.clone() for name, each in model.state_dict().items() if "correction_bias" in name}
    model.to(torch.bfloat16)
    for name, module in model.named_modules():
        if f"{name}.e_score_correction_bias" in biases:  # as the published weights have it
            module.e_score_correction_bias = biases[f"{name}.e_score_correction_bias"]
    model.save_pretrained(tmp_path / "theirs")
    import_hf(tmp_path / "theirs", tmp_path / "deepseek.dist")
    export_hf(tmp_path / "deepseek.dist", tmp_path / "again")
    before, after = _weights(tmp_path / "theirs"), _weights(tmp_path / "again")
    assert {each.dtype for each in before.values()} == {torch.bfloat16, torch.float32}
    assert before.keys() == after.keys()
    assert all(torch.equal(each, after[name]) and each.dtype == after[name].dtype for name, each in before.items())


def test_what_cannot_be_taken_over_is_refused_before_anything_is_written(source: Path, tmp_path: Path) -> None:
    (source / sorted(source.glob("*.safetensors"))[0].name).unlink()
    with pytest.raises(ArchiveError, match="lacks model-00001"):
        import_hf(source, tmp_path / "llama.dist")
    with pytest.raises(ConfigError, match=r"config\.json cannot be read"):
        import_hf(tmp_path / "nowhere", tmp_path / "llama.dist")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs"]


def test_the_tokenizer_of_another_model(source: Path, tmp_path: Path) -> None:
    train_tokenizer(["a b c"], kind="characters").save(source)
    larger = train_tokenizer([chr(n) for n in range(100, 800)], kind="characters", vocab_size=900)
    larger.save(source)
    (source / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="and the model knows 300"):
        import_hf(source, tmp_path / "llama.dist")


def test_a_folder_of_transformers_is_not_exported_again(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a folder of transformers already"):
        export_hf(source, tmp_path / "again")


def test_a_model_that_no_architecture_can_say(tmp_path: Path) -> None:
    from nemo_llm.models.config import ModelConfig

    with pytest.raises(ConfigError, match="LlamaForCausalLM cannot say"):
        save_hf(tmp_path / "out", [], ModelConfig(family="llama", attention_softcap=3.0))
    assert not (tmp_path / "out").exists()
