"""Models from folders, and the commands that read them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nemo_core.cli.main import run
from nemo_core.errors import ConfigError, NemoError
from nemo_llm.generation import generate, load_for_generation
from nemo_llm.megatron import engine, engine_running
from nemo_llm.megatron.checkpoint import save_model_folder
from nemo_llm.models import ModelConfig, build_chunks
from nemo_llm.peft import apply_peft, save_adapter
from nemo_llm.tokenizers import ByteTokenizer

CONFIG = ModelConfig(vocab_size=259, hidden_size=32, num_layers=2, num_heads=4, ffn_size=64, max_length=96)
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}bot:{% endif %}"
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, an adapter of it, a checkpoint of a training with adapters, and a run with the model."""
    root = tmp_path_factory.mktemp("models")
    with engine(seed=1):
        chunks: list[Any] = build_chunks(CONFIG)
        for parameter in chunks[0].parameters():
            if parameter.dim() > 1:
                parameter.data.mul_(8)
        tokenizer = ByteTokenizer(chat_template=TEMPLATE)
        save_model_folder(root / "model.dist", chunks, CONFIG, tokenizer=tokenizer)
        save_model_folder(root / "runs" / "latest" / "model.dist", chunks, CONFIG, tokenizer=tokenizer)
        save_model_folder(root / "bare.dist", chunks, CONFIG)
        apply_peft(chunks, {"name": "lora", "dim": 4}, base=root / "model.dist")
        for name, parameter in chunks[0].named_parameters():
            if ".adapter." in name:
                parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
        save_adapter(root / "adapter", chunks, config=CONFIG)
        save_model_folder(root / "tuning" / "checkpoints" / "last.ckpt", chunks, CONFIG)
        (root / "answers.json").write_text(json.dumps(answers(chunks)))
    return root


def answers(model: Any) -> list[int]:
    return generate(model, ["KING"], max_tokens=12, greedy=True, tokenizer=ByteTokenizer(), ignore_eos=True)[0].tokens


@pytest.mark.parametrize("name", ["model.dist", "runs/latest"])
def test_a_model_is_found(name: str, folders: Path) -> None:
    with load_for_generation(folders / name) as model:
        assert model.config == CONFIG
        assert isinstance(model.tokenizer, ByteTokenizer)
        assert len(answers(model)) == 12
    assert not engine_running()


@pytest.mark.parametrize("name", ["adapter", "tuning", "tuning/checkpoints/last.ckpt"])
def test_an_adapter_brings_its_model(name: str, folders: Path) -> None:
    expected = json.loads((folders / "answers.json").read_text())
    with load_for_generation(folders / name) as model:
        assert answers(model) == expected
        assert model.source == folders / "model.dist"
    with load_for_generation(folders / "model.dist") as plain:
        assert answers(plain) != expected
    with load_for_generation(folders / "model.dist", adapter=folders / name) as model:
        assert answers(model) == expected


def test_a_copy_for_speed_says_the_same(folders: Path) -> None:
    said = []
    for pack in (False, True):
        with load_for_generation(folders / "model.dist", pack=pack) as model:
            said.append(answers(model))
            first = model.decoder().parts[0].layers[0].feed_forward.enter.product
            assert (first.turned is not None) == pack
    assert said[0] == said[1]


def test_types_are_chosen_by_name(folders: Path) -> None:
    with load_for_generation(folders / "model.dist", dtype="bfloat16") as model:
        assert next(model.chunks[0].parameters()).dtype == torch.bfloat16
        assert len(answers(model)) == 12
    with pytest.raises(ConfigError, match="float33"):
        load_for_generation(folders / "model.dist", dtype="float33")
    assert not engine_running()


def test_the_peft_library_reads_and_writes_them_too(folders: Path, tmp_path: Path) -> None:
    expected = json.loads((folders / "answers.json").read_text())
    assert run(["llm", "export", "peft", str(folders / "adapter"), "-o", str(tmp_path / "theirs")]) == 0
    assert (tmp_path / "theirs" / "adapter_config.json").is_file()
    with load_for_generation(folders / "model.dist", adapter=tmp_path / "theirs") as model:
        assert answers(model) == expected
    command = ["llm", "import", "peft", str(tmp_path / "theirs"), "-o", str(tmp_path / "ours")]
    assert run(command) == 2  # it does not say of which model
    assert run([*command, "--base", str(folders / "model.dist")]) == 0
    with load_for_generation(tmp_path / "ours") as model:
        assert answers(model) == expected


def test_merged_models_are_models(folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    merged = str(tmp_path / "merged.dist")
    assert run(["llm", "merge", str(folders / "tuning"), "-o", merged]) == 0
    assert run(["llm", "merge", str(folders / "tuning"), "-o", merged]) == 2
    assert "exists already" in capsys.readouterr().err
    with load_for_generation(merged) as model:
        assert answers(model) == json.loads((folders / "answers.json").read_text())
        assert isinstance(model.tokenizer, ByteTokenizer)
    assert run(["llm", "merge", str(folders / "model.dist"), "-o", str(tmp_path / "x")]) == 2
    assert "is no adapter" in capsys.readouterr().err


def test_one_prompt_is_answered_with_its_text(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["llm", "generate", str(folders / "model.dist"), "--prompt", "KING RICHARD:", "--max-tokens", "20"]
    assert run([*command, "--seed", "1"]) == 0
    said = capsys.readouterr().out
    assert run([*command, "--seed", "1"]) == 0
    assert capsys.readouterr().out == said
    assert run([*command, "--seed", "1", "--echo"]) == 0
    assert capsys.readouterr().out == f"KING RICHARD:{said}"
    assert run([*command, "--seed", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["prompt"], each["text"] + "\n") for each in found] == [("KING RICHARD:", said)]


def test_an_end_that_the_model_forces_is_announced(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["llm", "generate", str(folders / "model.dist"), "-p", "To be", "--ignore-eos"]
    assert run([*command, "--max-tokens", "200", "--json"]) == 0
    said = capsys.readouterr()
    assert "note: the model takes 96 tokens, prompt included" in said.err
    assert json.loads(said.out)[0]["tokens"] == 96 - len("To be")
    assert run([*command, "--max-tokens", "9"]) == 0
    assert "note" not in capsys.readouterr().err


def test_prompts_come_from_files(folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "prompts.txt"
    lines.write_text("To be\n\nor not\n")
    command = ["llm", "generate", str(folders / "model.dist"), "--greedy", "--max-tokens", "4", "--json"]
    assert run([*command, "-p", "first", "--prompts-file", str(lines)]) == 0
    assert [each["prompt"] for each in json.loads(capsys.readouterr().out)] == ["first", "To be", "or not"]
    talks = tmp_path / "prompts.jsonl"
    talks.write_text('{"prompt": "To be"}\n{"messages": [{"role": "user", "content": "Hi"}]}\n')
    assert run([*command, "--prompts-file", str(talks)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[1]["messages"] == [{"role": "user", "content": "Hi"}]
    assert run([*command[:-1], "--prompts-file", str(lines)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("> To be\n")
    assert "\n\n> or not\n" in said


def test_conversations_are_written_as_the_template_says(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["llm", "generate", str(folders / "model.dist"), "--greedy", "--max-tokens", "6"]
    assert run([*command, "--chat", "--system", "Be brief.", "-p", "Hi"]) == 0
    said = capsys.readouterr().out
    assert run([*command, "-p", "system: Be brief.\nuser: Hi\nbot:"]) == 0
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "-p", "a"], "nowhere does not exist"),
        (["{folders}/runs", "-p", "a"], "holds no model"),
        (["{folders}/bare.dist", "-p", "a"], "has no tokenizer"),
        (["{folders}/model.dist"], "there is no prompt"),
        (["{folders}/model.dist", "-p", ""], "prompt 1 is empty"),
        (["{folders}/model.dist", "-p", "x" * 100], "prompt 1 has 100 tokens; the model takes 96"),
        (["{folders}/model.dist", "-p", "a", "--temperature", "-1"], "temperature is -1"),
        (["{folders}/model.dist", "-p", "a", "--system", "x"], "--chat"),
        (["{folders}/model.dist", "-p", "a", "--prompts-file", "{folders}/none.txt"], "cannot be read"),
        (["{folders}/model.dist", "--prompts-file", "{folders}/bad.jsonl"], "bad.jsonl:1 has no prompt"),
        (["{folders}/model.dist", "-p", "a", "--adapter", "{folders}/model.dist"], "is no adapter"),
        (["{folders}/model.dist", "-p", "a", "--nproc", "3"], "num_heads 4 cannot be divided by tensor 3"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], words: str, folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders / "bad.jsonl").write_text('{"text": "a"}\n')
    assert run(["llm", "generate", *(each.replace("{folders}", str(folders)) for each in arguments)]) == 2
    assert words in capsys.readouterr().err
    assert not engine_running()


def test_another_tokenizer_is_refused(folders: Path, tmp_path: Path) -> None:
    from nemo_llm.tokenizers import CharacterTokenizer

    CharacterTokenizer("abc").save(tmp_path)
    with pytest.raises(NemoError, match="do not belong together"):
        load_for_generation(folders / "model.dist", tokenizer=tmp_path)


def test_several_processes_say_what_one_does(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["llm", "generate", str(folders / "model.dist"), "-p", "KING", "--max-tokens", "12", "--seed", "4"]
    assert run(command) == 0
    main = "import sys; from nemo_core.cli.main import main; main(sys.argv[1:])"
    arguments = [sys.executable, "-c", main, *command, "--nproc", "2"]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert said == capsys.readouterr().out
    assert len(said.strip()) > 0
