"""Benchmarks of nemo-mm: ``python run.py`` lists them, ``python run.py NAME`` runs one."""

from pathlib import Path

from nemo_core.testing.bench import main

if __name__ == "__main__":
    main(Path(__file__).parent)
