"""Adapters on a model: what they change, what stays as it was, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nemo_core.errors import ArchiveError, ConfigError, NemoError
from nemo_llm.generation import Decoder
from nemo_llm.megatron import engine
from nemo_llm.models import Experts, LatentAttention, ModelConfig, build_gpt
from nemo_llm.peft import LoRA, apply_peft, load_adapter, merge, parse_spec, read_adapter, save_adapter
from nemo_llm.peft.adapter import Adapted
from nemo_llm.peft.apply import adapter_note, matrices, take_off

SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 4,
    "num_kv_heads": 2,
    "ffn_size": 64,
}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "biases": {"gated": False, "qkv_bias": True, "attention_bias": True, "mlp_bias": True, "norm": "layer"},
    "mixture": {"experts": Experts(count=4, per_token=2, ffn_size=32, shared_ffn_size=32)},
    "latent": {"latent": LatentAttention(q_rank=12, kv_rank=16, nope_dim=8, rope_dim=8, value_dim=12)},
}
TOKENS = torch.arange(10)[None]


@pytest.fixture(autouse=True, scope="module")
def running() -> Iterator[None]:
    with engine(seed=1):
        yield


def model_of(name: str = "llama", **options: Any) -> Any:
    return build_gpt(ModelConfig(**{**SIZES, **MODELS[name]}), **options).eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(TOKENS, None, None)
    return found


def shake(model: Any) -> None:
    """Let adapters do something: new ones change nothing."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".adapter." in name:
                parameter.add_(0.3 * torch.randn_like(parameter))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_new_adapters_change_nothing_and_merged_ones_stay(name: str, kind: str) -> None:
    model = model_of(name)
    before = logits(model)
    apply_peft(model, {"name": kind, "dim": 4, "targets": ["*.linear_*"]})
    torch.testing.assert_close(logits(model), before, atol=1e-5, rtol=1e-5)
    shake(model)
    changed = logits(model)
    assert (changed - before).abs().max() > 0.01
    stepwise = Decoder([model], model.architecture).start([TOKENS[0].tolist()], 1)
    torch.testing.assert_close(stepwise, changed[:, -1], atol=1e-5, rtol=1e-5)
    merge(model)
    assert not any(isinstance(module, Adapted) for module in model.modules())
    assert not any(".adapter." in key for key in model.state_dict())
    torch.testing.assert_close(logits(model), changed, atol=2e-5, rtol=1e-5)


def test_only_adapters_learn() -> None:
    model = model_of()
    apply_peft(model, "lora")
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning
    assert all(".adapter." in name for name in learning)
    shapes = {name.rpartition("layers.0.")[2]: tuple(p.shape) for name, p in model.named_parameters() if ".0." in name}
    assert shapes["self_attention.linear_qkv.adapter.linear_q.lora_a"] == (16, 32)
    assert shapes["self_attention.linear_qkv.adapter.linear_k.lora_b"] == (16, 16)
    assert shapes["self_attention.linear_proj.adapter.linear_proj.lora_b"] == (32, 16)


def test_adapters_come_off_again() -> None:
    model = model_of()
    before, keys = logits(model), set(model.state_dict())
    apply_peft(model, "dora")
    shake(model)
    take_off(model)
    assert set(model.state_dict()) == keys
    assert torch.equal(logits(model), before)
    assert adapter_note(model) is None


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["linear_proj"], {"layers.0.self_attention.linear_proj", "layers.1.self_attention.linear_proj"}),
        (["layers.1.*"], {f"layers.1.{each}" for each in (
            "self_attention.linear_qkv", "self_attention.linear_proj", "mlp.linear_fc1", "mlp.linear_fc2")}),
        (["linear_v"], {"layers.0.self_attention.linear_qkv", "layers.1.self_attention.linear_qkv"}),
        (["layers.[0-0].mlp.linear_fc?"], {"layers.0.mlp.linear_fc1", "layers.0.mlp.linear_fc2"}),
    ],
)  # fmt: skip
def test_targets_are_names_parts_and_patterns(targets: list[str], expected: set[str]) -> None:
    model = model_of()
    apply_peft(model, {"targets": targets})
    assert {name for name, matrix in matrices(model) if isinstance(matrix, Adapted)} == expected


def test_a_part_has_an_adapter_of_its_own() -> None:
    model = model_of()
    apply_peft(model, {"targets": ["linear_v"], "dim": 2, "dims": {"layers.1.*": 5}, "alphas": {"linear_v": 7.0}})
    keys = [key for key in model.state_dict() if ".adapter." in key]
    assert {key.split(".")[-2] for key in keys} == {"linear_v"}
    assert [p.shape[0] for name, p in model.named_parameters() if name.endswith("lora_a")] == [2, 5]
    first = model.decoder.layers[0].self_attention.linear_qkv
    shake(model)
    delta = first.delta_weight().reshape(2, 4, 8, 32)  # a group: two heads of queries, one of keys, one of values
    assert not delta[:, :3].any()
    assert delta[:, 3].abs().max() > 0.01
    assert first.adapter["linear_v"].scale == 3.5


def test_dropout_is_for_training_only() -> None:
    for position in ("pre", "post"):
        model = model_of()
        apply_peft(model, {"dropout": 0.5, "dropout_position": position})
        shake(model)
        assert torch.equal(logits(model), logits(model))
        model.train()
        assert not torch.equal(logits(model), logits(model))


def test_dropout_keeps_the_mean() -> None:
    model = model_of()
    apply_peft(model, {"dropout": 0.3, "targets": ["linear_proj"]})
    shake(model)
    matrix, x = model.decoder.layers[0].self_attention.linear_proj, torch.ones(400, 8, 32)
    with torch.no_grad():
        expected = matrix(x)[0][0, 0]
        matrix.train()
        found = matrix(x)[0].flatten(0, 1).mean(0)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)


def test_rslora_scales_by_the_root() -> None:
    assert LoRA(dim=16, alpha=8, rslora=True).scale_of("linear_proj") == 2.0


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("loar", ["'loar'", "did you mean lora"]),
        ({"name": "lora", "dims": {"linear_qkw": 4}}, ["peft.dims", "linear_qkw", "did you mean linear_qkv"]),
        ({"targets": ["linear_qvk"]}, ["linear_qvk", "did you mean linear_qkv", "linear_proj"]),
        ({"targets": ["layers.7.*"]}, ["layers.7.*", "layers.0.mlp.linear_fc1"]),
        ({"droput": 0.1}, ["peft.droput", "did you mean dropout"]),
        ({"dim": 0}, ["peft.dim is 0"]),
        ({"dim": 2.5}, ["peft.dim is 2.5"]),
        ({"alpha": -1}, ["peft.alpha"]),
        ({"dropout": 1.0}, ["peft.dropout"]),
        ({"dropout_position": "middle"}, ["dropout_position"]),
        ({"targets": []}, ["peft.targets is empty"]),
        ({"name": "dora", "dora": False}, ["dora"]),
        ({"name": "dora", "dropout": 0.1, "dropout_position": "post"}, ["DoRA"]),
    ],
)
def test_what_is_wrong_is_named(spec: Any, words: list[str]) -> None:
    model = model_of()
    with pytest.raises(ConfigError) as caught:
        apply_peft(model, spec)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_second_adapter_is_refused() -> None:
    model = model_of()
    apply_peft(model, "lora")
    with pytest.raises(ConfigError, match="adapters already"):
        apply_peft(model, "lora")


def test_specs_survive_their_plain_values() -> None:
    spec = parse_spec({"name": "dora", "dim": 4, "targets": "linear_proj", "dims": {"layers.0.*": 2}})
    assert parse_spec(spec.to_dict()) == spec


def test_an_adapter_is_saved_and_loaded(tmp_path: Path) -> None:
    model = model_of("mixture")
    apply_peft(model, {"name": "dora", "dim": 4, "targets": ["*.linear_*"], "dims": {"linear_proj": 2}})
    shake(model)
    expected = logits(model)
    save_adapter(tmp_path / "adapter", model, base="model.dist", config=model.architecture)
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == ["adapter.json", "adapter.safetensors"]
    other = model_of("mixture")
    load_adapter(tmp_path / "adapter", other, config=other.architecture)
    assert torch.equal(logits(other), expected)
    assert read_adapter(tmp_path / "adapter").base == "model.dist"


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    model = model_of()
    with pytest.raises(ConfigError, match="no adapter to save"):
        save_adapter(tmp_path / "adapter", model)
    apply_peft(model, "lora")
    save_adapter(tmp_path / "adapter", model, base="model.dist", config=model.architecture)
    other = model_of("biases")
    with pytest.raises(ArchiveError, match=r"gated, .*differ"):
        load_adapter(tmp_path / "adapter", other, config=other.architecture)
    wider = build_gpt(ModelConfig(**{**SIZES, "num_kv_heads": 4}))
    with pytest.raises(ArchiveError, match=r"linear_k.lora_b is \[16, 16\], and the model needs \[32, 16\]"):
        load_adapter(tmp_path / "adapter", wider)
    deeper = build_gpt(ModelConfig(**{**SIZES, "num_layers": 3}))
    with pytest.raises(ArchiveError, match=r"has no layers\.2"):
        load_adapter(tmp_path / "adapter", deeper)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "adapter.json").unlink(), "is no adapter"),
        (lambda folder: (folder / "adapter.safetensors").unlink(), "has no adapter.safetensors"),
        (lambda folder: (folder / "adapter.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "adapter.json").write_text('{"format": "x", "version": 1, "peft": {}}'), "format"),
        (
            lambda folder: (folder / "adapter.json").write_text(
                '{"format": "nemo-llm-adapter", "version": 9, "peft": {}}'
            ),
            "format 9",
        ),
        (lambda folder: (folder / "adapter.safetensors").write_bytes(b"x" * 20), "cannot be read"),
    ],
)
def test_a_damaged_folder_is_refused(spoil: Any, words: str, tmp_path: Path) -> None:
    model = model_of()
    apply_peft(model, "lora")
    folder = save_adapter(tmp_path / "adapter", model)
    spoil(folder)
    with pytest.raises(NemoError, match=words):
        read_adapter(folder)
