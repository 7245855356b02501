"""Our side of the benchmark ``prepare``: prints the seconds it took."""

import sys
import time

from nemo_llm.data.prepare import prepare

if __name__ == "__main__":
    lines, output, workers, tokenizer = sys.argv[1:]
    start = time.perf_counter()
    prepare([lines], output, tokenizer, append_eod=True, overwrite=True, workers=int(workers))
    print(time.perf_counter() - start)
