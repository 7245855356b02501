"""The peer of the benchmark ``prepare``: as Megatron-LM's tool goes about it; prints the seconds it took."""

import json
import multiprocessing
import sys
import time

import torch
from megatron.core.datasets.indexed_dataset import DType, IndexedDatasetBuilder

REPORT_EVERY = 1000
CHUNK = 32


def load(folder, backend):
    """Return a function from a text to its tokens, the token at the end of a document, and the vocabulary's size."""
    if backend == "tokenizers":
        from tokenizers import Tokenizer

        bare = Tokenizer.from_file(f"{folder}/tokenizer.json")
        return lambda text: bare.encode(text).ids, bare.token_to_id("<|endoftext|>"), bare.get_vocab_size()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda text: tokenizer(text).input_ids, tokenizer.eos_token_id, len(tokenizer)


class Encoder:
    """What each process of the pool does with a line."""

    def __init__(self, folder, backend):
        self.folder, self.backend = folder, backend

    def initialize(self):
        """Load the tokenizer, once per process."""
        Encoder.tokenize, Encoder.eod, _ = load(self.folder, self.backend)

    def encode(self, line):
        """Return tokens and lengths of the document in a line, and the size of the line."""
        text = json.loads(line)["text"]
        ids = list(Encoder.tokenize(text))
        lengths = [len(ids)]
        if ids:
            ids.append(Encoder.eod)
            lengths[-1] += 1
        return {"text": ids}, {"text": lengths}, len(line)


def main(lines, output, workers, folder, backend):
    encoder = Encoder(folder, backend)
    _, _, vocab_size = load(folder, backend)
    torch.set_num_threads(1)
    start = time.perf_counter()
    with open(lines, encoding="utf-8") as file, multiprocessing.Pool(workers, encoder.initialize) as pool:
        builder = IndexedDatasetBuilder(f"{output}.bin", dtype=DType.optimal_dtype(vocab_size))
        done = 0
        for number, (ids, lengths, size) in enumerate(pool.imap(encoder.encode, file, CHUNK), 1):
            done += size
            builder.add_document(ids["text"], lengths["text"])
            if number % REPORT_EVERY == 0:
                speed = done / (time.perf_counter() - start) / 1e6
                print(f"Processed {number} documents ({speed:.2f} MB/s)", file=sys.stderr)
        builder.finalize(f"{output}.idx")
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
