from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

from nemo_core.config.signature import signature
from nemo_core.config.static import find_module, locate, module_folders

SOURCES = {
    "shapes/__init__.py": "from .core import *\nfrom shapes import deep as inner\nraise SystemExit('imported')",
    "shapes/core.py": """
        from abc import ABC
        from typing import Any, ClassVar, Generic, TypeVar
        import dataclasses
        from dataclasses import dataclass, field
        from shapes import deep
        from shapes.deep import Base as Root
        import unknown_module

        T = TypeVar("T")
        _hidden = 3
        Alias = Root

        class Child(Root):
            def __init__(self, size: int, *args, color: str = "red", **options):
                super().__init__(size, *args, **options)

        class Follows(deep.Base):
            def __init__(self, own=1, **options):
                super().__init__(own, colour="blue", **options)

        class Inherits(Generic[T], deep.Base):
            x = 1

        class Empty(ABC):
            pass

        class Mystery(unknown_module.Thing):
            pass

        class Swallows:
            def __init__(self, a, **rest):
                print(rest)

        @dataclass
        class Point:
            x: int
            y: float = 0.0
            kind: ClassVar[str] = "p"
            cache: dict = field(default_factory=dict, init=False)

        @dataclasses.dataclass(frozen=True)
        class Point3(Point):
            z: int | None = None

        @dataclass(kw_only=True)
        class Named(Point):
            unit: str
            x: int = 0

        @dataclass
        class Mixed(Root):
            size: int
            _: dataclasses.KW_ONLY
            unit: str = "m"

        def make(a, /, b, *, c=1): ...

        if True:
            class Conditional: ...
        try:
            import fast
        except ImportError:
            class Fallback: ...
    """,
    "shapes/deep/__init__.py": "from shapes.deep.base import Base",
    "shapes/deep/base.py": """
        class Base:
            def __init__(self, size, colour="red", weight: float = 1.0):
                pass
    """,
    "shapes/plain_folder/inside.py": "class Inside: ...",
    "shapes/broken.py": "class Broken(:",
    "shapes/loop_a.py": "from shapes.loop_b import Thing",
    "shapes/loop_b.py": "from shapes.loop_a import Thing",
}


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("path", "defined"),
    [
        ("shapes.Child", "shapes.core.Child"),
        ("shapes:Child", "shapes.core.Child"),
        ("shapes.core.Root", "shapes.deep.base.Base"),
        ("shapes.core.Alias", "shapes.deep.base.Base"),
        ("shapes.deep.Base", "shapes.deep.base.Base"),
        ("shapes.core.make", "shapes.core.make"),
        ("shapes.core.Conditional", "shapes.core.Conditional"),
        ("shapes.core.Fallback", "shapes.core.Fallback"),
        ("shapes.plain_folder.inside.Inside", "shapes.plain_folder.inside.Inside"),
        ("shapes._hidden", None),
        ("shapes.core._hidden", None),
        ("shapes.nothing.Child", None),
        ("shapes.inner.Base", None),  # a module under another name is no module path
        ("shapes.broken.Broken", None),
        ("shapes.loop_a.Thing", None),
        ("Child", None),
        ("math.sqrt", None),
    ],
)
def test_locate(shapes, path, defined):
    found = locate(path)
    assert (found.path if found else None) == defined
    assert "shapes" not in sys.modules


def test_find_module_imports_no_parents(shapes):
    assert find_module("shapes.deep.base").origin.endswith("base.py")
    assert find_module("shapes.core.deep") is None
    assert [folder.name for folder in module_folders("shapes.plain_folder")] == ["plain_folder"]
    assert "shapes" not in sys.modules


@pytest.mark.parametrize(
    ("name", "required", "optional", "is_open"),
    [
        ("Child", {"size"}, {"color", "weight"}, False),  # what it passes on, less what it fills by position
        ("Follows", set(), {"own", "weight"}, False),
        ("Inherits", {"size"}, {"colour", "weight"}, False),
        ("Empty", set(), set(), False),
        ("Mystery", set(), set(), True),
        ("Swallows", {"a"}, set(), True),
        ("Point", {"x"}, {"y"}, False),
        ("Point3", {"x"}, {"y", "z"}, False),
        ("Named", {"unit"}, {"x", "y"}, False),
        ("Mixed", {"size"}, {"unit"}, False),  # the base is no dataclass, so its constructor is not called
        ("make", {"b"}, {"c"}, False),
    ],
)
def test_signature(shapes, name, required, optional, is_open):
    found = signature(locate(f"shapes.core.{name}"))
    if name == "Child":
        optional = optional | {"colour"}  # *args may or may not reach it
    assert {each.name for each in found.parameters.values() if each.required} == required
    assert {each.name for each in found.parameters.values() if not each.required} == optional
    assert found.open == is_open


@pytest.mark.parametrize(
    ("name", "order"), [("Point3", ("x", "y", "z")), ("Named", ("y",)), ("Mixed", ("size",)), ("make", ("a", "b"))]
)
def test_what_can_be_given_by_position(shapes, name, order):
    assert signature(locate(f"shapes.core.{name}")).order == order


def test_reading_torch_does_not_import_it():
    code = """
        import sys
        from nemo_core.config.signature import signature
        from nemo_core.config.static import locate
        found = signature(locate("torch.optim.AdamW"))
        assert {"lr", "betas", "weight_decay"} < set(found.parameters), found
        assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", dedent(code)], check=True)
