"""``nemo tts g2p``: learning how letters sound, and measuring it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.output import JsonOption, OverwriteOption, print_json, refuse_overwrite, table

__all__ = ["train"]


def train(
    dictionary: Annotated[Path, typer.Argument(help="Words and sounds in CMUdict's format.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Model to write.")],
    order: Annotated[int, typer.Option(min=2, max=12, metavar="N", help="Letters of the longest n-gram.")] = 7,
    size: Annotated[int, typer.Option(min=1000, metavar="N", help="N-grams to keep.")] = 450_000,
    seed: Annotated[int, typer.Option(metavar="N", help="Which words are for training, development and test.")] = 0,
    json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Learn how letters sound from a dictionary, and measure it on words that were held out.

    90 % of the words are learned from, 5 % are for choosing options, 5 % for the final measurement; a word's part
    depends on the word and the seed alone. The model that comes with nemo-tts was made by this command with its
    defaults.

    Example:
      nemo tts g2p train cmudict.dict -o letter_to_sound.bin
    """
    from nemo_tts.text.english.letter_to_sound import LetterToSound
    from nemo_tts.text.english.letter_to_sound_training import evaluate, split
    from nemo_tts.text.english.letter_to_sound_training import train as learn
    from nemo_tts.text.english.lexicon import read_cmudict

    refuse_overwrite(output, overwrite)
    words: dict[str, list[list[str]]] = {}
    for word, phones in read_cmudict(dictionary):
        words.setdefault(word, []).append(phones)
    learned, development, test = split(words, seed)
    content = learn(learned, order, size).to_bytes()
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(content)
    model = LetterToSound.from_bytes(content)  # rounded, as it will be used
    rates = {name: asdict(evaluate(model, part)) for name, part in (("development", development), ("test", test))}
    if json:
        print_json({"model": str(output), "bytes": len(content), "words": len(learned), **rates})
    else:
        rows = [
            (name, *(rate if isinstance(rate, int) else f"{rate:.2%}" for rate in part.values()))
            for name, part in rates.items()
        ]
        table("", ["part", "words", "words wrong", "sounds wrong", "words, no stress", "sounds, no stress"], rows)
        typer.echo(f"{len(learned)} words learned from: {output}, {len(content)} bytes")
