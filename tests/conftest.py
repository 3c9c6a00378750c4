"""Fixtures every test may use."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported, here and in every process a test starts
    os.environ["OMP_NUM_THREADS"] = "1"

from fusionbench import cli, environment

REPO = Path(__file__).parents[1]
SHARED = Path(os.environ.get("FUSIONBENCH_SHARED", REPO.parent / "shared"))


def _absent(what: str, reason: str) -> None:
    """Skip, or fail where FUSIONBENCH_REQUIRE names `what`: it must be there (names: CONTRIBUTING.md)."""
    if what in os.environ.get("FUSIONBENCH_REQUIRE", "").split(","):
        pytest.fail(f"required here: {reason}")
    pytest.skip(reason)


def package(name: str, what: str) -> Any:
    """A package that is not among those of every test; `what` needs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        _absent(what, f"{name} is not installed: {error}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images, released weights and reference values that lies beside the checkout.

    It is never part of the repository. Tests that need it carry the marker ``real``.
    """
    if not (SHARED / "reference").is_dir():
        _absent("real", f"no reference material at {SHARED} (set FUSIONBENCH_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def mm() -> None:
    """The libraries of the extra `tasks`, loaded."""
    from fusionbench.errors import FusionbenchError
    from fusionbench.tasks import openmmlab

    for package in ("mmseg", "mmdet"):
        try:
            openmmlab.load(package)
        except FusionbenchError as error:
            _absent("tasks", str(error))


@pytest.fixture(scope="session")
def pdflatex() -> str:
    """The TeX program."""
    found = shutil.which("pdflatex")
    if not found:
        _absent("latex", "pdflatex is not installed")
    return str(found)


@pytest.fixture(scope="session")
def xelatex() -> str:
    """The TeX program that knows all of Unicode."""
    found = shutil.which("xelatex")
    if not found:
        _absent("xelatex", "xelatex is not installed")
    return str(found)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window, driven through selenium; what it asks of the network stays unanswered."""
    driver, program = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("google-chrome")
    if not driver or not program:
        _absent("browser", "chromium and chromedriver are not installed")
    webdriver = package("selenium.webdriver", "browser")
    options = webdriver.ChromeOptions()
    options.binary_location = str(program)
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run", "disable-quic",
                 "disable-background-networking", "disable-component-update", "disable-sync"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    session = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=str(driver)))
    yield session
    session.quit()


@pytest.fixture(scope="session")
def compiler() -> None:
    """What ``torch.compile`` needs on a processor: a C++ compiler."""
    from fusionbench.errors import FusionbenchError
    from fusionbench.runtime.arithmetic import check_compiler

    try:
        check_compiler("cpu")
    except FusionbenchError as error:
        _absent("compiler", str(error))


@pytest.fixture(scope="session")
def oracle() -> Path:
    """The Python of an environment with PySODMetrics, whose pins do not go with ours."""
    python = REPO / "build/oracle/bin/python"
    if not python.exists():
        _absent("oracle", "no environment with PySODMetrics (make build/oracle/ready)")
    return python


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The built wheel, installed with the core alone in `venv` beside it."""
    built = next(iter((REPO / "build/wheel").glob("*.whl")), None)
    if built is None or not (built.parent / "ready").exists():
        _absent("wheel", "no wheel (make build/wheel/ready)")
    assert built is not None
    return built


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither do fixtures of whole files, which come before their tests'."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSIONBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        environment.apply()
        yield


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the user's weights, data or plugins."""
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    for name in ("DATA", "PLUGINS", "OUT", "PICTURES", "WHO"):
        monkeypatch.delenv(f"FUSIONBENCH_{name}", raising=False)
    environment.apply()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A data root with an MSRS tree of four small pairs."""
    make_tree(tmp_path / "data", 4)
    return tmp_path / "data"


def make_tree(root: Path, count: int, size: tuple[int, int] = (48, 64)) -> None:
    """Write `count` smooth random pairs as the MSRS test split under `root`."""
    from fusionbench.data import Sample
    from fusionbench.evaluation.contract import sample_images
    from fusionbench.plugins.cards import card
    from fusionbench.plugins.registry import resolve

    dataset = resolve("dataset", "msrs")(root / "MSRS", card("dataset", "msrs"))
    for index, ident in enumerate(dataset.split("test").ids[:count]):
        _, ir, vis = sample_images(1, *size, seed=index)
        dataset.write(Sample(ident, "test", ir[0].numpy(), vis[0].numpy()), "test")


@dataclass(frozen=True)
class Done:
    """How a command line ended."""

    returncode: int
    stdout: str
    stderr: str


def fusionbench(*arguments: object, **settings: str) -> Done:
    """Run the command line through its entry point in this process, with these environment variables."""
    with CliRunner().isolation(env=settings) as streams:
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in arguments])
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        out, err = (stream.getvalue().decode() for stream in streams[:2])
    environment.apply()  # the folders that the test's own calls use
    return Done(stop.value.code or 0, out, err)


def process(*arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, where a test needs a fresh one (each costs a start of torch)."""
    return subprocess.run(
        [sys.executable, "-m", "fusionbench", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **settings},
        timeout=300,
    )
