"""Every job that a person or CI runs: ``nox -s quickstart``, ``nox -s tests``, and the parts of the second one.

Environments are made with uv where it is there (files are hard-linked from its cache: seconds, not minutes) and with
virtualenv where it is not. Every install goes through :func:`install`, which keeps to ``constraints.txt``: one torch,
the one that is pinned.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGES = ("core", "asr", "tts", "llm", "mm")
DOMAINS = PACKAGES[1:]
PAIRS = tuple(itertools.combinations(DOMAINS, 2))
TEST_TOOLS = ("hypothesis", "pytest", "pytest-timeout", "pytest-xdist")
# What a package's tests compare with, or what its extras bring; the package alone does not depend on them.
COMPARED_WITH = {
    "core": ("soundfile", "soxr"),
    "llm": ("peft", "pyarrow", "tiktoken", "transformers"),
    "mm": ("pyarrow", "soundfile", "soxr", "transformers"),
    "tts": ("jieba", "numba", "pypinyin"),
}
DOCS_TOOLS = ("furo", "myst-parser", "sphinx", "sphinx-copybutton")
TOOLS = (*TEST_TOOLS, *DOCS_TOOLS, *COMPARED_WITH["llm"], "import-linter", "mypy", "ruff", "types-PyYAML")
NOT_ON_A_CPU = {"gpu"}  # extras whose packages are built against CUDA
TORCH = "torch==2.13.0"
TRITON = "triton==3.7.1"  # what that torch brings in its builds for CUDA
LOCK_HEADER = (
    "# The exact versions that CI and the README's commands install; `nox -s lock` renews them. torch is pinned; a",
    "# wheel with a local version, such as 2.13.0+cpu, satisfies it.",
)

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests"]
nox.options.error_on_external_run = True


# ---------------------------------------------------------------------------------------------------- what people type


@nox.session
def quickstart(session: nox.Session) -> None:
    """Train a recogniser on real speech, print its word error rate, and let it transcribe recordings it never heard."""
    install(session, *wheels(session, "core", "asr"))
    session.run("python", str(ROOT / "packages/nemo-asr/examples/quickstart.py"), *session.posargs, env=job_env())


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Everything a change must pass; each part is a session of its own and the closing lines say what each took."""
    for name in ("lint", "imports", "types", "minimal"):
        session.notify(name)
    for package in PACKAGES:
        session.notify(f"unit({package})")
    for pair in PAIRS:
        session.notify(f"pairs({'+'.join(pair)})")
    for name in ("all", "docs", "quickstart"):
        session.notify(name)


# ------------------------------------------------------------------------------------------------------ parts of tests


@nox.session
@nox.parametrize("package", PACKAGES, ids=PACKAGES)
def unit(session: nox.Session, package: str) -> None:
    """Test one package alone: its wheel, what it declares, and nothing else; run outside the source tree."""
    install(session, *wheels(session, *needs(package)), *TEST_TOOLS, *COMPARED_WITH.get(package, ()))
    pytest(session, "--pyargs", f"nemo_{package}", str(ROOT / f"packages/nemo-{package}/tests"), *session.posargs)


@nox.session
@nox.parametrize("pair", PAIRS, ids=["+".join(pair) for pair in PAIRS])
def pairs(session: nox.Session, pair: tuple[str, str]) -> None:
    """Install two domain packages side by side: either import order, one plugin list, no clash of names."""
    install(session, *wheels(session, *dict.fromkeys(itertools.chain(*map(needs, pair)))), *TEST_TOOLS)
    env = {"NEMO_TEST_PACKAGES": ",".join(pair)}
    pytest(session, str(ROOT / "integration-tests/test_combinations.py"), workers=0, env=env)


@nox.session(name="all")
def all_packages(session: nox.Session) -> None:
    """Install all five and a stranger's plugin, run what crosses packages, then core's own tests in their presence."""
    plugin = build_wheel(session, ROOT / "integration-tests/third_party_plugin")
    install(session, *wheels(session, *PACKAGES), plugin, *TEST_TOOLS)
    env = {"NEMO_TEST_PACKAGES": ",".join(DOMAINS)}
    pytest(session, str(ROOT / "integration-tests"), *session.posargs, env=env)
    core_tests = ROOT / "packages/nemo-core/tests"
    pytest(session, *(str(core_tests / part) for part in ("plugins", "config", "cli")), env=env)


@nox.session
def minimal(session: nox.Session) -> None:
    """Import every module of every package with base dependencies only: optional ones must stay optional."""
    install(session, *wheels(session, *PACKAGES))
    script = str(ROOT / "integration-tests/import_every_module.py")
    session.chdir(session.create_tmp())
    session.run("python", script, *(f"nemo_{package}" for package in PACKAGES), env=job_env())


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff; ``nox -s lint -- --fix`` mends what can be mended."""
    install(session, "ruff")
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy; nemo-core strictly."""
    install(session, "mypy", *wheels(session, *PACKAGES), "types-PyYAML")
    session.run("mypy", *(f"packages/nemo-{package}/src" for package in PACKAGES), env=job_env())


@nox.session
def imports(session: nox.Session) -> None:
    """Check with import-linter that the layers hold: core knows no domain, domains do not know each other."""
    install(session, "import-linter")
    sources = os.pathsep.join(str(ROOT / f"packages/nemo-{package}/src") for package in PACKAGES)
    session.run("lint-imports", "--config", "pyproject.toml", env={"PYTHONPATH": sources})


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation with warnings as errors, and run the examples of its pages."""
    install(session, *wheels(session, *PACKAGES), *DOCS_TOOLS, *TEST_TOOLS, *COMPARED_WITH["tts"])
    shutil.rmtree(ROOT / "docs/_build", ignore_errors=True)
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html", env=job_env())
    pages = sorted(str(page) for page in (ROOT / "docs").glob("*.md"))
    pytest(session, "--doctest-glob=*.md", *pages, workers=0)
    session.log("open docs/_build/html/index.html")


@nox.session
def bench(session: nox.Session) -> None:
    """Run benchmarks: ``nox -s bench -- nemo-core typed``; no name runs all of the package's."""
    package, *names = session.posargs or ["nemo-core"]
    install(session, *wheels(session, *PACKAGES))
    runner = str(ROOT / f"packages/{package}/benchmarks/run.py")
    if not names:
        listed = session.run("python", runner, "--names", silent=True, env=job_env())
        names = (listed or "").split()
    for name in names:
        session.run("python", runner, name, env=job_env(UV=find_uv()))


@nox.session
def campaign(session: nox.Session) -> None:
    """Run the long tests that `tests` leaves out: nemo-core's and nemo-asr's, marked `campaign`."""
    install(session, *wheels(session, "core", "asr"), *TEST_TOOLS)
    tests_of = (str(ROOT / f"packages/nemo-{package}/tests") for package in ("core", "asr"))
    pytest(session, "-m", "campaign", *tests_of, *session.posargs)


@nox.session
def triton(session: nox.Session) -> None:
    """Test the losses' kernels for CUDA without a GPU: in Triton's interpreter, and that they compile."""
    install(session, *wheels(session, "core", "asr"), TRITON, *TEST_TOOLS)
    tests = str(ROOT / "packages/nemo-asr/tests/losses/test_backends.py")
    pytest(session, tests, *session.posargs, env={"TRITON_INTERPRET": "1"})


@nox.session
def torchaudio(session: nox.Session) -> None:
    """Test what uses the optional torchaudio: front ends against its own, and its loss where that loads."""
    install(session, *wheels(session, "core", "asr"), "nemo-asr[torchaudio]", *TEST_TOOLS)
    names = ("test_torchaudio_support.py", "modules/test_torchaudio_features.py", "losses/test_backends.py")
    pytest(session, *(str(ROOT / "packages/nemo-asr/tests" / name) for name in names), *session.posargs, workers=0)


@nox.session
def nvidia(session: nox.Session) -> None:
    """Compare with NVIDIA NeMo over many configurations, in both directions; ``nox -s nvidia -- NAME`` for some."""
    install(session, *wheels(session, "core", "asr"))
    script = str(ROOT / "integration-tests/nvidia/campaign.py")
    session.run("python", script, *session.posargs, env=job_env(UV=find_uv()))


@nox.session(venv_backend="none")
def lock(session: nox.Session) -> None:
    """Renew ``constraints.txt`` from what the packages declare and the jobs install; torch stays where it is pinned."""
    wanted = [*TOOLS, TORCH, TRITON]
    for package in PACKAGES:
        project = nox.project.load_toml(ROOT / f"packages/nemo-{package}/pyproject.toml")["project"]
        optional = project.get("optional-dependencies", {})
        extras = itertools.chain.from_iterable(optional[name] for name in optional if name not in NOT_ON_A_CPU)
        wanted += [item for item in (*project["dependencies"], *extras) if not item.startswith("nemo-")]
    command = [
        find_uv(),
        "pip",
        "compile",
        "-q",
        "-p",
        "3.11",
        "--no-annotate",
        "--no-header",
        "--no-emit-find-links",
        "-",
    ]
    done = subprocess.run(
        command, input="\n".join(wanted), env={**os.environ, **uv_env()}, capture_output=True, text=True, check=True
    )
    # A local version, such as +cpu, names one build of what is pinned; the constraint must admit the others.
    pins = [line.partition("+")[0] for line in done.stdout.splitlines() if "==" in line]
    CONSTRAINTS.write_text("\n".join((*LOCK_HEADER, *pins)) + "\n", encoding="utf-8")
    session.log(f"{len(pins)} versions written to {CONSTRAINTS.name}")


# ------------------------------------------------------------------------------------------------------------- helpers


def needs(package: str) -> tuple[str, ...]:
    """Return ``package`` and those of ours that it is built on."""
    return {"core": ("core",), "mm": ("core", "llm", "mm")}.get(package, ("core", package))


def job_env(**extra: str) -> dict[str, str]:
    """Environment of a job: bytecode is kept, since with it an import of torch takes half the time."""
    return {"PYTHONDONTWRITEBYTECODE": "", **extra}


def pytest(session: nox.Session, *args: str, workers: int = 2, env: dict[str, str] | None = None) -> None:
    """Run pytest from a folder outside the source tree, so that only what is installed can be imported."""
    outside = Path(session.create_tmp()) / "outside"
    outside.mkdir(exist_ok=True)
    parallel = ["-n", str(workers), "--dist", "worksteal"] if workers else ["-p", "no:xdist"]
    options = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-p", "no:cacheprovider", "--durations=8"]
    with session.chdir(outside):
        session.run(
            "python", "-m", "pytest", *options, *parallel, *args, env=job_env(OMP_NUM_THREADS="1", **(env or {}))
        )


def install(session: nox.Session, *requirements: str) -> None:
    """Install ``requirements`` under ``constraints.txt``, never a second torch.

    pip reads ``PIP_FIND_LINKS`` by itself; uv is told of it, so that a folder of wheels serves both. Without such a
    folder uv is asked for torch's CPU build, since the plain one brings gigabytes of CUDA that no job here uses.
    """
    env: dict[str, str] = {}
    if uses_uv(session):
        # In a reused environment a wheel of ours that was rebuilt has the same version: say that it is new.
        ours = [flag for name in PACKAGES for flag in ("--reinstall-package", f"nemo-{name}")]
        env = uv_env()
    else:
        wheels_of_ours = [item for item in requirements if item.endswith(".whl")]
        ours = []
        if wheels_of_ours and session.virtualenv._reused:
            session.run("python", "-m", "pip", "uninstall", "-q", "-y", *(f"nemo-{name}" for name in PACKAGES))
    session.install("-c", str(CONSTRAINTS), *ours, *requirements, env=env)


def uv_env() -> dict[str, str]:
    """Tell uv where torch comes from: the folder of wheels that pip knows, else torch's own index of CPU builds."""
    if os.environ.get("PIP_FIND_LINKS"):
        return {"UV_FIND_LINKS": ",".join(os.environ["PIP_FIND_LINKS"].split())}
    if "UV_TORCH_BACKEND" in os.environ or "UV_FIND_LINKS" in os.environ:
        return {}
    return {"UV_TORCH_BACKEND": "cpu"}


def uses_uv(session: nox.Session) -> bool:
    """Return whether the session's environment is made with uv."""
    return session.virtualenv.venv_backend == "uv"


def wheels(session: nox.Session, *packages: str) -> list[str]:
    """Return wheels of ``packages``; each is built once in a run."""
    return [build_wheel(session, ROOT / f"packages/nemo-{package}") for package in packages]


def build_wheel(session: nox.Session, project: Path) -> str:
    """Build the wheel of the project in a folder and return its path; a second call in one run builds nothing."""
    return _build_wheel(project, uses_uv(session))


@functools.cache
def _build_wheel(project: Path, with_uv: bool) -> str:
    target = ROOT / ".nox" / "wheels" / project.name
    shutil.rmtree(target, ignore_errors=True)
    if with_uv:
        command = [find_uv(), "build", "-q", "--wheel", "--out-dir", str(target), str(project)]
    else:
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(target), str(project)]
    subprocess.run(command, check=True)
    (wheel,) = target.glob("*.whl")
    return str(wheel)


def find_uv() -> str:
    """Return the uv that nox itself uses: the one installed beside it, else the one on the path."""
    try:
        from uv import find_uv_bin
    except ImportError:
        return shutil.which("uv") or "uv"
    return str(find_uv_bin())
