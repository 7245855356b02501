"""Text from prompts: the functions that users call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError, DataError
from nemo_llm.generation.decoder import Decoder, Replaced
from nemo_llm.generation.loading import LoadedModel
from nemo_llm.generation.loop import FinishReason, Row, run
from nemo_llm.generation.sampling import Sampling, row_keys
from nemo_llm.generation.stops import StopFinder

if TYPE_CHECKING:
    from nemo_llm.models.config import ModelConfig
    from nemo_llm.tokenizers import StreamDecoder, Tokenizer

__all__ = ["Generation", "generate", "stream"]

Prompt = str | Sequence[int]

#: Tokens of a prompt that are decoded along with the answer.
_CONTEXT = 8


@dataclass(frozen=True)
class Generation:
    """What a model made of a prompt.

    Attributes:
        text: What follows the prompt; up to a stop string, without it. Empty if there is no tokenizer.
        tokens: New tokens; the one that ended the text is the last.
        finish_reason: ``eos``: the model ended it; ``stop``: a stop string; ``length``: no more tokens were asked for,
            or fit.
        logprobs: Natural logarithm of each token's probability, before temperature and the like; if asked for.
    """

    text: str
    tokens: list[int]
    finish_reason: FinishReason
    logprobs: list[float] | None = None


def generate(
    model: Any,
    prompts: Sequence[Prompt] | str,
    *,
    max_tokens: int = 128,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    greedy: bool = False,
    repetition_penalty: float = 1.0,
    stop: Sequence[str] = (),
    seed: int | None = None,
    ignore_eos: bool = False,
    eos: Sequence[int] | None = None,
    bos: bool | None = None,
    logprobs: bool = False,
    batch_size: int = 64,
    tokenizer: Tokenizer | None = None,
    replaced: Sequence[Replaced | None] | None = None,
) -> list[Generation]:
    """Continue texts.

    A row's tokens depend on its prompt and the seed, not on the company it is computed in; where two tokens are equally
    likely up to rounding, the company may decide. With several processes all call it alike, and all get the same.

    Args:
        model: Of :func:`~nemo_llm.generation.load_for_generation`, or a language model with its weights, or the chunks
            that ``build_chunks`` makes.
        prompts: Texts, or lists of tokens.
        max_tokens: New tokens at most, per prompt.
        temperature: What logits are divided by; 0 is greedy.
        top_k: Choose among the ``k`` likeliest tokens only.
        top_p: Choose among the fewest likeliest tokens that have this much probability together.
        greedy: Always take the likeliest token.
        repetition_penalty: Makes tokens less likely that are there already; 1 is none.
        stop: Texts that end an answer; what stands before them is kept, they are not.
        seed: Of the random numbers; None: another one each time.
        ignore_eos: Go on after tokens that end a text.
        eos: Which these are; those of the tokenizer if not given.
        bos: Begin texts with the token for that; None: as the tokenizer does for its model.
        logprobs: Return the logarithms of the tokens' probabilities too.
        batch_size: Prompts that are computed together.
        tokenizer: If the model has none; needed for texts.
        replaced: For each prompt, embeddings in the places of those of some tokens: of what is no text, such as an
            image; or None.

    Returns:
        One for each prompt, in their order.

    Raises:
        ConfigError: A setting is not possible, or texts are given and there is no tokenizer.
        DataError: A prompt is empty, too long, or has tokens that the model does not know.

    Example:
        >>> from nemo_llm.megatron import engine
        >>> from nemo_llm.models import ModelConfig, build_gpt
        >>> config = ModelConfig(vocab_size=65, hidden_size=32, num_layers=1, num_heads=2, ffn_size=64)
        >>> with engine(seed=1):
        ...     model = build_gpt(config)
        ...     found = generate(model, [[1, 2, 3], [4]], max_tokens=5, greedy=True)
        >>> [len(each.tokens) for each in found], found[0].finish_reason
        ([5, 5], 'length')
    """
    sampling = Sampling(
        max_tokens, temperature, top_k, top_p, greedy, repetition_penalty, tuple(_list(stop)), ignore_eos, seed
    )
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}", hint="give a whole number from 1 on")
    job = _Job(model, tokenizer, sampling, eos)
    rows = job.rows([prompts] if isinstance(prompts, str) else prompts, bos, streams=bool(sampling.stop))
    if replaced is not None:
        if len(replaced) != len(rows):
            raise DataError(f"{len(rows)} prompts have embeddings for {len(replaced)}")
        for row, each in zip(rows, replaced, strict=True):
            row.replaced = each
    texts: dict[int, list[str]] = {}
    # Prompts of like length together: padding is computed too.
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].prompt))
    with job.decoder() as decoder:
        for start in range(0, len(order), batch_size):
            batch = [rows[place] for place in order[start : start + batch_size]]
            for grown in run(decoder, batch, sampling, ends=job.ends, known=job.known, logprobs=logprobs):
                for row, text in grown:
                    texts.setdefault(id(row), []).append(text)
    return [job.result(row, "".join(texts[id(row)]), logprobs) for row in rows]


def stream(model: Any, prompt: Prompt, **options: Any) -> Iterator[str]:
    """Continue one text, and yield it piece by piece as it becomes certain.

    A piece never ends within a character, nor does it contain what may be the beginning of a stop string; the pieces
    together are the ``text`` that :func:`generate` returns.

    Args:
        model: As for :func:`generate`.
        prompt: A text, or tokens.
        options: As for :func:`generate`, but for ``logprobs`` and ``batch_size``.
    """
    tokenizer, eos, bos = (options.pop(name, None) for name in ("tokenizer", "eos", "bos"))
    options["stop"] = tuple(_list(options.pop("stop", ())))
    sampling = Sampling(**options)
    job = _Job(model, tokenizer, sampling, eos)
    if job.tokenizer is None:
        raise ConfigError("there is no tokenizer to make text of tokens", hint="give tokenizer=load_tokenizer(folder)")
    rows = job.rows([prompt], bos, streams=True)
    return _pieces(job, rows, sampling)


def _pieces(job: _Job, rows: list[Row], sampling: Sampling) -> Iterator[str]:
    with job.decoder() as decoder:
        for grown in run(decoder, rows, sampling, ends=job.ends, known=job.known):
            yield from (text for _, text in grown if text)


class _Job:
    """What a call works with."""

    def __init__(self, model: Any, tokenizer: Tokenizer | None, sampling: Sampling, eos: Sequence[int] | None) -> None:
        self.model = model
        self.chunks, self.config = _parts(model)
        self.tokenizer: Tokenizer | None = tokenizer if tokenizer is not None else getattr(model, "tokenizer", None)
        self.sampling = sampling
        self.known = self.config.vocab_size
        ends: set[int] = set(eos or ())
        if self.tokenizer is not None:
            from nemo_llm.tokenizers import check_vocab

            check_vocab(self.tokenizer, self.config.vocab_size)
            self.known = min(self.known, self.tokenizer.vocab_size)
            if eos is None:
                ends |= set(self.tokenizer.stop_ids)
            ends |= {index for text, index in self.tokenizer.special_tokens.items() if text in sampling.stop}
        elif sampling.stop:
            raise ConfigError("stop strings need a tokenizer", hint="give tokenizer=load_tokenizer(folder)")
        self.ends: frozenset[int] = frozenset() if sampling.ignore_eos else frozenset(ends)

    def rows(self, prompts: Sequence[Prompt], bos: bool | None, *, streams: bool) -> list[Row]:
        """Return a row for each prompt.

        Raises:
            ConfigError: It is a text, and there is no tokenizer.
            DataError: It is empty, too long, or has tokens that the model does not know.
        """
        encoded = [self._tokens(prompt, bos, number) for number, prompt in enumerate(prompts, 1)]
        keys = row_keys(encoded, _same_everywhere(self.sampling.seed))
        rows = []
        for tokens, key in zip(encoded, keys, strict=True):
            row = Row(tokens, key, min(self.sampling.max_tokens, self.config.max_length - len(tokens)))
            if streams and self.tokenizer is not None:
                row.stream = _stream_after(self.tokenizer, tokens)
                row.stops = StopFinder(self.sampling.stop) if self.sampling.stop else None
            rows.append(row)
        return rows

    def _tokens(self, prompt: Prompt, bos: bool | None, number: int) -> list[int]:
        if isinstance(prompt, str):
            if self.tokenizer is None:
                raise ConfigError(
                    "prompts are texts, and there is no tokenizer",
                    hint="give tokenizer=load_tokenizer(folder), or lists of tokens",
                )
            begins = _begins_with_bos(self.tokenizer) if bos is None else bos
            tokens = self.tokenizer.encode(prompt, bos=begins)
        else:
            tokens = [int(token) for token in prompt]
        if not tokens:
            raise DataError(f"prompt {number} is empty", hint="give it at least one letter to go on from")
        if wrong := [token for token in tokens if not 0 <= token < self.config.vocab_size]:
            raise DataError(
                f"prompt {number} has token {wrong[0]}, and the model knows {self.config.vocab_size}",
                hint="tokens go from 0 to one less; is the tokenizer that of the model?",
            )
        if len(tokens) >= self.config.max_length:
            raise DataError(
                f"prompt {number} has {len(tokens)} tokens; the model takes {self.config.max_length}, answer included",
                hint="shorten it",
            )
        return tokens

    @contextmanager
    def decoder(self) -> Iterator[Decoder]:
        """Yield the decoder; the model is in evaluation mode meanwhile."""
        modes = [chunk.training for chunk in self.chunks]
        for chunk in self.chunks:
            chunk.eval()
        try:
            own = isinstance(self.model, LoadedModel)  # it keeps one, with weights laid out for it
            yield self.model.decoder() if own else Decoder(self.chunks, self.config)
        finally:
            for chunk, mode in zip(self.chunks, modes, strict=True):
                chunk.train(mode)

    def result(self, row: Row, text: str, logprobs: bool) -> Generation:
        """Return what is told of a row that has ended."""
        assert row.finish_reason is not None
        if row.stream is None and self.tokenizer is not None:
            stream = _stream_after(self.tokenizer, row.prompt)
            ended = row.finish_reason == "eos"
            text = stream.extend(row.tokens[:-1] if ended else row.tokens) + stream.finish()
        return Generation(text, row.tokens, row.finish_reason, row.logprobs if logprobs else None)


def _parts(model: Any) -> tuple[list[Any], ModelConfig]:
    """Return chunks and architecture.

    Raises:
        ConfigError: It is no model, or has no weights yet.
    """
    chunks = getattr(model, "chunks", None)
    if chunks is None:
        chunks = model if isinstance(model, list | tuple) else [model]
    chunks = list(chunks)
    if not chunks:
        raise ConfigError("the model has no weights yet", hint="with nemo_llm.megatron.engine(): model.build()")
    config = getattr(model, "config", None) if hasattr(model, "chunks") else None
    if config is None:
        inner = chunks[0]
        while not hasattr(inner, "architecture") and hasattr(inner, "module"):
            inner = inner.module
        config = getattr(inner, "architecture", None)
    if config is None:
        raise ConfigError(
            f"{type(model).__name__} is no language model",
            hint="give load_for_generation(folder), or build_chunks(...)",
        )
    return chunks, config


def _stream_after(tokenizer: Tokenizer, prompt: Sequence[int]) -> StreamDecoder:
    """Return what makes text of the tokens behind a prompt: some tokenizers drop a space at the start of a text."""
    stream = tokenizer.stream()
    stream.extend(prompt[-_CONTEXT:])
    return stream


def _begins_with_bos(tokenizer: Tokenizer) -> bool:
    """Return whether the model knows texts only with the token for their start before them."""
    return tokenizer.adds_bos and tokenizer.bos_id is not None


def _same_everywhere(seed: int | None) -> int:
    """Return the seed, or one that is drawn by the first process for all."""
    import secrets

    from torch import distributed

    if seed is not None:
        return seed
    drawn = [secrets.randbits(62)]
    if distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.broadcast_object_list(drawn, 0)
    return drawn[0]


def _list(value: Sequence[str] | str | None) -> Sequence[str]:
    return [value] if isinstance(value, str) else value or ()
