"""Conversations: what records may look like, which tokens count, and what a batch holds."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError, DataError, NemoError, UnsafeArchiveError
from nemo_llm.data import ChatData
from nemo_llm.data.chat import ChatEncoder, Conversation, read_conversation
from nemo_llm.data.packing import packed_row
from nemo_llm.data.records import Record
from nemo_llm.data.sft import PackedRows, Unpacked
from nemo_llm.data.token_store import TokenStore, write_store
from nemo_llm.tokenizers import ByteTokenizer, ChatTemplate, train_tokenizer
from nemo_llm.tokenizers.chat import template_names

TOKENS = ["<bos>", "<eos>", "<pad>", "<|im_start|>", "<|im_end|>"]
PLAIN = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}|{% endfor %}{% if add_generation_prompt %}a:{% endif %}"


def talk(*contents, system=None):
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": content} for place, content in enumerate(contents)]
    return [{"role": "system", "content": system}, *messages] if system else messages


def record(**values):
    return Record(Path("train.jsonl"), "line", 7, values)


def write(path, *records):
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in records))
    return path


@pytest.fixture
def tokenizer():
    return ByteTokenizer(TOKENS, chat_template="chatml")


def data_of(path, tokenizer, tmp_path, **options):
    settings = {"sequence_length": 256, "global_batch_size": 2, "shuffle": False, "cache_dir": tmp_path / "cache"}
    return ChatData(path, tokenizer=tokenizer, **{**settings, **options})


def spoken(tokenizer, batch, row):
    """The text of the labels that count, one string a run."""
    labels, mask = batch["labels"][row].tolist(), batch["loss_mask"][row].tolist()
    runs, current = [], []
    for label, counts in zip(labels, mask, strict=True):
        if counts:
            current.append(label)
        elif current:
            runs.append(tokenizer.decode(current))
            current = []
    return runs + ([tokenizer.decode(current)] if current else [])


SHAPES = [
    {"messages": talk("Hi", "Hello")},
    {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": "Hello"},
        ]
    },
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    {"conversations": talk("Hi", "Hello")},
    {"prompt": "Hi", "completion": "Hello"},
    {"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Hello"}]},
    {"input": "Hi", "output": "Hello"},
    {"prompt": "Hi", "response": "Hello"},
    {"question": "Hi", "answer": "Hello"},
    {"instruction": "Hi", "output": "Hello"},
    {"instruction": "Hi", "input": "", "output": "Hello", "source": "x"},
]


@pytest.mark.parametrize("values", SHAPES, ids=range(len(SHAPES)))
def test_shapes_of_records(values, tokenizer):
    conversation = read_conversation(record(**values))
    assert [(each["role"], each["content"]) for each in conversation.messages] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
    ]
    [(ids, mask)] = ChatEncoder(tokenizer).encode([conversation])
    assert tokenizer.decode(ids) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
    assert tokenizer.decode([index for index, counts in zip(ids, mask, strict=True) if counts]) == "Hello<|im_end|>"


def test_alpaca_with_input():
    values = {"instruction": "Add.", "input": "1 2", "output": "3"}
    assert read_conversation(record(**values)).messages[0]["content"] == "Add.\n\n1 2"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"text": "x"}, "is no conversation; its keys are text"),
        ({"messages": []}, r"messages is \[\], not a list of messages"),
        ({"messages": "Hi"}, "messages is 'Hi'"),
        ({"messages": ["Hi"]}, r"messages\[0\] is 'Hi'"),
        ({"messages": [{"role": "bot", "content": "x"}]}, r"messages\[0\]\.role is 'bot'"),
        ({"messages": [{"role": "asistant", "content": "x"}]}, r"messages\[0\]\.role is 'asistant'.*assistant"),
        ({"messages": [{"content": "x"}]}, r"messages\[0\]\.role is missing"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\] has no content"),
        ({"messages": [{"role": "user", "content": 3}]}, r"messages\[0\]\.content is 3"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, r"content\[0\] is image_url"),
        ({"messages": [*talk("a"), {"role": "assistant", "content": "b", "weight": 2}]}, r"messages\[1\]\.weight is 2"),
        ({"messages": talk("a")}, "the assistant says nothing"),
        ({"conversations": [{"from": "humann", "value": "x"}]}, r"conversations\[0\]\.from is 'humann'.*human"),
        ({"conversations": [{"from": "human"}]}, r"conversations\[0\]\.value is missing"),
        ({"conversations": 3}, "conversations is 3"),
        ({"prompt": "x", "completion": None}, "completion is missing, not a text"),
        ({"prompt": 1, "completion": "x"}, "prompt is 1, not a text"),
        ({"instruction": "x"}, "output is missing"),
        ({"prompt": "x"}, "is no conversation"),
    ],
)
def test_bad_records_are_named(values, said):
    with pytest.raises(DataError, match=f"(?s)train.jsonl, line 7.*{said}"):
        read_conversation(record(**values))


contents = st.text(st.characters(codec="utf-8"), max_size=10)
turns = st.lists(st.tuples(contents, contents), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(turns, st.sampled_from([*template_names(), PLAIN]))
def test_the_mask_is_on_exactly_what_the_assistant_says(turns, style):
    """With bytes as tokens: every byte of an answer and of the end of its turn, and no other."""
    tokenizer = ByteTokenizer(TOKENS)
    contents = [content.strip("\n ").replace("|", "") or "x" for turn in turns for content in turn]
    template = ChatTemplate.of(style)
    encoder = ChatEncoder(tokenizer, template=template)
    [(ids, mask)] = encoder.encode([Conversation("", talk(*contents))])
    text, spans = template.render_with_spans(talk(*contents), **tokenizer._token_names())
    assert tokenizer.decode(ids) == text
    counted = b"".join(tokenizer.token_bytes(index) for index, counts in zip(ids, mask, strict=True) if counts)
    assert counted.decode() == "".join(text[start:end] for start, end in spans)
    for answer in contents[1::2]:
        assert answer.strip() in counted.decode()


def test_masks_are_those_of_transformers():
    transformers = pytest.importorskip("transformers", reason="parity with transformers needs transformers")
    lines = ["to be or not to be", "that is the question for user and assistant"] * 8
    tokenizer = train_tokenizer(lines, vocab_size=300, special_tokens=TOKENS, chat_template="chatml")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer.tokenizer)
    theirs.chat_template = tokenizer.chat_template
    messages = talk("to be?", "or not to be 日本\n", "question", "the question")
    wanted = theirs.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
    [(ids, mask)] = ChatEncoder(tokenizer).encode([Conversation("", messages)])
    assert ids == wanted["input_ids"]
    assert mask == wanted["assistant_masks"]


def test_what_counts_can_be_chosen(tokenizer):
    messages = talk("a", "b", "c", "d")
    counted = {}
    for loss_on in ("assistant", "last", "all"):
        [(ids, mask)] = ChatEncoder(tokenizer, loss_on=loss_on).encode([Conversation("", messages)])
        counted[loss_on] = tokenizer.decode([index for index, counts in zip(ids, mask, strict=True) if counts])
    assert counted["assistant"] == "b<|im_end|>d<|im_end|>"
    assert counted["last"] == "d<|im_end|>"
    assert counted["all"] == tokenizer.apply_chat_template(messages)
    messages[1]["weight"] = 0
    [(ids, mask)] = ChatEncoder(tokenizer).encode([Conversation("", messages)])
    assert tokenizer.decode([index for index, counts in zip(ids, mask, strict=True) if counts]) == "d<|im_end|>"


def test_pairs_as_text(tokenizer):
    pair = read_conversation(record(prompt="Hi", completion="Hello"))
    [(ids, mask)] = ChatEncoder(tokenizer, pairs="text").encode([pair])
    assert tokenizer.decode(ids) == "HiHello<eos>"
    assert tokenizer.decode([index for index, counts in zip(ids, mask, strict=True) if counts]) == "Hello<eos>"
    tokenizer.adds_bos = True  # as Llama's
    [(ids, mask)] = ChatEncoder(tokenizer, pairs="text").encode([pair])
    assert (tokenizer.decode(ids), mask[0]) == ("<bos>HiHello<eos>", 0)
    [(_, mask)] = ChatEncoder(tokenizer, pairs="text", loss_on="all").encode([pair])
    assert all(mask)
    with pytest.raises(ConfigError, match="no chat template"):
        ChatEncoder(ByteTokenizer(), pairs="chat")
    with pytest.raises(ConfigError, match=r"line 7: there is no chat template"):
        ChatEncoder(ByteTokenizer()).encode([read_conversation(record(messages=talk("a", "b")))])


def test_batches_are_padded_to_the_longest(tokenizer, tmp_path):
    path = write(tmp_path / "a.jsonl", {"messages": talk("Hi", "Hello")}, {"messages": talk("A longer one", "x" * 30)})
    data = data_of(path, tokenizer, tmp_path, pad_to_multiple_of=16)
    [batch] = list(data.train_dataloader())
    shape = batch["tokens"].shape
    longest = len(tokenizer.encode_chat(talk("A longer one", "x" * 30))) - 1
    assert shape == (2, -(-longest // 16) * 16)
    kinds = {"tokens": torch.int64, "labels": torch.int64, "loss_mask": torch.float32}
    kinds |= {"position_ids": torch.int64, "segment_ids": torch.int32}
    assert {name: value.dtype for name, value in batch.items()} == kinds
    assert all(value.shape == shape for value in batch.values())
    first = tokenizer.encode_chat(talk("Hi", "Hello"))
    size = len(first) - 1
    assert batch["tokens"][0, :size].tolist() == first[:-1]
    assert batch["labels"][0, :size].tolist() == first[1:]
    assert batch["segment_ids"][0].tolist() == [1] * size + [0] * (shape[1] - size)
    assert batch["position_ids"][0, :size].tolist() == list(range(size))
    assert set(batch["tokens"][0, size:].tolist()) == {tokenizer.pad_id}
    assert batch["loss_mask"][0, size:].sum() == 0
    assert spoken(tokenizer, batch, 0) == ["Hello<|im_end|>"]
    assert spoken(tokenizer, batch, 1) == ["x" * 30 + "<|im_end|>"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=40), st.integers(8, 64), st.sampled_from(["right", "left"]))
def test_packing_keeps_every_token_once(tmp_path_factory, lengths, sequence_length, truncation):
    folder = tmp_path_factory.mktemp("store")
    numbers = iter(range(10**6))
    sequences = [[next(numbers) for _ in range(length)] for length in lengths]
    write_store(folder, [(ids, [1] * len(ids), (0, n)) for n, ids in enumerate(sequences)], ["x"], ["line"])
    rows = PackedRows(Unpacked(TokenStore(folder), sequence_length, truncation), sequence_length, pad_id=0)
    most = sequence_length + 1
    kept = [ids[-most:] if truncation == "left" else ids[:most] for ids in sequences]
    labels = []
    for place in range(len(rows)):
        row = rows[place]
        assert all(value.shape == (sequence_length,) for value in row.values())
        used = row["segment_ids"] > 0
        labels += row["labels"][used].tolist()
        assert row["loss_mask"][used].all()
        assert not row["loss_mask"][~used].any()
        for segment in range(1, row["segment_ids"].max() + 1):
            inside = row["segment_ids"] == segment
            assert row["position_ids"][inside].tolist() == list(range(inside.sum()))
            tokens = row["tokens"][inside].tolist()
            assert tokens[1:] == row["labels"][inside].tolist()[:-1]
    assert sorted(labels) == sorted(label for ids in kept for label in ids[1:])


def test_packed_batches_hold_the_same_as_padded_ones(tokenizer, tmp_path):
    records = [{"messages": talk(f"question {n}", "answer " * (n % 5) + str(n))} for n in range(20)]
    path = write(tmp_path / "a.jsonl", *records)
    padded = data_of(path, tokenizer, tmp_path, global_batch_size=1, sequence_length=200)
    packed = data_of(path, tokenizer, tmp_path, global_batch_size=1, sequence_length=200, packing=True)
    answers = [text for batch in padded.train_dataloader() for text in spoken(tokenizer, batch, 0)]
    batches = list(packed.train_dataloader())
    assert len(batches) < 20
    assert all(batch["tokens"].shape == (1, 200) for batch in batches)
    assert sorted(text for batch in batches for text in spoken(tokenizer, batch, 0)) == sorted(answers)
    assert any(batch["segment_ids"].max() > 1 for batch in batches)


@pytest.mark.parametrize(
    ("truncation", "answers"),
    [
        ("right", ["ok<|im_end|>", "y" * 31]),
        ("left", ["ok<|im_end|>", "y" * 61 + "<|im_end|>"]),
        ("drop", ["ok<|im_end|>"]),
    ],
)
def test_what_is_too_long(truncation, answers, tokenizer, tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        {"messages": talk("q", "ok")},
        {"messages": talk("x" * 90, "cut off")} if truncation == "right" else {"messages": talk("q", "ok")},
        {"messages": talk("q", "y" * 61)},
    )
    data = data_of(
        path,
        tokenizer,
        tmp_path,
        global_batch_size=1,
        truncation=truncation,
        sequence_length=50 if truncation == "right" else 64,
    )
    found = [text for batch in data.train_dataloader() for text in spoken(tokenizer, batch, 0)]
    assert list(dict.fromkeys(found)) == answers
    assert all(batch["tokens"].shape[1] <= data.sequence_length for batch in data.train_dataloader())
    with pytest.raises(DataError, match=r"a\.jsonl, line (2|3): the conversation has \d+ tokens, and a row takes"):
        list(data_of(path, tokenizer, tmp_path, truncation="error", sequence_length=50).train_dataloader())


def test_nothing_to_learn(tokenizer, tmp_path):
    path = write(tmp_path / "a.jsonl", {"messages": talk("x" * 90, "cut off")})
    with pytest.raises(DataError, match="none has anything to learn within 50 tokens"):
        data_of(path, tokenizer, tmp_path, sequence_length=50).train_dataloader()
    with pytest.raises(DataError, match="no conversations"):
        data_of(write(tmp_path / "b.jsonl"), tokenizer, tmp_path).train_dataloader()


def test_files_of_all_kinds(tokenizer, tmp_path):
    records = [{"messages": talk(f"q{n}", f"a{n}")} for n in range(3)]
    lines = write(tmp_path / "a.jsonl", records[0], "", *records[1:])
    array = tmp_path / "a.json"
    array.write_text(json.dumps(records, indent=1))
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(lines.read_bytes()))
    files = [lines, array, packed]
    try:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(records), tmp_path / "a.parquet")
        files.append(tmp_path / "a.parquet")
    except ImportError:
        pass
    for path in [*files, files]:
        store = data_of(path, tokenizer, tmp_path).tokens(path)
        assert len(store) == 3 * (len(files) if isinstance(path, list) else 1)
        assert tokenizer.decode(store[1][0]) == tokenizer.apply_chat_template(records[1]["messages"])
    store = data_of(files, tokenizer, tmp_path).tokens(files)
    assert [store.where(index).rpartition("/")[2] for index in (1, 4, 7)] == [
        "a.jsonl, line 3",
        "a.json, item 2",
        "a.jsonl.gz, line 3",
    ]
    assert len(files) < 4 or store.where(10).endswith("a.parquet, row 2")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"messages": [{"role": "user", "content": "x"}', r"a\.jsonl, line 1: is not JSON"),
        ("a.jsonl", b'{"messages": []}\n', r"a\.jsonl, line 1: messages is"),
        ("a.jsonl", b"\n3\n", r"a\.jsonl, line 2: is not a JSON object"),
        ("a.jsonl", b'\xff\xfe{"messages"', r"a\.jsonl, line 1: is not JSON"),
        ("a.jsonl", None, "cannot be read"),
        ("a.json", b"[\n{},\n", r"a\.json, line 3: is not JSON"),
        ("a.json", b"[1]", r"a\.json, item 1: is not a JSON object"),
        ("a.jsonl.gz", b"no gzip", "cannot be read"),
        ("a.jsonl.gz", gzip.compress(b"{}" * 100, mtime=0)[:20], "cannot be read"),
        ("a.parquet", b"PAR1xxxxPAR1", "no Parquet file"),
    ],
)
def test_bad_files(name, content, said, tokenizer, tmp_path):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="Parquet needs nemo-llm[parquet]")
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        data_of(path, tokenizer, tmp_path).train_dataloader()
    assert not list((tmp_path / "cache").glob("*")) if (tmp_path / "cache").exists() else True


def test_what_the_template_refuses_is_named(tmp_path):
    path = write(tmp_path / "a.jsonl", {"messages": talk("a", "b")}, {"messages": [*talk("a"), *talk("a", "b")]})
    tokenizer = ByteTokenizer(TOKENS, chat_template="gemma")
    with pytest.raises(
        DataError, match=r"a\.jsonl, line 2: the chat template 'gemma' refuses these messages: .*take turns"
    ):
        data_of(path, tokenizer, tmp_path).train_dataloader()
    tools = write(tmp_path / "b.jsonl", {"messages": [*talk("a"), {"role": "assistant", "tool_calls": [{}]}]})
    with pytest.raises(DataError, match=r"b\.jsonl, line 1: the chat template 'gemma' refuses .*tool_calls"):
        data_of(tools, tokenizer, tmp_path).train_dataloader()


def test_bad_records_can_be_skipped(tokenizer, tmp_path, caplog):
    good = {"messages": talk("a", "b")}
    path = write(tmp_path / "a.jsonl", good, {"messages": []}, good, {"text": 1})
    store = data_of(path, tokenizer, tmp_path, on_bad_record="skip").tokens(path)
    assert len(store) == 2
    assert [store.where(index).rpartition(" ")[2] for index in range(2)] == ["1", "3"]
    assert "line 2" in caplog.text
    assert "skipped 2 bad records" in caplog.text


def test_unsafe_templates_are_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UnsafeArchiveError):
        data_of(tmp_path / "missing.jsonl", ByteTokenizer(chat_template="{{ ''.__class__ }}"), tmp_path)
    with pytest.raises(UnsafeArchiveError):
        data_of(tmp_path / "missing.jsonl", ByteTokenizer(), tmp_path, chat_template="{{ ''.__class__ }}")


@pytest.mark.parametrize(
    "options",
    [
        {"truncation": "up"},
        {"loss_on": "user"},
        {"pairs": "maybe"},
        {"on_bad_record": "cry"},
        {"pad_to_multiple_of": 0},
        {"sequence_length": 0},
        {"chat_template": "no such"},
        {"tokenizer": "no such"},
    ],
)
def test_bad_settings(options, tmp_path):
    with pytest.raises(ConfigError):
        ChatData(tmp_path / "a.jsonl", **{"tokenizer": "bytes", **options})


def test_tokens_are_made_once(tokenizer, tmp_path, monkeypatch):
    path = write(tmp_path / "a.jsonl", {"messages": talk("a", "b")})
    calls = []
    encode = ChatEncoder.encode
    monkeypatch.setattr(ChatEncoder, "encode", lambda self, given: calls.append(len(given)) or encode(self, given))

    def tokens(**options):
        return data_of(path, options.pop("tokenizer", tokenizer), tmp_path, **options).tokens(path).folder

    first = tokens()
    assert tokens() == first
    # What is done with the tokens is another matter.
    assert tokens(sequence_length=8, truncation="left", packing=True) == first
    assert calls == [1]
    other_tokenizer = ByteTokenizer([*TOKENS, "<x>"], chat_template="chatml")
    others = {tokens(loss_on="all"), tokens(chat_template="phi3"), tokens(tokenizer=other_tokenizer)}
    write(path, {"messages": talk("a", "c")})
    others.add(tokens())
    assert len(others | {first}) == 5
    assert len(calls) == 5
    (first / "tokens.bin").write_bytes(b"")
    write(path, {"messages": talk("a", "b")})
    with pytest.raises(DataError, match=r"not whole: tokens\.bin has 0 bytes"):
        tokens()


def test_a_folder_that_cannot_be_written(tokenizer, tmp_path):
    path = write(tmp_path / "a.jsonl", {"messages": talk("a", "b")})
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        data_of(path, tokenizer, tmp_path, cache_dir=tmp_path / "file").tokens(path)


def test_named_sets_and_filled_evaluation(tokenizer, tmp_path):
    paths = {name: write(tmp_path / f"{name}.jsonl", *[{"messages": talk("a", "b")}] * 3) for name in ("x", "y")}
    data = ChatData(
        validation=paths,
        tokenizer=tokenizer,
        sequence_length=64,
        global_batch_size=2,
        cache_dir=tmp_path / "cache",
        num_workers=1,
    )
    assert data.names("validation") == ["x", "y"]
    loaders = data.val_dataloader()
    assert [len(loader) for loader in loaders] == [2, 2]
    assert [batch["loss_mask"].sum(1).tolist() for batch in loaders[0]] == [[2.0, 2.0], [2.0, 0.0]]
    with pytest.raises(DataError, match="no training data"):
        data.train_dataloader()


def test_errors_are_ours_whatever_a_record_holds(tokenizer):
    encoder = ChatEncoder(tokenizer)

    @settings(max_examples=200, deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["messages", "role", "content", "from", "value", "conversations", "prompt", "tool_calls"]
                    ),
                    inner | st.sampled_from(["user", "assistant", "gpt"]),
                    max_size=4,
                )
            ),
            max_leaves=12,
        )
    )
    def holds(value):
        try:
            encoder.encode([read_conversation(record(messages=value, conversations=value))])
            encoder.encode([read_conversation(record(prompt=value, completion=value))])
        except NemoError as error:
            told.append(error.message)

    told = []
    holds()
    assert all("train.jsonl, line 7" in message for message in told)


def test_a_row_of_one_conversation_is_a_packed_row_of_one():
    row = packed_row([[1, 2, 3]], 4, loss_masks=[[0, 0, 1]], pad_id=9)
    assert row["tokens"].tolist() == [1, 2, 9, 9]
    assert row["loss_mask"].tolist() == [0, 1, 0, 0]
    assert row["segment_ids"].dtype == np.int32
