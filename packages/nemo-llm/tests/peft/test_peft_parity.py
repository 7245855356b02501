"""Adapters of the library peft: the same logits, both ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nemo_core.errors import ArchiveError, ConfigError, ExportError
from nemo_llm.megatron import engine
from nemo_llm.models import build_gpt
from nemo_llm.peft import apply_peft, export_peft, import_peft, take_off
from nemo_llm.peft.apply import adapter_note

pytest.importorskip("transformers")
library = pytest.importorskip("peft")

TOKENS = torch.arange(12)[None] % 40
SMALL: dict[str, Any] = {
    "vocab_size": 48,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
#: Configuration of transformers, and what is adapted, in our words and in theirs.
FAMILIES: dict[str, tuple[str, dict[str, Any], list[str], list[str]]] = {
    "llama": (
        "LlamaConfig",
        SMALL,
        ["linear_qkv", "linear_proj", "linear_fc1", "linear_fc2"],
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    ),
    "llama, queries and values": ("LlamaConfig", SMALL, ["linear_q", "linear_v"], ["q_proj", "v_proj"]),
    "qwen2": ("Qwen2Config", SMALL, ["linear_qkv", "layers.1.mlp.linear_fc2"], ["q_proj", "v_proj"]),
    "gemma2": (
        "Gemma2Config",
        {**SMALL, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 8},
        ["linear_qkv", "linear_fc1"],
        ["q_proj", "gate_proj"],
    ),
    "gpt2": (
        "GPT2Config",
        {"vocab_size": 48, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
        ["linear_qkv", "linear_proj", "linear_fc1", "linear_fc2"],
        ["c_attn", "c_fc", "c_proj"],
    ),
    "phi3": (
        "Phi3Config",
        {**SMALL, "tie_word_embeddings": False},
        ["linear_q", "linear_v", "linear_proj", "linear_fc1_gate"],
        ["qkv_proj", "gate_up_proj"],
    ),
    "mixtral": (
        "MixtralConfig",
        {**SMALL, "num_local_experts": 4, "num_experts_per_tok": 2},
        ["linear_qkv", "linear_proj"],
        ["q_proj", "k_proj", "v_proj", "o_proj"],
    ),
}


@pytest.fixture(autouse=True, scope="module")
def running() -> Iterator[None]:
    with engine(seed=1):
        yield


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """Folder and model of transformers, by the name of the configuration, as they are needed."""
    return {"": (tmp_path_factory.mktemp("bases"), None)}


def theirs_and_ours(family: str, bases: dict[str, tuple[Path, Any]]) -> tuple[Any, Any]:
    """Return the model of transformers and ours, with the same weights."""
    import transformers

    from nemo_llm.hf import load_hf, read_hf_config

    kind, values = FAMILIES[family][:2]
    folder = bases[""][0] / kind
    if kind not in bases:
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**values))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.save_pretrained(folder)
        bases[kind] = (folder, model)
    config = read_hf_config(folder)
    ours = build_gpt(config, seed=None).eval()
    load_hf(folder, [ours], config)
    fresh = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return fresh.eval(), ours


def shake(model: Any, word: str) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if word in name:
                parameter.add_(0.2 * torch.randn_like(parameter))


def assert_same_logits(theirs: Any, ours: Any) -> None:
    with torch.no_grad():
        torch.testing.assert_close(ours(TOKENS, None, None), theirs(TOKENS).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("settings", [{}, {"rslora": True}, {"name": "dora"}], ids=["lora", "rslora", "dora"])
def test_ours_in_their_library(family: str, settings: dict[str, Any], bases: Any, tmp_path: Path) -> None:
    theirs, ours = theirs_and_ours(family, bases)
    apply_peft(ours, {"dim": 4, "alpha": 6.0, "targets": FAMILIES[family][2], "dims": {"layers.1.*": 3}, **settings})
    shake(ours, ".adapter.")
    with torch.no_grad():
        before = theirs(TOKENS).logits
    if settings.get("name") == "dora" and family == "phi3":
        with pytest.raises(ExportError, match=r"DoRA on a part of model\.layers\.0\.\w+\.\w+_proj"):
            export_peft(ours, tmp_path / "adapter")
        assert not (tmp_path / "adapter").exists()
        return
    export_peft(ours, tmp_path / "adapter", base="somewhere/base")
    adapted = library.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    with torch.no_grad():
        assert (adapted(TOKENS).logits - before).abs().max() > 0.01
    assert_same_logits(adapted, ours)
    shake(ours, ".adapter.")
    take_off(ours)
    import_peft(tmp_path / "adapter", ours)
    assert_same_logits(adapted, ours)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["lora", "rslora", "dora"])
def test_theirs_in_our_model(family: str, kind: str, bases: Any, tmp_path: Path) -> None:
    theirs, ours = theirs_and_ours(family, bases)
    targets = FAMILIES[family][3]
    settings = library.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=targets,
        use_rslora=kind == "rslora",
        use_dora=kind == "dora",
        rank_pattern={targets[0]: 3},
        alpha_pattern={f"layers.1.self_attn.{targets[0]}": 9},
        fan_in_fan_out=family == "gpt2",
    )
    adapted = library.get_peft_model(theirs, settings).eval()
    shake(adapted, "lora_")
    adapted.save_pretrained(tmp_path / "adapter")
    spec = import_peft(tmp_path / "adapter", ours)
    assert (spec.rslora, spec.dora) == (kind == "rslora", kind == "dora")
    assert_same_logits(adapted, ours)
    if kind != "dora":
        export_peft(ours, tmp_path / "again")
        mine, other = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("adapter", "again"))
        assert set(mine) == set(other)
        assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_names_are_short_where_they_can_be(bases: Any, tmp_path: Path) -> None:
    ours = theirs_and_ours("qwen2", bases)[1]
    apply_peft(ours, {"targets": FAMILIES["qwen2"][2]})
    export_peft(ours, tmp_path / "adapter")
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert settings["target_modules"] == ["model.layers.1.mlp.down_proj", "k_proj", "q_proj", "v_proj"] or set(
        settings["target_modules"]
    ) == {"model.layers.1.mlp.down_proj", "k_proj", "q_proj", "v_proj"}


def test_experts_have_no_names_there(bases: Any, tmp_path: Path) -> None:
    ours = theirs_and_ours("mixtral", bases)[1]
    apply_peft(ours, {"targets": ["linear_fc1"]})
    with pytest.raises(ExportError, match=r"experts\.local_experts\.0\.linear_fc1"):
        export_peft(ours, tmp_path / "adapter")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"init_lora_weights": "pissa"}, "pissa"),
    ],
)
def test_other_kinds_are_refused(change: dict[str, Any], words: str, bases: Any, tmp_path: Path) -> None:
    ours = theirs_and_ours("llama", bases)[1]
    apply_peft(ours, "lora")
    folder = export_peft(ours, tmp_path / "adapter")
    take_off(ours)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConfigError, match=words):
        import_peft(folder, ours)
    assert adapter_note(ours) is None


def test_weights_that_do_not_fit_are_refused(bases: Any, tmp_path: Path) -> None:
    ours = theirs_and_ours("llama", bases)[1]
    apply_peft(ours, {"targets": ["linear_q"], "dim": 4})
    folder = export_peft(ours, tmp_path / "adapter")
    take_off(ours)
    file = folder / "adapter_model.safetensors"
    good = load_file(file)
    first = sorted(good)[0]
    for spoiled, words in (
        ({**good, "base_model.model.lm_head.lora_A.weight": torch.zeros(4, 32)}, "lm_head"),
        ({name: value for name, value in good.items() if name != first}, "are needed"),
        ({**good, first: torch.zeros(4, 33)}, "the model needs"),
        ({}, "no weights of an adapter"),
    ):
        save_file(spoiled, file)
        with pytest.raises(ArchiveError, match=words):
            import_peft(folder, ours)
        take_off(ours)
    (folder / "adapter_config.json").write_text("[")
    with pytest.raises(ArchiveError, match="cannot be read"):
        import_peft(folder, ours)
    with pytest.raises(ArchiveError, match="no adapter of peft"):
        import_peft(tmp_path, ours)
