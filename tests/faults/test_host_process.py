"""A program that uses the Python interface is, afterwards, as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import locale, os, random, signal, sys, threading, warnings
from pathlib import Path

import numpy as np
import scipy.sparse, scipy.special, scipy.stats  # they add warning filters when they are imported
import torch

import fusionbench
from fusionbench.runtime import allocator

malloc_settings = []
allocator.ctypes.CDLL = lambda *_: malloc_settings.append("changed")


def state():
    return {
        "filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "seed": torch.initial_seed(),
        "random": hash(random.getstate()),
        "numpy's random": hash(str(np.random.get_state())),
        "torch's random": hash(str(torch.get_rng_state().tolist())),
        "errors": np.geterr(),
        "printing": np.get_printoptions(),
        "handlers": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
        "hooks": (sys.excepthook, sys.displayhook, threading.excepthook),
        "limits": (sys.getrecursionlimit(), sys.stdout.errors, sys.stdout.encoding),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "path": list(sys.path),
        "locale": locale.setlocale(locale.LC_ALL),
        "stand-in": "mmcv._ext" in sys.modules,
        "backend": sys.modules["matplotlib"].get_backend() if "matplotlib" in sys.modules else "",
        "malloc": list(malloc_settings),
        "running": threading.active_count(),
        "umask": os.umask(os.umask(0o22)) and 0,
    }


torch.set_num_threads(3)
warnings.simplefilter("error", ResourceWarning)
before = state()
rng = np.random.default_rng(0)
ir, vis = rng.integers(0, 256, (48, 64), np.uint8), rng.integers(0, 256, (48, 64, 3), np.uint8)
for method in ("average", "gff", "tdfusion[scenes-fmb]"):
    fusionbench.fuse(method, ir, vis)
result = fusionbench.evaluate(["average", "gff"], ["msrs"], ["en", "vif"], data_root=sys.argv[1], jobs=2)
str(result)
try:
    fusionbench.evaluate(["no such method"], ["msrs"], data_root=sys.argv[1])
except fusionbench.errors.FusionbenchError:
    pass
after = state()
changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
assert not changed, changed
"""


def test_evaluate_and_fuse_leave_no_trace(tree: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, str(tree)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_command_line_asks_for_its_memory_to_be_kept(tree: Path, tmp_path: Path) -> None:
    """And nobody else."""
    code = (
        "import sys\nfrom fusionbench.runtime import allocator\nasked = []\n"
        "allocator.keep_memory = lambda: asked.append(1)\nfrom fusionbench.cli import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n    print(len(asked))\n"
    )
    words = ["eval", "--methods=average", "--metrics=en", "--data-root", str(tree), "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "1"
