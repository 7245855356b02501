"""BERT and T5 against transformers: the same logits, and the same bits after the way there and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nemo_core.errors import ArchiveError, ConfigError
from nemo_llm.hf import config_from_hf, config_to_hf, export_hf, import_hf, load_hf, save_hf
from nemo_llm.megatron import Layout, engine
from nemo_llm.models.bert import BertConfig, MaskedLanguageModel
from nemo_llm.models.chunks import chunks_of
from nemo_llm.models.t5 import EncoderDecoderModel, T5Config

BERT: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "intermediate_size": 56,
    "max_position_embeddings": 40,
}
T5: dict[str, Any] = {
    "vocab_size": 97,
    "d_model": 48,
    "d_kv": 10,
    "d_ff": 56,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 6,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("bert", "BertForMaskedLM", {}),
    ("bert-tanh", "BertForMaskedLM", {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "type_vocab_size": 3}),
    ("bert-next-sentence", "BertForPreTraining", {}),
    ("t5", "T5ForConditionalGeneration", {}),
    ("t5-1.1", "T5ForConditionalGeneration", GATED),
    ("t5-heads", "T5ForConditionalGeneration", {**GATED, "d_kv": 8, "num_decoder_layers": None, "pad_token_id": 5}),
]
_LENGTHS = torch.tensor([[30], [11]])
MASK = (torch.arange(30) < _LENGTHS).int()
TOKENS, TYPES = torch.randint(0, 97, (2, 30), generator=torch.Generator().manual_seed(1)), torch.arange(30) // 15 % 2


@pytest.fixture
def folder_of(transformers: Any, tmp_path: Path) -> Callable[..., Path]:
    """A function that saves a random model, its weights spread widely enough that every one of them matters."""

    def make(name: str, **changes: Any) -> Path:
        values = {**(T5 if name.startswith("T5") else BERT), **changes}
        config = getattr(transformers, "T5Config" if name.startswith("T5") else "BertConfig")(**values)
        model = getattr(transformers, name)(config).eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            if changes.get("tie_word_embeddings") is False:
                model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
            for key, tensor in model.named_parameters():
                noise = torch.randn(tensor.shape, generator=generator)
                if "norm" in key.lower() and key.endswith("weight"):
                    tensor.add_(0.2 * noise)
                else:
                    tensor.copy_((1.0 if "relative" in key else 0.15) * noise)
        folder = tmp_path / "theirs"
        model.save_pretrained(folder)
        return folder

    return make


def expected_logits(transformers: Any, folder: Path, name: str) -> torch.Tensor:
    model = getattr(transformers, name).from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        if name.startswith("T5"):
            decoder = torch.cat([torch.zeros(2, 1, dtype=torch.long), TOKENS[:, :12]], 1)
            return model(input_ids=TOKENS, attention_mask=MASK, decoder_input_ids=decoder).logits
        found = model(input_ids=TOKENS, attention_mask=MASK, token_type_ids=TYPES.expand(2, -1))
        return found.prediction_logits if name == "BertForPreTraining" else found.logits


def our_logits(chunk: Any, config: Any) -> torch.Tensor:
    with torch.no_grad():
        if isinstance(config, T5Config):
            decoder = torch.cat([torch.zeros(2, 1, dtype=torch.long), TOKENS[:, :12]], 1)
            logits = chunk.eval()(TOKENS, decoder, MASK, runtime_gather_output=True)
        else:
            logits = chunk.eval()(TOKENS, None, MASK, TYPES.expand(2, -1), runtime_gather_output=True)
    return logits[..., : config.vocab_size]


def assert_same_files(one: Path, other: Path) -> None:
    from safetensors.torch import load_file

    before, after = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name


def there_and_back(source: str, target: str, layout: Layout) -> torch.Tensor:
    with engine(layout):
        config = config_from_hf(json.loads(Path(source, "config.json").read_text()))
        chunks = chunks_of(config, layout, seed=None)
        load_hf(source, chunks)
        save_hf(target, chunks, config)
        return our_logits(chunks[0], config) if layout.pipeline == 1 else torch.zeros(0)


@pytest.mark.parametrize(("name", "changes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_logits_agree_and_the_way_back_is_exact(
    name: str, changes: dict[str, Any], folder_of: Callable[..., Path], transformers: Any, tmp_path: Path
) -> None:
    folder = folder_of(name, **changes)
    expected = expected_logits(transformers, folder, name)
    assert expected.std() > 0.1  # not a model that says the same whatever it is asked
    seen = MASK.bool() if not name.startswith("T5") else slice(None)  # what stands on padding is nobody's business
    found = there_and_back(str(folder), str(tmp_path / "ours"), Layout())
    torch.testing.assert_close(found[seen], expected[seen], atol=1e-4, rtol=0)
    assert_same_files(folder, tmp_path / "ours")
    assert torch.equal(expected_logits(transformers, tmp_path / "ours", name), expected)


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("BertForPreTraining", Layout(tensor=2)),
        ("BertForMaskedLM", Layout(tensor=2, sequence_parallel=True)),
        ("BertForMaskedLM", Layout(pipeline=2)),
        ("T5ForConditionalGeneration", Layout(tensor=2)),
    ],
    ids=str,
)
def test_divided_models(
    name: str, layout: Layout, two_ranks: Any, folder_of: Callable[..., Path], transformers: Any, tmp_path: Path
) -> None:
    folder = folder_of(name, **(GATED if name.startswith("T5") else {"num_hidden_layers": 2}))
    expected = expected_logits(transformers, folder, name)
    seen = MASK.bool() if not name.startswith("T5") else slice(None)
    for found in two_ranks.run(there_and_back, str(folder), str(tmp_path / "ours"), layout):
        if found.numel():
            torch.testing.assert_close(found[seen], expected[seen], atol=1e-4, rtol=0)
    assert_same_files(folder, tmp_path / "ours")


@pytest.mark.parametrize(("name", "changes"), [("BertForMaskedLM", {}), ("T5ForConditionalGeneration", GATED)])
def test_commands_take_over_and_write(
    name: str, changes: dict[str, Any], folder_of: Callable[..., Path], tmp_path: Path, transformers: Any
) -> None:
    folder = folder_of(name, **changes)
    config = import_hf(folder, tmp_path / "model.dist")
    assert isinstance(config, T5Config if name.startswith("T5") else BertConfig)
    assert export_hf(tmp_path / "model.dist", tmp_path / "ours") == config
    assert_same_files(folder, tmp_path / "ours")
    kind: Any = EncoderDecoderModel if name.startswith("T5") else MaskedLanguageModel
    model = kind()
    assert f"{config.num_parameters:,} weights" in model.init_from(tmp_path / "model.dist")
    if name.startswith("T5"):
        assert_generates_the_same(model, folder, transformers)
    wrong: Any = MaskedLanguageModel if name.startswith("T5") else EncoderDecoderModel
    with pytest.raises(ConfigError, match="Config"):
        wrong().init_from(tmp_path / "model.dist")


def assert_generates_the_same(model: Any, folder: Path, transformers: Any) -> None:
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(folder).eval()
    expected = theirs.generate(
        input_ids=TOKENS,
        attention_mask=MASK,
        max_new_tokens=12,
        do_sample=False,
        num_beams=1,
        eos_token_id=1,
        decoder_start_token_id=0,
        use_cache=False,  # its cache has as many layers as the encoder
    )
    texts = [row[: int(size)].tolist() for row, size in zip(TOKENS, MASK.sum(1), strict=True)]
    with engine():
        model.build()
        found = model.generate(texts, max_tokens=12)
    for row, answer in zip(expected[:, 1:].tolist(), found, strict=True):
        assert answer == (row[: row.index(1)] if 1 in row else row)


def test_files_as_the_first_berts_have_them(folder_of: Callable[..., Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = folder_of("BertForPreTraining")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "architectures": ["BertForMaskedLM"]}))
    weights = load_file(folder / "model.safetensors")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): each.clone()
        for name, each in weights.items()
    }
    old["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"].clone()
    old["bert.embeddings.position_ids"] = torch.arange(40)[None]
    save_file(old, folder / "model.safetensors")
    there_and_back(str(folder), str(tmp_path / "ours"), Layout())
    for name, each in load_file(tmp_path / "ours" / "model.safetensors").items():
        assert torch.equal(each, weights[name]), name
    old["cls.predictions.decoder.weight"] += 1
    save_file(old, folder / "model.safetensors")
    with pytest.raises(ArchiveError, match=r"unexpected: cls\.predictions\.decoder\.weight"):
        there_and_back(str(folder), str(tmp_path / "again"), Layout())


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(activation="relu", max_length=99, init_std=0.1, dropout=0.0, next_sentence=True),
        T5Config(activation="gelu", gated=True, start_id=3, end_id=4, init_scale=0.5),
        T5Config(activation="gelu", gated=False, num_decoder_layers=2, head_dim=7),
        T5Config(activation="gelu_tanh", gated=False, tied_embeddings=True),
        T5Config(activation="silu", gated=True, num_decoder_layers=4, head_dim=64),
    ],
)
def test_configurations_come_back(config: Any) -> None:
    assert config_from_hf(config_to_hf(config)) == config.canonical()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"hidden_act": "mish"}, "hidden_act is 'mish'"),
    ],
)
def test_what_is_not_computed_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        config_from_hf({"architectures": ["BertForMaskedLM"], **BERT, **change})
