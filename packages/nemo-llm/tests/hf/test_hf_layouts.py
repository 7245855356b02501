"""Folders of transformers into divided models and back: the same bits; errors reach all processes, and none hangs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from nemo_core.errors import NemoError
from nemo_llm.hf import load_hf, read_hf_config, save_hf
from nemo_llm.megatron import Layout, engine
from nemo_llm.testing import Ranks

TOKENS = torch.arange(20)[None] * 3 % 97


def _there_and_back(source: str, target: str, layout: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    config = read_hf_config(source)
    with engine(Layout.from_dict(layout)):
        from nemo_llm.models import build_chunks

        chunks = build_chunks(config, Layout.from_dict(layout), seed=None)
        load_hf(source, chunks)
        save_hf(target, chunks, config, **options)
        found = {name: list(each.shape) for chunk in chunks for name, each in chunk.named_parameters()}
        logits = None
        if not {"pipeline", "context"} & set(layout):
            with torch.no_grad():
                logits = chunks[0].eval()(TOKENS, None, None, runtime_gather_output=True)[..., : config.vocab_size]
        return {"shapes": found, "logits": None if logits is None else logits.tolist()}


def _check(source: Path, target: Path, answers: list[dict[str, Any]], transformers: Any) -> None:
    """The way back is exact, and what each process computes is what transformers computes."""
    one = {name: each for path in source.glob("*.safetensors") for name, each in load_file(path).items()}
    other = {name: each for path in target.glob("*.safetensors") for name, each in load_file(path).items()}
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
    theirs = transformers.AutoModelForCausalLM.from_pretrained(source, attn_implementation="eager").eval()
    with torch.no_grad():
        expected = theirs(TOKENS).logits
    for answer in answers:
        if answer["logits"] is not None:
            torch.testing.assert_close(torch.tensor(answer["logits"]), expected, atol=1e-4, rtol=0)


def _what_goes_wrong(source: str, target: str, layout: dict[str, Any], change: str) -> str:
    from torch import distributed

    config = read_hf_config(source)
    rank = distributed.get_rank()
    with engine(Layout.from_dict(layout)):
        from nemo_llm.models import build_chunks

        chunks = build_chunks(config, Layout.from_dict(layout), seed=None)
        load_hf(source, chunks)
        if change == "unknown weight" and rank == 1:
            chunks[0].extra = torch.nn.Parameter(torch.zeros(1))
        if change == "no chunks" and rank == 1:
            chunks = []
        if change == "broken writer" and rank == 0:
            from nemo_llm.hf.writing import WeightWriter

            written = WeightWriter.write

            def write(self: Any, name: str, tensor: Any) -> None:
                if "layers.1" in name:
                    raise OSError(28, "No space left on device")
                written(self, name, tensor)

            WeightWriter.write = write  # type: ignore[method-assign]
        try:
            save_hf(target, chunks, config)
        except (NemoError, OSError) as error:
            return str(error)
        finally:
            if change == "broken writer" and rank == 0:
                WeightWriter.write = written  # type: ignore[method-assign]
    return "nothing"


TWO = [
    ("llama", {"tensor": 2}, {"attention_bias": True, "mlp_bias": True}),
    ("gpt2", {"tensor": 2}, {}),
    ("phi3", {"tensor": 2, "sequence_parallel": True}, {}),
    ("llama", {"tensor": 2}, {"num_key_value_heads": 1}),  # less groups of heads than processes
    ("gemma3", {"pipeline": 2}, {"num_hidden_layers": 4}),
    ("gemma2", {"pipeline": 2, "virtual_pipeline": 2}, {"num_hidden_layers": 4}),
    ("qwen2_moe", {"expert": 2}, {"mlp_only_layers": [1]}),
    ("mixtral", {"tensor": 2, "expert_tensor": 1, "expert": 2, "sequence_parallel": True}, {}),
    ("qwen3_moe", {"tensor": 2}, {}),
    ("llama", {"context": 2}, {}),
    ("deepseek_v3", {"tensor": 2}, {}),
    ("deepseek_v2", {"expert": 2}, {}),
]
FOUR = [
    ("llama", {"tensor": 4}, {"num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 97}),
    ("qwen2", {"tensor": 2, "pipeline": 2}, {"num_hidden_layers": 4, "tie_word_embeddings": True}),
    ("qwen3_moe", {"tensor": 2, "expert": 2, "sequence_parallel": True}, {}),
    ("qwen2_moe", {"pipeline": 2, "expert": 2}, {"num_hidden_layers": 2}),
]


def _ids(cases: list[tuple[str, dict[str, Any], dict[str, Any]]]) -> list[str]:
    return [f"{family}-{Layout.from_dict(layout)}-{n}".replace(" ", "-") for n, (family, layout, _) in enumerate(cases)]


@pytest.mark.parametrize(("family", "layout", "changes"), TWO, ids=_ids(TWO))
def test_two_processes(
    family: str, layout: dict[str, Any], changes: dict[str, Any], two_ranks: Ranks, hf_folder: Callable[..., Path],
    tmp_path: Path, transformers: Any,
) -> None:  # fmt: skip
    folder = hf_folder(family, **changes)
    options = {"max_shard_size": "50KB"}
    answers = two_ranks.run(_there_and_back, str(folder), str(tmp_path / "ours"), layout, options)
    _check(folder, tmp_path / "ours", answers, transformers)


@pytest.mark.parametrize(("family", "layout", "changes"), FOUR, ids=_ids(FOUR))
def test_four_processes(
    family: str, layout: dict[str, Any], changes: dict[str, Any], four_ranks: Ranks, hf_folder: Callable[..., Path],
    tmp_path: Path, transformers: Any,
) -> None:  # fmt: skip
    folder = hf_folder(family, **changes)
    answers = four_ranks.run(_there_and_back, str(folder), str(tmp_path / "ours"), layout, {})
    _check(folder, tmp_path / "ours", answers, transformers)


def test_each_process_has_its_share_only(two_ranks: Ranks, hf_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = hf_folder("llama")
    answers = two_ranks.run(
        _there_and_back, str(folder), str(tmp_path / "ours"), {"tensor": 2}, {"dtype": torch.bfloat16}
    )
    assert answers[0]["shapes"]["embedding.word_embeddings.weight"] == [49, 48]  # 97 tokens and one row that fills up
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert (config["vocab_size"], config["dtype"], config["torch_dtype"]) == (97, "bfloat16", "bfloat16")
    assert load_file(tmp_path / "ours" / "model.safetensors")["lm_head.weight"].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("unknown weight", "has a weight extra, which its family has no name for"),
        ("no chunks", "no process has decoder.layers"),
        ("broken writer", "No space left on device"),
    ],
)
def test_what_goes_wrong_in_one_is_told_by_all(
    change: str, told: str, two_ranks: Ranks, hf_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = hf_folder("llama", num_hidden_layers=2)
    answers = two_ranks.run(_what_goes_wrong, str(folder), str(tmp_path / "ours"), {"pipeline": 2}, change)
    assert all(told in answer for answer in answers), answers
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs"]  # nothing half written is left
