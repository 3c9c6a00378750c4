"""The built wheel holds what the checkout holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO, fusionbench


@pytest.mark.slow
def test_wheel_lists_the_same_plugins(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    # From a copy: building in the checkout would leave a build/ folder there.
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{REPO}", tmp_path / "src"], check=True)
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path / "dist", tmp_path / "src"], check=True
    )
    (wheel,) = (tmp_path / "dist").glob("ivif_fusionbench-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    # The test's own packages stand in for the system's: only fusionbench itself comes from the wheel.
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    mine = [p for p in sys.path if p.endswith("site-packages")]
    (site / "zz_host.pth").write_text("\n".join(mine) + "\n")
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    code = "import fusionbench, sys\nprint(fusionbench.__file__, file=sys.stderr)\n"
    code += "from fusionbench.cli import main\nmain()"
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-c", code, "list", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stderr
    assert json.loads(done.stdout) == json.loads(fusionbench("list", "--json").stdout)
