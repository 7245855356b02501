from __future__ import annotations

import subprocess
import sys


def test_types_need_neither_torch_nor_numpy():
    code = "import sys, nemo_core.types; print(sorted({'torch', 'numpy', 'pytorch_lightning'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_typed_works_without_torch():
    code = """
import sys
from nemo_core.types import *
class Reader:
    input_types, output_types = {"path": NeuralType(None, String())}, {"n": NeuralType((), Int())}
    @typed
    def forward(self, path):
        return len(path)
assert Reader().forward("abc") == 3
try:
    Reader().forward()
except TypeError as error:
    print(error)
assert "torch" not in sys.modules
"""
    assert "Reader.forward lacks path" in subprocess.check_output([sys.executable, "-c", code], text=True)
