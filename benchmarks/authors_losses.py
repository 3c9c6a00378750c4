"""Values of the authors' loss functions on fixed tensors, with which `tests/methods/test_losses.py` compares ours.

    python benchmarks/authors_losses.py --repositories DIR            # compare with what is kept
    python benchmarks/authors_losses.py --repositories DIR --write    # keep it anew

``DIR`` holds a checkout of imagefusion-LRRNet, densefuse-pytorch, DATFuse, YDTR, MMIF-CDDFuse (whose ``Fusionloss`` is
SeAFusion's) and SwinFusion, each under its name, and the sources of kornia 0.2.0 (``kornia/``), whose SSIM CDDFuse and
DIDFuse train with. Their code is run as it stands; numbers alone are kept, in ``tests/methods/authors/losses.json``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock, patch

import torch
from torch import Tensor

KEPT = Path(__file__).resolve().parent.parent / "tests/methods/authors/losses.json"


def images() -> tuple[Tensor, Tensor, Tensor]:
    """Fused, infrared and visible ``[2,1,96,112]`` in [0,1], by a formula that every machine computes alike."""
    n, y, x = torch.meshgrid(torch.arange(2.0), torch.arange(96.0), torch.arange(112.0), indexing="ij")
    ir = 0.5 + 0.4 * torch.sin(x / 7 + n) * torch.cos(y / 5)
    vis = 0.2 + 0.5 * ((x // 9 + y // 11 + n) % 2)
    fused = 0.45 * ir + 0.5 * vis + 0.03 * torch.sin(x * y / 50)
    return fused[:, None], ir[:, None], vis[:, None]


def module(path: Path, name: str) -> ModuleType:
    """A file of theirs, imported under a name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    sys.modules[name] = loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def kornia(code: Path) -> ModuleType:
    """SSIM of kornia 0.2.0; of the package no more than that needs is imported."""
    for name in ("kornia", "kornia.filters", "kornia.geometry.transform.affwarp"):
        sys.modules[name] = ModuleType(name)
    sys.modules["kornia.geometry.transform.affwarp"].rotate = None  # named there, not needed here
    for name in ("kernels", "filter", "sobel"):
        if name == "sobel":
            sys.modules["kornia"].filters = sys.modules["kornia.filters"]  # type: ignore[attr-defined]
        part = module(code / f"kornia/filters/{name}.py", f"kornia.filters.{name}")
        vars(sys.modules["kornia.filters"]).update({k: v for k, v in vars(part).items() if not k.startswith("__")})
    return module(code / "kornia/losses/ssim.py", "kornia_ssim")


def values(code: Path) -> dict[str, float]:
    """Every value by the name of our function."""
    fused, ir, vis = images()
    dense = module(code / "densefuse-pytorch/pytorch_msssim/__init__.py", "dense")
    dat = module(code / "DATFuse/losses/__init__.py", "dat")
    ydtr = module(code / "YDTR/losses/__init__.py", "ydtr")
    cdd = module(code / "MMIF-CDDFuse/utils/loss.py", "cdd")
    swin = module(code / "SwinFusion/models/loss_ssim.py", "swin")
    ssim = kornia(code)
    _, intensity, gradient = cdd.Fusionloss()(vis, ir, fused)
    slope = sys.modules["kornia.filters"].SpatialGradient()
    base, detail = (torch.cat((x, x**2), 1) for x in (ir, fused)), (torch.cat((x, 1 - x**3), 1) for x in (vis, fused))
    correlations = [cdd.cc(*pair) for pair in (base, detail)]
    found = {
        **lrrnet(code / "imagefusion-LRRNet"),
        "intensity_max": intensity,
        "gradient_max": gradient,
        "gradient_of_means": dat.gra_loss(fused * torch.linspace(0, 1, 112), ir, vis),
        "gradient_l1": torch.nn.functional.l1_loss(slope(fused), slope(vis)),
        "frequency_norm": ydtr.sf_loss_ir(fused, ir),
        "ssim": 1 - dat.ssim(fused, ir),
        "ssim of 0..255": 1 - ydtr.ssim(255 * fused, 255 * vis),
        "ssim from -1": 1 - ydtr.ssim(2 * fused - 1.2, vis),
        "ssim_padded": swin.ssim(vis, fused),
        "dssim": ssim.SSIM(11, reduction="mean")(vis, fused),
        "ms_ssim": dense.msssim(fused, vis, normalize=True),
        "ms_ssim of 0..255": dense.msssim(255 * fused, 255 * ir, normalize=True),
        "correlation": correlations[0],
        "decomposition": correlations[1] ** 2 / (1.01 + correlations[0]),
    }
    return {name: float(value) for name, value in found.items()}


def fill(network: torch.nn.Module) -> None:
    """Weights by a formula, of a size that keeps features of images in [0,1] about as large."""
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            wave = torch.sin(torch.arange(float(parameter.numel())) ** 1.1 + number)
            fan = max(1, parameter[0].numel())
            parameter.copy_((wave * (6 / fan) ** 0.5).view_as(parameter))


def lrrnet(code: Path) -> dict[str, Tensor]:
    """Its features of VGG-16 and its Gram matrices; what it draws and reads pictures with is not needed here."""
    fused, ir, vis = images()
    absent = ("args", "scipy", "scipy.io", "matplotlib", "matplotlib.pyplot", "seaborn", "cv2")
    with patch.dict(sys.modules, {name: MagicMock() for name in absent}):
        tools = module(code / "utils.py", "lrrnet_utils")
    network = module(code / "net_lista.py", "lrrnet_net").Vgg16()
    fill(network)
    with torch.no_grad():
        own, (*_, deep), (shallow, *_) = network(fused), network(ir), network(vis)
    mse = torch.nn.functional.mse_loss
    return {
        "vgg16": mse(own[0], shallow),
        "gram_distance": mse(tools.gram_matrix(own[3]), tools.gram_matrix(deep)),
        "stretched": (tools.normalize_tensor(255 * fused) * ir).mean(),
    }


def main() -> None:
    """Compare, or keep anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repositories", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    here = {"cuda": lambda self, *_: self}
    with patch.multiple(Tensor, **here), patch.multiple(torch.nn.Module, **here):
        real = torch.device
        with patch.object(torch, "device", lambda *_: real("cpu")):
            found = values(options.repositories)
    if options.write:
        KEPT.write_text(json.dumps(found, indent=1) + "\n")
    kept = json.loads(KEPT.read_text())
    for name, value in found.items():
        print(f"{name}: {value:.9g}, kept {kept[name]:.9g}")
    sys.exit(any(abs(value - kept[name]) > 1e-6 * abs(value) for name, value in found.items()))


if __name__ == "__main__":
    main()
