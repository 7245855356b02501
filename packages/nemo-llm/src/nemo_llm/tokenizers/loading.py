"""Finding out what kind of tokenizer a file or a folder holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nemo_core.errors import ConfigError, DataError
from nemo_core.plugins.nearest import did_you_mean
from nemo_llm.models.sources import find_folder
from nemo_llm.tokenizers.base import CONFIG_FILE, KIND_KEY, ROLES, Tokenizer
from nemo_llm.tokenizers.hugging_face import HFTokenizer, read_config, read_file, template_of, text_of_token
from nemo_llm.tokenizers.tiktoken_ranks import TiktokenTokenizer, looks_like_ranks

__all__ = ["load_tokenizer"]

_FILES = ("tokenizer.json", "tokenizer.model", "*.tiktoken", "vocab.json and merges.txt", "vocab.txt")


def load_tokenizer(path: str | Path | None, *, chat_template: str | None = None) -> Tokenizer:
    """Return the tokenizer of a file or a folder.

    Args:
        path: A folder that a tokenizer was saved to; a model folder of ours (its ``tokenizer/``), or that of a run; a
            folder of Hugging Face with ``tokenizer.json``, ``tokenizer.model``, ``vocab.json`` and ``merges.txt``, or
            ``vocab.txt``; one of these files, or a ``.tiktoken`` file; or ``bytes``, for bytes as tokens.
        chat_template: How conversations are written, in the place of the tokenizer's own: a name (``chatml``), a file,
            or Jinja.

    Raises:
        ConfigError: There is no tokenizer there.
        DataError: A file is damaged.

    Example:
        >>> import tempfile
        >>> from nemo_llm.tokenizers import CharacterTokenizer
        >>> folder = CharacterTokenizer("abc").save(tempfile.mkdtemp())
        >>> load_tokenizer(folder).encode("cab")
        [2, 0, 1]
    """
    if path is None or str(path) in ("", "None"):
        raise ConfigError("tokenizer.path is not given", hint="tokenizer.path=FOLDER, or a file; `bytes` for bytes")
    path = Path(path)
    if path.exists():
        tokenizer = _from_folder(path) if path.is_dir() else _from_given_file(path)
        tokenizer.name_template(path)
    elif str(path) == "bytes":
        from nemo_llm.tokenizers.byte import ByteTokenizer

        tokenizer = ByteTokenizer()
    else:
        raise ConfigError(f"{path}: there is no such tokenizer", hint=f"a folder with {', '.join(_FILES)}, or a file")
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    return tokenizer


def _from_given_file(path: Path) -> Tokenizer:
    return _from_folder(path.parent) if path.name == CONFIG_FILE else _from_file(path, {})


def _from_folder(folder: Path) -> Tokenizer:
    inside = folder / "tokenizer"
    if not (folder / CONFIG_FILE).exists() and inside.is_dir():
        return _from_folder(inside)
    if (folder / "checkpoints").is_dir():  # of a run
        return _from_folder(find_folder(folder))
    config = read_config(folder)
    if KIND_KEY in config:
        return _ours(folder, config)
    names: dict[str, Callable[[], Tokenizer]] = {
        "tokenizer.json": lambda: HFTokenizer(folder),
        "tokenizer.model": lambda: _from_file(folder / "tokenizer.model", config),
        "vocab.json": lambda: _byte_level_bpe(folder, config),
        "vocab.txt": lambda: _word_pieces(folder / "vocab.txt", config),
    }
    for name, make in names.items():
        if (folder / name).is_file():
            return make()
    if sorted(folder.glob("*.tiktoken")):
        from nemo_llm.tokenizers.tiktoken_ranks import find_ranks

        return _from_file(find_ranks(folder), config)
    raise ConfigError(f"{folder} holds no tokenizer", hint=f"it has none of {', '.join(_FILES)}")


def _ours(folder: Path, config: dict[str, Any]) -> Tokenizer:
    """Return the tokenizer that was saved to ``folder``."""
    from nemo_llm.tokenizers.byte import ByteTokenizer
    from nemo_llm.tokenizers.characters import CharacterTokenizer
    from nemo_llm.tokenizers.sentence_piece import SentencePieceTokenizer

    kind = config.pop(KIND_KEY)
    template = template_of(config)
    config.pop("chat_template", None)
    if template is not None:
        config["chat_template"] = template
    kinds = (ByteTokenizer, CharacterTokenizer, HFTokenizer, SentencePieceTokenizer, TiktokenTokenizer)
    classes: dict[str, Any] = {each.kind: each for each in kinds}
    if kind not in classes:
        raise DataError(
            f"{folder / CONFIG_FILE}: {KIND_KEY} is {kind!r}",
            hint=did_you_mean(str(kind), sorted(classes)) or f"kinds are {', '.join(sorted(classes))}",
        )
    if kind == HFTokenizer.kind:
        return HFTokenizer(folder)
    arguments = {} if kind in (ByteTokenizer.kind, CharacterTokenizer.kind) else {"path": folder}
    try:
        found: Tokenizer = classes[kind](**arguments, **config)
    except TypeError as error:
        raise DataError(f"{folder / CONFIG_FILE} has a key that {kind} does not know: {error}") from None
    return found


def _from_file(path: Path, config: dict[str, Any]) -> Tokenizer:
    """Return the tokenizer of one file, with what the files beside it say."""
    if path.suffix == ".json":
        return HFTokenizer(path)
    if path.name == "vocab.txt":
        return _word_pieces(path, config)
    options = _options(config)
    if looks_like_ranks(read_file(path)):
        return TiktokenTokenizer(path, **_known_special(config), **options)
    from nemo_llm.tokenizers.sentence_piece import SentencePieceTokenizer

    bare = SentencePieceTokenizer(path)
    # Tokens that Hugging Face keeps beside the model; they have to follow those of the model.
    added = {
        int(index): token
        for index, token in ((index, text_of_token(token)) for index, token in _added(config).items())
        if token is not None and int(index) >= bare.vocab_size
    }
    if sorted(added) != list(range(bare.vocab_size, bare.vocab_size + len(added))):
        raise DataError(
            f"{path.parent / CONFIG_FILE}: the added tokens {sorted(added)} do not follow those of the model"
        )
    extra = [added[index] for index in sorted(added)]
    known = {
        name: token
        for name, token in options.items()
        if not name.endswith("_token") or token in extra or bare.token_to_id(token) is not None
    }
    # Models with such a file alone are Llama's kind; their texts begin with <s> if nobody says otherwise.
    adds_bos = bool(config.get("add_bos_token", bare.bos_id is not None))
    return SentencePieceTokenizer(path, special_tokens=extra, adds_bos=adds_bos, **known)


def _added(config: dict[str, Any]) -> dict[str, Any]:
    found = config.get("added_tokens_decoder")
    return found if isinstance(found, dict) else {}


def _known_special(config: dict[str, Any]) -> dict[str, Any]:
    """Return the special tokens that Hugging Face's configuration names, if it does."""
    named = {text_of_token(token): int(index) for index, token in _added(config).items()}
    named.pop(None, None)
    return {"special_tokens": named} if named else {}


def _options(config: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for role in ROLES:
        if (token := text_of_token(config.get(f"{role}_token"))) is not None:
            options[f"{role}_token"] = token
    if (template := template_of(config)) is not None:
        options["chat_template"] = template
    if config.get("stop_ids"):
        options["stop_ids"] = config["stop_ids"]
    return options


def _byte_level_bpe(folder: Path, config: dict[str, Any]) -> Tokenizer:
    """Return the tokenizer of ``vocab.json`` and ``merges.txt``, as GPT-2 has them."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if not merges.is_file():
        raise ConfigError(f"{folder} has a vocab.json and no merges.txt", hint="byte-level BPE needs both")
    try:
        tokenizer = tokenizers.Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    except Exception as error:  # the library raises nothing more precise
        raise DataError(f"{vocabulary} and {merges} are no BPE: {error}") from None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(config.get("add_prefix_space", False)))
    tokenizer.decoder = decoders.ByteLevel()
    return _with_special(tokenizer, config, default="<|endoftext|>")


def _word_pieces(path: Path, config: dict[str, Any]) -> Tokenizer:
    """Return the tokenizer of a ``vocab.txt``, as BERT has it."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    try:
        vocabulary = {token: place for place, token in enumerate(path.read_text(encoding="utf-8").splitlines())}
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8") from None
    unknown = text_of_token(config.get("unk_token")) or "[UNK]"
    if unknown not in vocabulary:
        raise DataError(
            f"{path} has no {unknown}", hint="a vocab.txt of WordPiece has a token a line, [UNK] among them"
        )
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocab=vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=bool(config.get("do_lower_case", True)))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _with_special(tokenizer, config, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]")


def _with_special(tokenizer: Any, config: dict[str, Any], *names: str, default: str | None = None) -> Tokenizer:
    options = _options(config)
    if default is not None and tokenizer.token_to_id(default) is not None:
        options.setdefault("bos_token", default)
        options.setdefault("eos_token", default)
    options = {
        name: value
        for name, value in options.items()
        if not name.endswith("_token") or tokenizer.token_to_id(value) is not None
    }
    special = [value for name, value in options.items() if name.endswith("_token")]
    tokenizer.add_special_tokens(
        list(dict.fromkeys([*special, *(name for name in names if tokenizer.token_to_id(name) is not None)]))
    )
    return HFTokenizer.of(tokenizer, **options)
