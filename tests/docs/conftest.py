"""The documentation site, built once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO, package

ALONE = """
import runpy, socket, sys
def refuse(*_): raise OSError("the site is built without network")
socket.socket.connect = socket.create_connection = refuse
sys.argv[0] = "mkdocs"
runpy.run_module("mkdocs", run_name="__main__")
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the site, as `make docs` builds it, in a process that can open no connection."""
    package("material", "docs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, "build", "--strict", "--site-dir", folder],
        cwd=REPO,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder
