"""What trains with the core alone: none of the libraries of the extra `tasks` is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fusionbench.data.synth import synth

BLOCKED = ("mmengine", "mmcv", "mmdet", "mmseg", "cv2", "pycocotools", "tensorboard")


@pytest.mark.parametrize(
    "words",
    [("refusion", "meta_steps=1", "patch=16"), ("cldyn", "validate=1", "crop=32", "--stage", "vfn")],
    ids=["refusion", "cldyn"],
)
def test_methods_without_the_extra(words: tuple[str, ...], tmp_path: Path) -> None:
    synth("msrs", tmp_path / "msrs", 4, 1, (64, 80), 0)
    program = f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED!r}))\nfrom fusionbench.cli import main\nmain()"
    name, *settings = words
    command = [
        "train",
        name,
        "--dataset",
        f"msrs={tmp_path / 'msrs'}",
        "--size",
        "tiny",
        "--out",
        str(tmp_path / "run"),
    ]
    command += ["--out", str(tmp_path / "run"), "--cfg-options", *settings, "epochs=1", "batch=2"]
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/weights.safetensors").is_file()
