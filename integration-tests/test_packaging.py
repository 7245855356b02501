"""What the packages declare and ship: they fit each other, leave users their choice of versions, and lack no file."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tomllib
from importlib import resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECTS = {path.parent.name: tomllib.loads(path.read_text()) for path in ROOT.glob("packages/*/pyproject.toml")}
DOMAINS = sorted(set(PROJECTS) - {"nemo-core"})
INSTALLED = [name for name in sorted(PROJECTS) if importlib.util.find_spec(name.replace("-", "_"))]


def declared(name: str) -> list[Requirement]:
    project = PROJECTS[name]["project"]
    optional = [text for extra in project.get("optional-dependencies", {}).values() for text in extra]
    return [Requirement(text) for text in [*project.get("dependencies", []), *optional]]


#: What a part of the core needs and the rest of it does not; the domain packages that use the part ask for it.
PARTS_OF_THE_CORE = {"audio"}


def test_each_domain_package_is_an_extra_of_the_core() -> None:
    extras = PROJECTS["nemo-core"]["project"]["optional-dependencies"]
    for name in DOMAINS:
        assert extras[name.removeprefix("nemo-")] == [name]
    assert set(extras) == {name.removeprefix("nemo-") for name in DOMAINS} | PARTS_OF_THE_CORE | {"all"}
    (everything,) = (Requirement(text) for text in extras["all"])
    assert everything.name == "nemo-core"
    assert everything.extras == {name.removeprefix("nemo-") for name in DOMAINS}


def test_the_parts_of_the_core_are_what_its_domain_packages_ask_for() -> None:
    asked = {extra for name in DOMAINS for each in declared(name) if each.name == "nemo-core" for extra in each.extras}
    assert asked == PARTS_OF_THE_CORE


def test_all_is_also_what_the_installed_metadata_says() -> None:
    offered = importlib.metadata.metadata("nemo-core").get_all("Provides-Extra") or []
    assert set(offered) == set(PROJECTS["nemo-core"]["project"]["optional-dependencies"])


@pytest.mark.parametrize("name", DOMAINS)
def test_domain_packages_build_on_the_core_and_not_on_each_other(name: str) -> None:
    ours = {each.name for each in declared(name)} & set(PROJECTS)
    assert "nemo-core" in ours
    if name != "nemo-mm":
        assert ours == {"nemo-core"}
        return
    assert ours == {"nemo-core", "nemo-llm", "nemo-asr"}
    base = {Requirement(text).name for text in PROJECTS[name]["project"]["dependencies"]}
    assert "nemo-asr" not in base  # speech is an extra


#: What may name an upper bound: ``nemo_llm.megatron.cpu`` replaces functions inside the engine, release by release,
#: and refuses another one when it starts; pip shall not get a person that far.
BOUNDED = {"megatron-core"}


@pytest.mark.parametrize("name", sorted(PROJECTS))
def test_nothing_newer_is_shut_out(name: str) -> None:
    assert not [
        str(each)
        for each in declared(name)
        if each.name not in BOUNDED
        and any(spec.operator in ("<", "<=", "==", "~=", "!=", "===") for spec in each.specifier)
    ]
    assert PROJECTS[name]["project"]["requires-python"] == ">=3.11"


@pytest.mark.parametrize("name", sorted(PROJECTS))
def test_the_packages_are_of_one_make(name: str) -> None:
    project = PROJECTS[name]["project"]
    package = name.replace("-", "_")
    assert project["entry-points"]["nemo.plugins"] == {name.removeprefix("nemo-"): f"{package}.plugin"}
    assert PROJECTS[name]["build-system"]["build-backend"] == "hatchling.build"
    for file in ("README.md", "CHANGELOG.md", "LICENSE", f"src/{package}/py.typed"):
        assert (ROOT / "packages" / name / file).is_file(), file
    assert (ROOT / "packages" / name / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("name", INSTALLED)
def test_the_licence_comes_with_the_installed_package(name: str) -> None:
    distribution = importlib.metadata.distribution(name)
    licence = distribution.read_text("licenses/LICENSE")
    assert licence is not None
    assert "Apache License" in licence
    assert resources.files(name.replace("-", "_")).joinpath("py.typed").is_file()


@pytest.mark.parametrize("name", INSTALLED)
def test_every_file_of_the_sources_is_installed(name: str) -> None:
    package = name.replace("-", "_")
    source = ROOT / "packages" / name / "src" / package
    with resources.as_file(resources.files(package)) as installed:
        for path in source.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert (installed / path.relative_to(source)).is_file(), path
