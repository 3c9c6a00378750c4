"""Run the authors' code of methods that came without reference outputs, and keep what it gives.

    python benchmarks/authors_code.py --repositories DIR --weights DIR           # compare with what is kept
    python benchmarks/authors_code.py --repositories DIR --weights DIR --write   # keep it anew

``DIR`` holds a checkout of each repository below, under its name, and the released weights by method. Their code is run
as it stands, on a pair of images that a formula makes; nothing of it is kept but numbers: the arrays in
``tests/methods/authors``, with which ``tests/methods/test_method_parity.py`` compares ours, and their hashes in
``benchmarks/evidence/authors-code.md``. AUIF's needs kornia.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

REPO = Path(__file__).resolve().parent.parent
KEPT, PAGE = REPO / "tests/methods/authors", REPO / "benchmarks/evidence/authors-code.md"
BT601 = (0.299, 0.587, 0.114)
Arrays = dict[str, Tensor]


def pair() -> tuple[Tensor, Tensor]:
    """Infrared and visible ``[1,1,64,96]`` in [0,1]."""
    y, x = np.mgrid[:64, :96]
    ir = 0.5 + 0.5 * np.sin(x / 9) * np.cos(y / 7)
    vis = 0.2 + 0.6 * ((x // 16 + y // 12) % 2)
    first, second = (torch.from_numpy(a.astype(np.float32))[None, None] for a in (ir, vis))
    return first, second


def module(path: Path, *stand_ins: str) -> ModuleType:
    """A file of theirs, imported; modules that it names and does not need here are empty."""
    for name in stand_ins:
        sys.modules[name] = empty = ModuleType(name)
        for unused in ("imread", "imsave", "imresize", "RandomCropPair", "SimpleDataSet", "ToPILImage"):
            setattr(empty, unused, None)
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    sys.modules[path.stem] = loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    sys.path.remove(str(path.parent))
    return loaded


def ready(network: nn.Module, weights: Path, key: str = "") -> nn.Module:
    """With its weights, in evaluation mode."""
    state = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict(state[key] if key else state)
    return network.eval()


def mmdrfuse(code: Path, weights: Path) -> Arrays:
    ir, vis = pair()
    network = ready(module(code / "student_net.py").stu_net(), weights / "student.model")
    return {"in_ir": ir, "in_vi": vis, "out_raw": network.decoder(network.encoder(torch.cat((ir, vis), 1)))[0]}


def reconet(code: Path, weights: Path) -> Arrays:
    ir, vis = pair()
    network = ready(module(code / "archive/model.py").Fuser(), weights / "params.pth")
    return {"in_ir": ir, "in_vi": vis, "out_raw": network([ir, vis])[0][-1]}


def sfdfusion(code: Path, weights: Path) -> Arrays:
    ir, vis = pair()
    network = ready(module(code / "modules.py").Fuse(), weights / "model-1_1_10_1.pth", "fuse_net")
    return {"in_ir": ir, "in_vi": vis, "out_raw": network(ir, vis)[0]}


def mufusion(code: Path, weights: Path) -> Arrays:
    ir, vis = pair()
    net = module(code / "ir_vis/net.py", "scipy.misc", "fusion_strategy")
    network = ready(net.TwoFusion_net(), weights / "TNO.model")
    return {"in_ir": ir, "in_vi": vis, "out_raw": network.decoder(network.encoder(torch.cat((ir, vis), 1)))[0]}


def auif(code: Path, weights: Path) -> Arrays:
    ir, vis = pair()
    with patch.object(Tensor, "cuda", lambda self: self):
        net = module(code / "AUIFNet.py")
        base = ready(net.Encoder_Base(), weights / "TCSVT_Encoder_Base.model")
        detail = ready(net.Encoder_Detail(), weights / "TCSVT_Encoder_Detail.model")
        decoder = ready(net.Decoder(), weights / "TCSVT_Decoder.model")
    bases, details = [base(x)[0] for x in (ir, vis)], [detail(x)[0] for x in (ir, vis)]
    outputs = {"in_ir": ir, "in_vi": vis}
    for name, merge in (("sum", lambda a, b: a + b), ("average", lambda a, b: (a + b) / 2)):
        outputs[f"out_raw_{name}"] = decoder(merge(*bases), merge(*details))
    return outputs


def lutfuse(code: Path, weights: Path) -> Arrays:
    ir, vis = pair()
    colours = torch.cat((vis, 0.9 * vis, 0.8 * vis), dim=1)
    names = ("torchvision", "torchvision.transforms", "data", "data.simple_dataset", "transforms")
    code_of = module(code / "scripts/calculate.py", *names)
    context = ready(code_of.Generator_for_info(), weights / "generator_context.pth")
    table = torch.from_numpy(np.load(weights / "fine_tuned_lut.npy").astype(np.float32))
    fused = code_of.apply_fusion_4d_with_interpolation(colours * 255, ir * 255, table, context)
    luma, grey = (sum(w * x for w, x in zip(BT601, c.split(1, 1), strict=True)) for c in (fused, colours))
    return {"in_vi_rgb": colours, "in_ir": ir, "in_vi_y": grey, "out_luma": luma}


def smoa(code: Path, weights: Path) -> Arrays:
    ir, vis = (255 * x for x in pair())
    module(code / "operations.py")
    net, genes = module(code / "model.py"), module(code / "genotypes.py")
    encoder1 = ready(net.Encoder(16, 2, genes.genotype_en1), weights / "encoder1_epoch50.pt")
    encoder2 = ready(net.Encoder(16, 2, genes.genotype_en2), weights / "encoder2_epoch50.pt")
    decoder = ready(net.Decoder(16, 2, genes.genotype_de), weights / "decoder_epoch50.pt")
    tree = ast.parse((code / "test.py").read_text(encoding="utf-8"))  # the rest of it reads a folder of Windows
    tree.body = [x for x in tree.body if isinstance(x, ast.FunctionDef) and x.name in ("vsm2", "vsf3")]
    theirs = ModuleType("theirs")
    vars(theirs)["torch"] = torch
    exec(compile(tree, "test.py", "exec"), vars(theirs))
    count = Tensor.histc
    as_on_cuda = patch.object(Tensor, "histc", lambda self, **how: count(self.float(), **how).long())
    with as_on_cuda, patch.object(Tensor, "cuda", lambda self: self):
        maps = [theirs.vsf3(a, b) for a, b in zip(encoder1(ir), encoder2(vis), strict=True)]
    return {"in_ir": ir, "in_vi": vis, "out_raw": decoder(*maps)}


@dataclass(frozen=True)
class Source:
    """Where a method's code comes from, and what runs it; ``weights`` is its folder of released weights."""

    repository: str
    commit: str
    weights: str
    run: Callable[[Path, Path], Arrays]

    def arrays(self, repositories: Path, weights: Path) -> Arrays:
        """What the authors' code gives."""
        torch.set_num_threads(1)
        with torch.no_grad():
            return self.run(repositories / self.repository.partition("/")[2], weights / self.weights)


SOURCES = {
    "auif": Source("Zhaozixiang1228/IVIF-AUIF-Net", "8f54650ffbc0a9e655a0d4c6098751bedc319803", "AUIF", auif),
    "lutfuse": Source("zyb5/LUT-Fuse", "ab5878e2465520bd20711e7d793d97253b8b7a70", "LUT-Fuse", lutfuse),
    "mmdrfuse": Source("yanglinDeng/MMDRFuse", "c9e5014493a7322a87cc24a58b66052123ac5bbe", "MMDRFuse", mmdrfuse),
    "mufusion": Source("AWCXV/MUFusion", "223134e6317081bbf57cf51d175e93b386bb7602", "MUFusion", mufusion),
    "reconet": Source("dlut-dimt/ReCoNet", "0870f5f37852ace85850d9fd2d4570eb57682d22", "ReCoNet", reconet),
    "sfdfusion": Source("lqz2/SFDFusion", "769ab0489a8440c8d375740b4fe01c51b566a4ec", "SFDFusion", sfdfusion),
    "smoa": Source("JinyuanLiu-CV/SMoA", "25c81913054bff29886de1e7ef8e506f44a6247d", "SMoA", smoa),
}


def digest(array: np.ndarray) -> str:
    """SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def page() -> str:
    """The table of what is kept."""
    lines = ["# Outputs of authors' code", "", "`python benchmarks/authors_code.py` makes them and this page.", ""]
    lines += ["| method | repository | commit | array | SHA-256 |", "|---|---|---|---|---|"]
    for name, source in SOURCES.items():
        with np.load(KEPT / f"{name}_forward.npz") as data:
            outputs = {key: data[key] for key in data.files if key.startswith("out")}
        for key, array in outputs.items():
            place = f"[{source.repository}](https://github.com/{source.repository})"
            lines.append(f"| {name} | {place} | {source.commit[:10]} | {key} | {digest(array)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repositories", type=Path, required=True, help="checkouts, each under its repository's name")
    parser.add_argument("--weights", type=Path, required=True, help="released weights, a folder for each method")
    parser.add_argument("--write", action="store_true", help="keep the arrays and the page")
    parser.add_argument("names", nargs="*", help=f"of: {', '.join(SOURCES)}; all by default")
    options = parser.parse_args()
    wrong = 0
    for name in options.names or SOURCES:
        arrays = {k: v.numpy() for k, v in SOURCES[name].arrays(options.repositories, options.weights).items()}
        file = KEPT / f"{name}_forward.npz"
        if options.write:
            KEPT.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(file, **arrays)
        with np.load(file) as kept:
            apart = max(float(np.abs(kept[key] - array).max()) for key, array in arrays.items())
        wrong += apart > 1e-4
        print(f"{name}: at most {apart:.1e} from what is kept")
    if options.write:
        PAGE.write_text(page(), encoding="utf-8")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
