"""A plugin package on disk, with modules that note when they are imported, and a registry that knows it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from nemo_core.plugins import Registry

FILES = {
    "studio/__init__.py": "",
    "studio/parts.py": """
        from __future__ import annotations

        from pathlib import Path
        from typing import Any, Literal

        from nemo_core.config import Configured


        class Encoder(Configured):
            def __init__(
                self,
                n_layers: int,
                width: int = 16,
                *,
                dropout: float = 0.1,
                kind: Literal["conv", "attention"] = "conv",
                strides: list[int] | None = None,
                bias: bool = True,
            ) -> None:
                self.n_layers, self.width, self.dropout = n_layers, width, dropout


        class Wide(Encoder):
            def __init__(self, factor: int = 2, **kwargs: Any) -> None:
                super().__init__(**kwargs)
                self.factor = factor


        class Decoder(Configured):
            def __init__(self, vocabulary: list[str], weights: Path | None = None) -> None:
                self.vocabulary = vocabulary


        class Model(Configured):
            def __init__(self, encoder: Encoder, decoder: Decoder | None = None, name: str = "") -> None:
                self.encoder, self.decoder = encoder, decoder


        class Data(Configured):
            def __init__(self, train: str, batch_size: int = 4, *, splits: dict[str, float] | None = None) -> None:
                self.train = train


        class SGD(Configured):
            def __init__(self, params: Any, lr: float = 0.1, momentum: float = 0.0) -> None:
                pass


        class Warmup(Configured):
            def __init__(self, optimizer: Any, max_steps: int, warmup_steps: int = 0) -> None:
                pass
    """,
    "studio/conf/studio/tiny.yaml": """
        # @package _global_
        defaults: [/nemo/base, _self_]
        name: tiny
        recipe: {summary: A tiny model, data: none, size: 1 kB}
        alphabet: [a, b]
        model:
          _target_: studio.Model
          encoder:
            _target_: studio.Encoder
            n_layers: 2
          decoder:
            _target_: studio.Decoder
            vocabulary: ${alphabet}
        data:
          _target_: studio.Data
          train: train.jsonl
        optim:
          name: sgd
          lr: 0.1
          scheduler: {name: Warmup, warmup_steps: 10}
    """,
    "studio/conf/studio/needs_data.yaml": """
        # @package _global_
        defaults: [/nemo/base, _self_]
        name: needs_data
        model: {_target_: torch.nn.Identity}
        data:
          _target_: studio.Data
          train: ???
        optim: {name: sgd, lr: 0.1}
    """,
    "studio/conf/studio/size/big.yaml": """
        # @package _global_
        model: {encoder: {n_layers: 20}}
    """,
    "studio/conf/studio/size/small.yaml": """
        # @package _global_
        model: {encoder: {n_layers: 1}}
    """,
    "studio/conf/studio/sized.yaml": """
        # @package _global_
        defaults: [tiny, size: small, _self_]
        recipe: {summary: Choose a size}
        name: sized
    """,
    "canary/__init__.py": "from canary import log",
    "canary/log.py": "raise SystemExit('a module that nobody trusts was imported')",
    "canary/song.py": "raise SystemExit('a module that nobody trusts was imported')",
    "my_pkg/__init__.py": "",
    "my_pkg/parts.py": """
        import os
        from os import system
        from studio.parts import Encoder


        class Mine(Encoder):
            pass


        def make(n_layers: int) -> Mine:
            return Mine(n_layers)
    """,
    "my_pkg2/__init__.py": "raise SystemExit('my_pkg does not vouch for my_pkg2')",
}


@dataclass(frozen=True)
class Studio:
    """Where the packages are, and what is registered of them."""

    folder: Path
    registry: Registry


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("site packages'")  # a blank and a quote: paths have them
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip())
    registry = Registry()
    registry.recipes("studio.conf", prefix="studio")
    registry.model("studio.Model", "studio.parts:Model")
    registry.module("studio.Encoder", "studio.parts:Encoder", aliases=("elsewhere.OldEncoder",))
    registry.module("studio.Wide", "studio.parts:Wide")
    registry.module("studio.Decoder", "studio.parts:Decoder")
    registry.dataset("studio.Data", "studio.parts:Data")
    registry.optimizer("sgd", "studio.parts:SGD")
    registry.scheduler("Warmup", "studio.parts:Warmup")
    sys.path.insert(0, str(folder))
    yield Studio(folder, registry)
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("studio", "canary", "my_pkg", "my_pkg2")]:
        del sys.modules[name]
