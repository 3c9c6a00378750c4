"""Values of the authors' loss functions on fixed tensors, with which `tests/methods/test_losses.py` compares ours.

    python benchmarks/authors_losses.py --repositories DIR            # compare with what is kept
    python benchmarks/authors_losses.py --repositories DIR --write    # keep it anew

``DIR`` holds a checkout of imagefusion-LRRNet, densefuse-pytorch, DATFuse, YDTR, MMIF-CDDFuse (whose ``Fusionloss`` is
SeAFusion's), MMIF-EMMA, SwinFusion, SeAFusion, SegMiF, MRFS, IRFS, TarDAL, UAAFusion, SAGE_IVIF and DetFusion, each
under its name, and the sources of kornia: 0.2.0 (``kornia/``), which CDDFuse, DIDFuse and EMMA train with, and 0.6.8
(``kornia-0.6.8/kornia/``), with which TarDAL trains. Their code is run as it stands, without packages that a loss does
not use; numbers alone are kept, in ``tests/methods/authors/losses.json``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
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


def classes() -> tuple[Tensor, Tensor]:
    """Logits ``[2,3,96,112]`` and labels ``[2,96,112]``, some of which do not count."""
    x = torch.cat(images(), 1)
    labels = (6 * x[:, 2]).long() % 3
    labels[:, :8] = 255
    return 5 * x, labels


def critic(x: Tensor) -> Tensor:
    """Something with a slope, in the place of a network that tells images apart: ``[B,1,H,W]`` to ``[B,1]``."""
    return (x * torch.sin(3 * x)).sum((2, 3)) / 10


def slopes() -> Tensor:
    """Where between two images that slope is looked at, ``[2,1,1,1]``."""
    return torch.tensor([0.3, 0.8]).view(2, 1, 1, 1)


def class_scores(x: Tensor) -> Tensor:
    """Scores of 15 classes ``[B,15,H,W]``, in the place of a segmentation network."""
    near = x + x.roll(1, -1)
    return torch.cat([torch.sin(k * near) for k in range(1, 16)], 1)


def labels() -> Tensor:
    """Class ids ``[2,96,112]``, eight of them."""
    n, y, x = torch.meshgrid(torch.arange(2), torch.arange(96), torch.arange(112), indexing="ij")
    return (x // 30 + 3 * (y // 40) + n) % 15


def module(path: Path, name: str) -> ModuleType:
    """A file of theirs, imported under a name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    sys.modules[name] = loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


class Absent(ModuleType):
    """A package that their files import and do not need here: whatever is asked of it is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def stand_in(name: str) -> ModuleType:
    """Such a package of this name, and those above it."""
    package = sys.modules.setdefault(name, Absent(name))
    above, _, own = name.rpartition(".")
    if above:
        setattr(stand_in(above), own, package)
    return package


def segmif(code: Path) -> ModuleType:
    """Its losses."""
    module(code / "pytorch_ssim/__init__.py", "pytorch_ssim")
    module(code / "lap_loss.py", "lap_loss")
    stand_in("core.Entropy")
    return module(code / "core/loss.py", "core.loss")


def mrfs(code: Path) -> Tensor:
    """Its loss of fusion with the values for MFNet; the two functions of torchvision that it calls are restated."""
    functional = stand_in("torchvision.transforms.functional")
    functional.adjust_gamma = lambda x, gamma, gain: (gain * x**gamma).clamp(0, 1)  # type: ignore[attr-defined]
    weights = torch.tensor([0.2989, 0.587, 0.114])[:, None, None]

    def contrast(x: Tensor, factor: float) -> Tensor:
        mean = (weights * x).sum(1, keepdim=True).mean((1, 2, 3), keepdim=True)
        return (factor * x + (1 - factor) * mean).clamp(0, 1)

    functional.adjust_contrast = contrast  # type: ignore[attr-defined]
    found: Tensor = module(code / "MFNet/utils/loss_utils.py", "mrfs").FusionLoss()(*coloured(), 1.0)
    return found


def irfs(code: Path, *pair: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The fused image, and two terms of its loss of fusion."""
    stand_in("kornia.losses")
    similarity = module(code / "loss/ms_ssim.py", "loss.ms_ssim").MSSSIM()(pair[0], pair[2])
    return pair[0], similarity, module(code / "loss/fusion_loss.py", "irfs").JointGrad()(*pair)


def irfs_target(code: Path, ir: Tensor, vis: Tensor) -> Tensor:
    """The mean of what its loss draws the fused image to, with its maps of saliency as files hold them."""
    for name in ("cv2", "kornia"):
        stand_in(name)
    theirs, found = module(code / "data/get_svm_map_softmax.py", "saliency_maps"), []
    for one in zip(ir[:, 0], vis[:, 0], strict=True):
        maps = [theirs.vsm((255 * x).round().to(torch.uint8).numpy()) for x in one]
        shares = [torch.from_numpy((255 * w).astype("uint8") / 255.0) for w in theirs.softmax(*maps, c=5)]
        found.append(0.9 * shares[0] * one[0] + 0.6 * shares[1] * one[1])
    return torch.stack(found).mean()


def coloured() -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Visible and infrared ``[2,3,96,112]``, and what is fused of them."""
    fused, ir, vis = images()
    colours = torch.cat((vis, 0.5 * vis + 0.2 * ir, 1 - vis), 1)
    return (colours, ir.expand(-1, 3, -1, -1)), 0.6 * colours + 0.4 * fused


def kornia(code: Path) -> ModuleType:
    """SSIM of kornia 0.2.0; of the package no more than that needs is imported."""
    for name in ("kornia", "kornia.filters", "kornia.geometry.transform.affwarp"):
        sys.modules[name] = ModuleType(name)
    sys.modules["kornia.geometry.transform.affwarp"].rotate = None  # named there, not needed here
    for name in ("kernels", "filter", "sobel", "laplacian"):
        if name == "sobel":
            sys.modules["kornia"].filters = sys.modules["kornia.filters"]  # type: ignore[attr-defined]
        part = module(code / f"kornia/filters/{name}.py", f"kornia.filters.{name}")
        vars(sys.modules["kornia.filters"]).update({k: v for k, v in vars(part).items() if not k.startswith("__")})
    sys.modules["kornia"].filter2D = sys.modules["kornia.filters"].filter2D  # type: ignore[attr-defined]
    return module(code / "kornia/losses/ssim.py", "kornia_ssim")


def tardal(code: Path) -> dict[str, Tensor]:
    """TarDAL's; of kornia 0.6.8 the files that it takes part with."""
    fused, ir, vis = images()
    for name in [name for name in sys.modules if name.partition(".")[0] == "kornia"]:
        del sys.modules[name]
    home = code / "kornia-0.6.8/kornia"
    for name in ("kornia", "kornia.filters", "kornia.testing"):
        sys.modules[name] = ModuleType(name)
    sys.modules["kornia.testing"].KORNIA_CHECK_IS_TENSOR = sys.modules["kornia.testing"].KORNIA_CHECK_SHAPE = print  # type: ignore[attr-defined]
    for name in ("kernels", "filter", "sobel"):
        part = module(home / f"filters/{name}.py", f"kornia.filters.{name}")
        vars(sys.modules["kornia.filters"]).update({k: v for k, v in vars(part).items() if not k.startswith("__")})
    slope = sys.modules["kornia.filters"].spatial_gradient(vis, "sobel")
    div = module(code / "TarDAL/functions/div_loss.py", "div_loss")
    with patch.object(torch, "rand", lambda _: slopes()):
        divergence = div.div_loss(critic, ir, fused, 6)
    return {
        "gradient_size": (slope[:, :, 0] ** 2 + slope[:, :, 1] ** 2 + 1e-8).sqrt().mean(),
        "divergence": divergence,
        "ms_ssim_l1": module(home / "losses/ms_ssim.py", "kornia_ms_ssim").MS_SSIMLoss()(fused, vis),
    }


def uaafusion(code: Path) -> dict[str, Tensor]:
    """UAAFusion's, with whole functions in the place of a network's scores."""
    fused, ir, vis = images()
    kind = module(code / "UAAFusion/nets/UAAFusion.py", "uaafusion").UAAFusion
    hot = torch.nn.functional.one_hot(labels(), 15).permute(0, 3, 1, 2)
    matter = [kind.cal_weight_IG(SimpleNamespace(attnum=5), image, hot, class_scores) for image in (ir, vis)]
    own = SimpleNamespace(cal_weight_IG=lambda image, *_: matter[0] if image is ir else matter[1])
    weights = kind.cal_weight(own, ir, vis, hot, class_scores)[:2]
    terms = [(w * (image - fused)).square().mean() for w, image in zip(weights, (ir, vis), strict=True)]
    return {"class_attribution": matter[0].mean(), "attributed_distance": terms[0] + terms[1]}


def sage(code: Path) -> dict[str, Tensor]:
    """SAGE's student, without the contrast of SAM's features; the square root of visible stands for a teacher's."""
    fused, ir, vis = images()
    for name in ("SAM", "student", "student.common"):
        sys.modules[name] = ModuleType(name)
    for name in ("Sam", "ImageEncoderViT_ad", "ImageEncoderViT"):
        setattr(sys.modules["SAM"], name, None)
    module(code / "SAGE_IVIF/model_sub/common.py", "student.common")
    kind = module(code / "SAGE_IVIF/model_sub/losses.py", "student.losses")
    kind.ContrastiveLoss = lambda: lambda *_: (torch.zeros(()), [])
    _, intensity, gradient, *_ = kind.Losses().cal(fused, vis, ir, vis.sqrt(), None, None)
    return {"student_intensity": intensity, "student_gradient": gradient}


def boxes() -> list[Tensor]:
    """Two boxes in the first image, one in the second: left, top, right, bottom in pixels."""
    return [torch.tensor([[5.0, 8.6, 40.2, 50.0], [30.0, 40.0, 100.0, 90.0]]), torch.tensor([[0.0, 0.0, 20.0, 96.0]])]


def detfusion(code: Path) -> dict[str, Tensor]:
    """DetFusion's, of mmdetection no more than a place to register."""
    fused, ir, vis = images()
    for name in ("det", "det.losses"):
        sys.modules[name] = ModuleType(name)
    sys.modules["det.registry"] = ModuleType("det.registry")
    sys.modules["det.registry"].LOSSES = SimpleNamespace(register_module=lambda kind: kind)  # type: ignore[attr-defined]
    kinds = module(code / "DetFusion/mmdet/models/losses/fusion_loss.py", "det.losses.fusion_loss")
    return {"object_content": kinds.DetcropPixelLoss()(fused, vis, ir, boxes())}


def values(code: Path) -> dict[str, float]:
    """Every value by the name of our function."""
    fused, ir, vis = images()
    dense = module(code / "densefuse-pytorch/pytorch_msssim/__init__.py", "dense")
    dat = module(code / "DATFuse/losses/__init__.py", "dat")
    ydtr = module(code / "YDTR/losses/__init__.py", "ydtr")
    cdd = module(code / "MMIF-CDDFuse/utils/loss.py", "cdd")
    swin = module(code / "SwinFusion/models/loss_ssim.py", "swin")
    for name in ("torchvision.models.vgg", "torchvision.transforms.functional", "utils.utils_color"):
        stand_in(name)
    sys.modules["models.loss_ssim"] = swin
    swin_loss = module(code / "SwinFusion/models/loss_vif.py", "swin_loss")
    sea = module(code / "SeAFusion/loss.py", "sea")
    mif, target = segmif(code / "SegMiF"), (ir + vis) / 2
    ssim = kornia(code)
    _, ms_ssim_padded, laplacian_max = irfs(code / "IRFS", fused, ir, vis)
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
        "ssim_by_gradient": swin_loss.L_SSIM()(ir, vis, fused),
        "ms_ssim_padded": ms_ssim_padded,
        "laplacian_max": laplacian_max,
        "IRFS, what is to be fused": irfs_target(code / "IRFS", ir, vis),
        "chroma_l1 and the like": mrfs(code / "MRFS"),
        "SegMiF, first round": mif.Fusionloss3()(ir, vis, fused, target),
        "SegMiF, later": mif.Fusionloss_grad3()(ir, vis, fused, target),
        "hard_cross_entropy": sea.OhemCELoss(0.7, fused.numel() // 16)(*classes()),
        "hard_cross_entropy of few": sea.OhemCELoss(0.001, fused.numel() // 16)(*classes()),
        "dssim": ssim.SSIM(11, reduction="mean")(vis, fused),
        "ms_ssim": dense.msssim(fused, vis, normalize=True),
        "ms_ssim of 0..255": dense.msssim(255 * fused, 255 * ir, normalize=True),
        "correlation": correlations[0],
        "decomposition": correlations[1] ** 2 / (1.01 + correlations[0]),
        **tardal(code),
        **uaafusion(code),
        **sage(code),
        **detfusion(code),
        **emma(code),
    }
    return {name: float(value.detach()) for name, value in found.items()}


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


def emma(code: Path) -> dict[str, Tensor]:
    """EMMA's distance and motions, with the files of kornia 0.2.0 that it calls."""
    fused, _, vis = images()
    ramp = torch.linspace(0, 1, 20)[:, None, None, None] * torch.linspace(0.5, 1, 112)
    for name in [name for name in sys.modules if name.partition(".")[0] == "kornia"]:
        del sys.modules[name]
    for name in ("kornia", "kornia.geometry", "kornia.geometry.transform"):
        stand_in(name).__path__ = [str(code / name.replace(".", "/"))]
    for name in ("cv2", "skimage.io", "h5py"):
        stand_in(name)
    whole, shapes = sys.modules["kornia"], sys.modules["kornia.geometry.transform"]
    for name in ("conversions", "transform.affwarp", "transform.flips"):
        part = importlib.import_module(f"kornia.geometry.{name}")
        for package in (whole, shapes):
            vars(package).update({k: v for k, v in vars(part).items() if not k.startswith("__")})
    whole.filters = importlib.import_module("kornia.filters.sobel")  # type: ignore[attr-defined]
    tools = module(code / "MMIF-EMMA/utils.py", "emma_utils")
    with patch.object(tools.random, "sample", lambda *_: [-7, 5, 30]):
        there = tools.Transformer(3, 3, 3).apply(fused)
    return {"distance of EMMA": tools.loss_fusion()(fused, vis), "moved": (there * ramp).mean()}


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
