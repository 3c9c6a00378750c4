"""The container files are what their script writes; what they install and copy is there."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from tests.conftest import REPO
from tests.house.test_dependencies import project


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_containers", REPO / "containers/make.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_files_are_written_by_the_script(make: ModuleType) -> None:
    assert (REPO / "containers/Dockerfile").read_text() == make.dockerfile()
    assert (REPO / "containers/fusionbench.def").read_text() == make.apptainer()


def test_both_say_the_same(make: ModuleType) -> None:
    for text in (make.dockerfile(), make.apptainer()):
        assert make.BASE in text
        assert "it has not been built" in text
        for line in (*make.STEPS, *make.INSTALL, *make.FILES, *make.FOLDERS):
            assert line in text
    assert re.search(r"^USER [1-9]", make.dockerfile(), re.M)  # not root


def test_what_they_name_is_there(make: ModuleType) -> None:
    allowed = (REPO / ".dockerignore").read_text().split()
    for name in (*make.FILES, *make.FOLDERS):
        assert (REPO / name).exists()
        assert f"!{name}" in allowed
    assert set(make.EXTRAS.split(",")) <= project()["optional-dependencies"].keys()
    assert "\ntorch==" in "\n" + (REPO / "constraints.txt").read_text()
