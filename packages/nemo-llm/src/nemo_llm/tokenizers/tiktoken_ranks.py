"""Tokenizers of tiktoken: byte-level BPE from a file of ranks, with a pattern that cuts texts into words."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError, DataError
from nemo_llm.tokenizers.base import Tokenizer
from nemo_llm.tokenizers.byte import check_distinct
from nemo_llm.tokenizers.hugging_face import read_file

if TYPE_CHECKING:
    import tiktoken

__all__ = ["PATTERNS", "TiktokenTokenizer", "looks_like_ranks"]

FILE = "tokenizer.model"  # what Llama 3 calls it

_CL100K = "|".join(
    [
        r"'(?i:[sdmt]|ll|ve|re)",
        r"[^\r\n\p{L}\p{N}]?+\p{L}++",
        r"\p{N}{1,3}+",
        r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
        r"\s++$",
        r"\s*[\r\n]",
        r"\s+(?!\S)",
        r"\s",
    ]
)
_LLAMA3 = "|".join(
    [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
_O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
#: How texts are cut into words before bytes are merged, by the name of the family that does it so.
PATTERNS: Mapping[str, str] = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k": _CL100K,
    "o200k": _O200K,
    "llama3": _LLAMA3,
    "qwen": _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"),
}

_LLAMA3_NAMED = {
    0: "<|begin_of_text|>",
    1: "<|end_of_text|>",
    4: "<|finetune_right_pad_id|>",
    6: "<|start_header_id|>",
    7: "<|end_header_id|>",
    8: "<|eom_id|>",
    9: "<|eot_id|>",
    10: "<|python_tag|>",
}


def _llama3_special() -> list[str]:
    """Return the 256 special tokens of Llama 3, in the order of their numbers."""
    spare = iter(range(256))
    return [_LLAMA3_NAMED.get(place) or f"<|reserved_special_token_{next(spare)}|>" for place in range(256)]


class TiktokenTokenizer(Tokenizer):
    r"""Turns text into tokens and back, without loss, as OpenAI's ``tiktoken`` does; needs ``nemo-llm[tiktoken]``.

    Nothing is fetched: the ranks come from a file.

    Args:
        path: A file of ranks (a line each: the token's bytes in base64, and its number), or a folder with a
            ``tokenizer.model`` or ``.tiktoken`` file of that kind, such as the ``tokenizer.model`` that Meta publishes
            for Llama 3.
        pattern: How texts are cut into words: ``llama3``, ``cl100k``, ``o200k``, ``gpt2``, ``qwen``, or a regular
            expression.
        special_tokens: Special tokens, in the order of their numbers behind the ranks, or a mapping of them to their
            numbers; those of Llama 3 if not given.
        adds_bos: Whether the model knows texts only with the token for their start before them; by default Llama 3's
            does.
        bos_token, eos_token, pad_token, unk_token: Which of them stand for start, end, padding and the unknown; those
            of Llama 3 where these are among them.
        chat_template: How conversations are written: a name (``llama3``), a file, or Jinja.
        stop_ids: Tokens that end a generated text, besides ``eos``.

    Raises:
        ConfigError: The file or tiktoken is missing, the pattern cannot be read, or numbers collide.
        DataError: The file is damaged; the message names the line.

    Example:
        >>> import base64, tempfile
        >>> path = Path(tempfile.mkdtemp(), "tokenizer.model")
        >>> tokens = [*(bytes([byte]) for byte in range(256)), b"to", b" be"]
        >>> lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)]
        >>> _ = path.write_text("\n".join(lines))
        >>> tokenizer = TiktokenTokenizer(path)  # doctest: +SKIP
        >>> tokenizer.encode("to be<|eot_id|>"), tokenizer.bos_token  # doctest: +SKIP
        ([256, 257, 267], '<|begin_of_text|>')
    """

    kind = "tiktoken"

    def __init__(
        self,
        path: str | Path,
        *,
        pattern: str = "llama3",
        special_tokens: Sequence[str] | Mapping[str, int] | None = None,
        adds_bos: bool | None = None,
        bos_token: str | None = None,
        eos_token: str | None = None,
        pad_token: str | None = None,
        unk_token: str | None = None,
        chat_template: str | None = None,
        stop_ids: Sequence[int] = (),
    ) -> None:
        path = Path(path)
        file = find_ranks(path) if path.is_dir() else path
        given = {"bos": bos_token, "eos": eos_token, "pad": pad_token, "unk": unk_token}
        self._open(read_file(file), str(file), pattern, special_tokens, given, chat_template, stop_ids)
        self.adds_bos = special_tokens is None if adds_bos is None else adds_bos

    def _open(
        self,
        content: bytes,
        name: str,
        pattern: str,
        special_tokens: Sequence[str] | Mapping[str, int] | None,
        given: Mapping[str, str | None],
        chat_template: str | None,
        stop_ids: Sequence[int],
    ) -> None:
        self._content, self.pattern = content, pattern
        ranks = read_ranks(content, name)
        self._ranks = len(ranks)
        special = _numbered(_llama3_special() if special_tokens is None else special_tokens, len(ranks))
        self._encoding = _encoding(ranks, PATTERNS.get(pattern, pattern), special)
        self._names = {index: token for token, index in special.items()}
        llama = {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>", "pad": "<|finetune_right_pad_id|>"}
        named = {role: given[role] or (llama.get(role) if llama.get(role) in special else None) for role in given}
        if special_tokens is None and not stop_ids:
            stop_ids = [special["<|eom_id|>"], special["<|eot_id|>"]]
        self._set_up(special, named, chat_template, stop_ids)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included: one more than the highest number."""
        return int(self._encoding.n_vocab)

    def id_to_token(self, index: int) -> str:
        r"""Return a special token, or the text of the token's bytes; bytes that are no text are written ``\xNN``."""
        if index in self._names:
            return self._names[index]
        if index >= self._ranks:
            return f"<unused {index}>"
        return self._encoding.decode_single_token_bytes(index).decode("utf-8", errors="backslashreplace")

    def token_to_id(self, token: str) -> int | None:
        """Return the number of a special token, or of the token with that text."""
        if token in self.special_tokens:
            return self.special_tokens[token]
        try:
            return int(self._encoding.encode_single_token(token))
        except KeyError:
            return None

    def token_bytes(self, index: int) -> bytes:
        """Return the bytes of a token."""
        if self._ranks <= index and index not in self._names:
            return b""
        return bytes(self._encoding.decode_single_token_bytes(index))

    def _encode(self, text: str, parse_special: bool) -> list[int]:
        return self._encode_batch([text], parse_special)[0]

    def _encode_batch(self, texts: Sequence[str], parse_special: bool) -> list[list[int]]:
        for text in texts:
            text.encode("utf-8")  # the library would put other characters in place of half ones
        if len(texts) == 1:
            if not parse_special:
                return [self._encoding.encode_ordinary(texts[0])]
            return [self._encoding.encode(texts[0], allowed_special="all")]
        threads = os.cpu_count() or 1
        if not parse_special:
            return self._encoding.encode_ordinary_batch(list(texts), num_threads=threads)
        return self._encoding.encode_batch(list(texts), allowed_special="all", num_threads=threads)

    def _files(self) -> Mapping[str, bytes]:
        return {FILE: self._content}

    def _settings(self) -> dict[str, Any]:
        settings = {"pattern": self.pattern, "special_tokens": dict(self.special_tokens)}
        return {**settings, "adds_bos": True} if self.adds_bos else settings

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_encoding"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        ranks = read_ranks(self._content, FILE)
        self._encoding = _encoding(ranks, PATTERNS.get(self.pattern, self.pattern), dict(self.special_tokens))


def looks_like_ranks(content: bytes) -> bool:
    r"""Return whether a file begins as one of ranks does: base64, a blank, a number.

    >>> looks_like_ranks(b"IQ== 0\nIg== 1\n"), looks_like_ranks(b"\x0a\x0e")
    (True, False)
    """
    first = content[:4096].splitlines()[:1]
    parts = first[0].split() if first else []
    if len(parts) != 2 or not parts[1].isdigit():
        return False
    try:
        return bool(base64.b64decode(parts[0], validate=True))
    except binascii.Error:
        return False


def find_ranks(folder: Path) -> Path:
    """Return the file of ranks in a folder.

    Raises:
        ConfigError: There is none, or several.
    """
    found = sorted(folder.glob("*.tiktoken"))
    if (folder / FILE).exists():
        found = [folder / FILE]
    if len(found) != 1:
        problem = "several files of ranks" if found else "no tokenizer.model and no .tiktoken file"
        raise ConfigError(f"{folder} has {problem}", hint="name the file")
    return found[0]


def read_ranks(content: bytes, name: str) -> dict[bytes, int]:
    """Return the number of each token of a file of ranks.

    Raises:
        DataError: A line is damaged, a token or number is there twice, or a byte is missing.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            key, value = base64.b64decode(token, validate=True), int(rank)
        except ValueError:
            raise DataError(f"{name}, line {number}: this is not a token in base64 and its number") from None
        if key in ranks:
            raise DataError(f"{name}, line {number}: the token is there twice")
        ranks[key] = value
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise DataError(f"{name}: the numbers of its {len(ranks)} tokens are not 0 to {len(ranks) - 1}, each once")
    missing = next((byte for byte in range(256) if bytes((byte,)) not in ranks), None)
    if missing is not None:
        raise DataError(f"{name}: the byte 0x{missing:02X} has no token", hint="is the file whole?")
    return ranks


def _numbered(special: Sequence[str] | Mapping[str, int], first: int) -> dict[str, int]:
    check_distinct(list(special))
    if not isinstance(special, Mapping):
        return {token: first + place for place, token in enumerate(special)}
    taken: set[int] = set()
    for token, index in special.items():
        if index < first or index in taken:
            raise ConfigError(
                f"tokenizer.special_tokens: {token!r} has number {index}, which another token has",
                hint=f"numbers from {first} on are free",
            )
        taken.add(index)
    return {token: int(index) for token, index in special.items()}


def _encoding(ranks: dict[bytes, int], pattern: str, special: dict[str, int]) -> tiktoken.Encoding:
    try:
        import tiktoken
    except ImportError:
        raise ConfigError(
            "tokenizers of tiktoken need the package tiktoken", hint="pip install 'nemo-llm[tiktoken]'"
        ) from None
    try:
        return tiktoken.Encoding("nemo", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)
    except ValueError as error:
        raise ConfigError(
            f"tokenizer.pattern cannot be read: {error}", hint=f"a regular expression, or one of {', '.join(PATTERNS)}"
        ) from None
