"""How often Chinese characters with several readings are read right: pypinyin alone, with jieba's words, and ours.

The data are the test sentences of g2pM (Park and Lee, 2020, arXiv:2004.03136), one marked character each. With
``--train`` the model that nemo-tts ships is made anew from the development sentences and written first.

    python packages/nemo-tts/benchmarks/polyphones.py FOLDER_WITH_test.sent_AND_test.lb
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import time
from collections.abc import Callable
from pathlib import Path

from nemo_tts.text.mandarin.polyphones import PolyphoneModel
from nemo_tts.text.mandarin.polyphones_training import (
    MarkedSentence,
    marked_word,
    read_marked,
    train,
)


def alone(sentence: MarkedSentence) -> str:
    """Return the reading that pypinyin gives within the whole sentence."""
    import pypinyin

    readings = pypinyin.lazy_pinyin(
        sentence.text,
        style=pypinyin.Style.TONE3,
        neutral_tone_with_five=True,
        v_to_u=False,
        errors=lambda unknown: list(unknown),
    )
    return str(readings[sentence.place])


def with_words(sentence: MarkedSentence) -> str:
    """Return the reading that pypinyin gives within the word that jieba finds."""
    word, offset = marked_word(sentence)
    return word.readings[offset]


def ours(sentence: MarkedSentence) -> str:
    """Return the reading that the model of nemo-tts chooses."""
    return PolyphoneModel.shipped().read(sentence.text, *marked_word(sentence))


def accuracy(read: Callable[[MarkedSentence], str], sentences: list[MarkedSentence]) -> tuple[float, float]:
    """Return the share of right readings and the milliseconds a sentence."""
    read(sentences[0])  # dictionaries are read at the first use
    start = time.perf_counter()
    right = sum(read(sentence) == sentence.reading for sentence in sentences)
    return right / len(sentences), 1000 * (time.perf_counter() - start) / len(sentences)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with test.sent and test.lb (and dev.sent, dev.lb)")
    parser.add_argument("--train", type=Path, metavar="FILE", help="make the model from dev.* and write it here")
    options = parser.parse_args()
    if options.train:
        content = train(list(read_marked(options.data / "dev.sent", options.data / "dev.lb"))).to_bytes()
        options.train.write_bytes(content)
        print(f"{options.train}: {len(content)} bytes")
    sentences = list(read_marked(options.data / "test.sent", options.data / "test.lb"))
    figures = {}
    print(f"{len(sentences)} sentences")
    print(f"{'reader':<24}{'right':>10}{'ms/sentence':>14}")
    for name, read in (("pypinyin", alone), ("pypinyin, jieba's words", with_words), ("nemo-tts", ours)):
        figures[name], milliseconds = accuracy(read, sentences)
        print(f"{name:<24}{figures[name]:>10.2%}{milliseconds:>14.2f}")
    peer = max(figures["pypinyin"], figures["pypinyin, jieba's words"])
    print(
        json.dumps(
            {
                "benchmark": "polyphones",
                "ours": figures["nemo-tts"],
                "peer": peer,
                "unit": "share of readings that are right",
                "ratio": figures["nemo-tts"] / peer,
                "target": 1.0,
                "ok": figures["nemo-tts"] > peer,
                "versions": {name: importlib.metadata.version(name) for name in ("nemo-tts", "pypinyin", "jieba")},
            }
        )
    )


if __name__ == "__main__":
    main()
