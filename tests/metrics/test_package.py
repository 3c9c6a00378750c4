"""The package's lazy names, the accumulating classes and the sharing object."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fusionbench import metrics
from fusionbench.metrics import Planes, aligned, per_image


def test_names_are_functions_and_classes_however_they_were_imported():
    code = """
import sys, fusionbench.metrics as m
assert "torch" not in sys.modules
assert {"vif", "VIF", "MeanOverImages", "Planes", "aligned", "planes"} <= set(dir(m))
assert "torch" not in sys.modules
import fusionbench.metrics.vif
assert m.vif is sys.modules["fusionbench.metrics.vif"].vif and callable(m.vif)
from fusionbench.metrics import VIF, ssim
from fusionbench.metrics.ssim import SSIM
assert VIF.function is m.vif and SSIM.function is ssim is m.ssim
assert not hasattr(m, "nothing") and not hasattr(m, "_nothing")
from fusionbench.metrics import Planes, aligned, planes
assert callable(aligned) and isinstance(planes(sys.modules["torch"].zeros(1, 2, 2)), Planes)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_for_type_checkers_exist():
    stub = ast.parse((Path(__file__).parents[2] / "metrics" / "__init__.pyi").read_text())
    names = {alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {"vif", "VIF", "MeanOverImages", "Planes", "aligned", "per_image", "planes"} <= names <= set(dir(metrics))


def test_mean_over_images_leaves_out_undefined_values():
    scd, x = metrics.SCD(), torch.arange(12.0).reshape(1, 3, 4)
    assert scd.values.shape == (0,)
    scd.update(torch.cat([x, x.sqrt()]), torch.cat([x, x]), torch.cat([x, x.flip(-1)]))
    assert scd.excluded == 1  # the first is a copy of its sources
    assert scd.compute() == scd.values[1]
    scd.reset()
    assert scd.compute().isnan()


def test_mean_over_images_passes_options():
    x = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    mi = metrics.MI(units="nats")
    mi.update(x, x, x.flip(-1))
    torch.testing.assert_close(mi.values, metrics.mi(x, x, x.flip(-1)) * torch.log(torch.tensor(2.0)).double())


def test_planes_compute_once_per_source():
    f, a = Planes(torch.zeros(1, 4, 4)), Planes(torch.ones(1, 4, 4))
    calls = []
    for source in (a, a, f):
        f.with_source(source, "key", lambda: calls.append(0))
    assert len(calls) == 2
    assert f.squared_error(a) is f.squared_error(a)


def test_planes_types():
    single = (torch.float16, torch.bfloat16, torch.float32)
    for dtype in (torch.uint8, torch.int16, torch.bool, torch.float64, *single):
        images = Planes(torch.zeros(1, 1, 2, 2, dtype=dtype))
        assert images.x.dtype == torch.float64
        assert images.dtype == (torch.float32 if dtype in single else torch.float64)
        assert images.whole == (not dtype.is_floating_point)
    assert not Planes(torch.zeros(1, 2, 2, requires_grad=True)).x.requires_grad
    with pytest.raises(ValueError, match="grey"):
        Planes(torch.zeros(2, 2))


def test_stretched_levels_round_halves_up():
    x = torch.tensor([[[10, 11, 12]], [[0, 0, 0]], [[5, 5, 5]]], dtype=torch.uint8)
    stretched = Planes(x).stretched()
    assert stretched[0].tolist() == [[0, 128, 255]]
    assert stretched[1].tolist() == [[0, 0, 0]]
    assert stretched[2].isnan().all()


def test_options_are_checked():
    x = torch.zeros(1, 64, 64)
    for name, option in {
        "ag": "divisor", "cc": "aggregate", "ei": "border", "mi": "levels", "psnr": "form", "qabf": "equal",
        "rmse": "form", "sd": "form", "sf": "divisor", "ssim": "window", "vif": "kernel",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match="got 'other'"):
            getattr(metrics, name)(x, x, x, **{option: "other"})
    with pytest.raises(ValueError, match="units"):
        metrics.mi(x, x, x, units="other")
    assert len(aligned(x, x, x)) == 3


def test_two_sources_are_averaged_or_added():
    f, a, b = (torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 255).split(1)
    parts = metrics.mse(f, a, a), metrics.mse(f, b, b)
    torch.testing.assert_close(metrics.mse(f, a, b), sum(parts) / 2)
    torch.testing.assert_close(metrics.cc(f, a, b, aggregate="sum"), 2 * metrics.cc(f, a, b))


def test_no_metric_file_imports_the_harness():
    allowed = {"torch", "math", "sys", "functools", "importlib", "pathlib", "types", "typing", "collections"}
    allowed |= {"tomllib", "tomli", "__future__", "contextlib", "contextvars"}
    home = Path(__file__).parents[2] / "metrics"
    for path in home.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            assert {n.partition(".")[0] for n in names} <= allowed, f"{path.name} imports {names}"


def test_per_image_keeps_the_rules_for_a_metric_of_ones_own():
    @per_image
    def brightest(fused, ir, vis, *, share: float = 1):
        f, _, _ = aligned(fused, ir, vis)
        return f.x.amax((1, 2)) * share

    x = torch.arange(24.0).reshape(2, 3, 4)
    assert brightest(x, x, x, share=0.5).tolist() == [5.5, 11.5]
    assert brightest(x, x, x).dtype == torch.float32
    assert brightest(x[:0], x[:0], x[:0]).shape == (0,)
    x[1, 0, 0] = torch.nan
    assert brightest(x.nan_to_num(0), x, x.nan_to_num(0)).isnan().tolist() == [False, True]
    assert brightest.__name__ == "brightest"
