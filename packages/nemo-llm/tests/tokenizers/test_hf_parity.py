"""Model folders of Hugging Face give the tokens that transformers gives."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_llm.tokenizers import HFTokenizer, load_tokenizer, train_tokenizer

transformers = pytest.importorskip("transformers", reason="parity with transformers needs transformers")

TEXTS = [
    "To be, or not to be",
    "  two  spaces\n\nand lines",
    "naïve façade – 日本 🙂",
    "<|im_end|>The question<|im_start|>",
    "",
]
texts = st.lists(
    st.one_of(
        st.sampled_from(["to be", " ", "\n", "<|im_end|>", "é", "日"]),
        st.text(st.characters(codec="utf-8"), max_size=20),
    ),
    max_size=6,
).map("".join)


@pytest.fixture(scope="module")
def folders(made, tmp_path_factory):
    """Model folders as Hugging Face has them, written by transformers."""
    root = tmp_path_factory.mktemp("folders")
    for kind in ("byte_level_bpe", "wordpiece"):
        tokenizer = made[kind]
        theirs = transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.tokenizer,
            bos_token=tokenizer.bos_token,
            eos_token=tokenizer.eos_token,
            pad_token=tokenizer.pad_token,
            unk_token=tokenizer.unk_token,
            chat_template="{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}",
        )
        theirs.save_pretrained(root / kind)
    return root


@pytest.mark.parametrize("kind", ["byte_level_bpe", "wordpiece"])
def test_ids_and_text_are_those_of_transformers(kind, folders):
    ours, theirs = load_tokenizer(folders / kind), transformers.AutoTokenizer.from_pretrained(folders / kind)
    assert isinstance(ours, HFTokenizer)
    assert ours.vocab_size == len(theirs)
    for name in ("bos", "eos", "pad", "unk"):
        assert getattr(ours, f"{name}_id") == getattr(theirs, f"{name}_token_id")
    assert ours.chat_template == theirs.chat_template

    @settings(max_examples=80, deadline=None)
    @given(texts)
    def same(text):
        ids = theirs.encode(text, add_special_tokens=False)
        assert ours.encode(text) == ids
        for skip in True, False:
            wanted = theirs.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False)
            assert ours.decode(ids, skip_special_tokens=skip) == wanted

    same()
    assert ours.encode_batch(TEXTS) == theirs(TEXTS, add_special_tokens=False)["input_ids"]
    offsets = theirs(TEXTS, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert [spans for _, spans in ours.encode_with_spans(TEXTS)] == offsets


@pytest.mark.parametrize("kind", ["byte_level_bpe", "wordpiece"])
def test_transformers_reads_what_we_save(kind, made, tmp_path):
    made[kind].save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(TEXTS, add_special_tokens=False)["input_ids"] == made[kind].encode_batch(TEXTS)
    assert theirs.eos_token == made[kind].eos_token


def test_what_else_a_folder_says_is_kept(folders, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(folders / "byte_level_bpe", folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["model_max_length"] = 4096
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 1]}))
    (folder / "config.json").write_text("{}")
    tokenizer = load_tokenizer(folder)
    assert tokenizer.stop_ids == (0, 1)
    again = load_tokenizer(tokenizer.save(tmp_path / "again"))
    assert again.stop_ids == (0, 1)
    assert json.loads((tmp_path / "again" / "tokenizer_config.json").read_text())["model_max_length"] == 4096
    # In an archive, too.
    kept = {}
    node = tokenizer.to_config(keep=lambda _, name, content: kept.setdefault(name, content) and name)
    (tmp_path / "artifact").write_bytes(kept["path"])
    del node["_target_"]
    from_archive = HFTokenizer(**{**node, "path": tmp_path / "artifact"})
    assert from_archive.fingerprint == again.fingerprint == tokenizer.fingerprint


def test_llama_tokenizer_of_transformers(tmp_path):
    """The ids of LlamaTokenizer, which puts no space behind special tokens."""
    lines = ["to be or not to be", "that is the question"] * 8
    ours = train_tokenizer(lines, kind="bpe", vocab_size=300)
    ours.save(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    theirs = transformers.LlamaTokenizer.from_pretrained(tmp_path)
    for text in ["to be or not", "to be</s>that is", "<s>to be</s> that", "question  ?"]:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)
