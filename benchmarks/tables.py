"""Makes every committed table again, from nothing, in one go; a killed run goes on where it was.

python benchmarks/tables.py --data DIR --images DIR --weights DIR --work build/tables
python benchmarks/tables.py ... --publish           # copies them into leaderboards/, updates the READMEs, checks them
python benchmarks/tables.py ... --only main,tno     # some of the steps

DIR of --data holds MSRS, TNO, M3FD, LLVIP, FMB, VT5000 and VIFB; that of --images NAME/TNO and NAME/VIFB for the
programs below; that of --weights whatever checkpoints there are, ReFusion_IVIF.pth, SeAFusion.pth, yolox_nano.onnx
among them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import publish

from fusionbench.pixels.corruption import KINDS
from fusionbench.plugins.cards import cards

METHODS = "visible,infrared,average,maximum,laplacian,gff,refusion[ivif]"
ON_MSRS = (  # on all 361 pairs: hours of one core
    "visible,infrared,average,maximum,contrast_pyramid,ratio_pyramid,dwt,dtcwt,msvd,laplacian,gff,adf,tif,fpde,vsmwls,hybrid_msd,"
    "lutfuse,reconet,mmdrfuse,refusion[ivif],seafusion,tardal,sfdfusion,datfuse,densefuse,sage,ifcnn,mufusion,didfuse,ydtr"
)
TASK_METHODS = "visible,infrared,average,refusion[ivif]"
COCO_METHODS = f"{METHODS},seafusion[msrs]"
FOLDED = "visible,infrared,maximum,average,laplacian,refusion[ivif],seafusion[msrs]"
SALIENCY = "ctdnet-18-scenes-seed0"
SALIENCY_METHODS = f"{COCO_METHODS},contrast_pyramid,msvd,mmdrfuse"
ROBUST = "average,maximum,laplacian,gff,contrast_pyramid,ratio_pyramid,msvd,mmdrfuse"
REAL = "msrs,tno,m3fd,llvip,fmb,vifb"
PROGRAMS = ("DenseFuse", "RFN-Nest", "SeAFusion", "U2Fusion")
ON_VIFB = (
    *("FPDE", "GFF", "GTF", "Hybrid_MSD", "IFCNN", "LatLRR", "MSVD", "NSCT_SR", "RP_SR", "SeAFusion", "SwinFusion"),
    *("TIF", "U2Fusion", "VSMWLS", "YDTR"),
)
SCENES = {"msrs": "MSRS", "fmb": "FMB", "m3fd": "M3FD", "llvip": "LLVIP", "vt5000": "VT5000"}
TASKS = {"fmb": "segmentation", "vt5000": "saliency", "m3fd": "detection"}
SEEDS = (0, 1, 2)
Command = tuple[object, ...]  # in the working folder, so that provenance tells of no folder of this machine


def main_tables() -> Iterator[Command]:
    """Six datasets under their protocols, MSRS under two evaluators' variants, and every variant on 24 pairs of it."""
    run = ("eval", "--methods", METHODS, "--data-root", "real")
    yield (*run, "--datasets", REAL, "--out", "main")
    for profile in ("tdfusion", "cddfuse"):
        yield (*run, "--datasets", "msrs", "--profile", profile, "--out", "main")
    every = ",".join(f"{name}@all" for name in cards("metric") if name != "fmi")  # FMI takes minutes a picture
    yield (*run, "--datasets", "msrs", "--limit", 24, "--metrics", every, "--out", "variants")


def scenes_tables() -> Iterator[Command]:
    """24 generated pairs in each layout."""
    for name, folder in SCENES.items():
        yield ("data", "synth", "--like", name, "--test", 24, "--out", f"scenes-data/{folder}")
    run = ("eval", "--methods", METHODS, "--data-root", "scenes-data", "--out", "scenes")
    yield (*run, "--datasets", ",".join(SCENES))


def tno_tables() -> Iterator[Command]:
    """Other programs' pictures under other evaluators' variants."""
    images = [f"--images={name}=fused/{name}/TNO" for name in PROGRAMS]
    for profile in ("tdfusion", "cddfuse", "tang", "tang-uint8", "ivif_zoo"):
        yield ("eval", *images, "--datasets", "tno", "--data-root", "real", "--profile", profile, "--out", "tno")


def picture_tables() -> Iterator[Command]:
    """The pictures that VIFB publishes of fifteen methods, under two evaluators' variants."""
    images = [f"--images={name}=fused/{name}/VIFB" for name in ON_VIFB]
    for profile in ("tdfusion", "cddfuse"):
        yield ("eval", *images, "--datasets", "vifb", "--data-root", "real", "--profile", profile, "--out", "pictures")


def task_tables() -> Iterator[Command]:
    """Task networks: on generated scenes, on MSRS, and those of MSRS on samples of M3FD and LLVIP."""
    run = ("eval", "--methods", TASK_METHODS)
    for name, task in TASKS.items():
        tree = f"tasks-data/{SCENES[name]}"
        size = ("--train", 96, "--test", 48, "--size", "128x160", "--seed", 7)
        yield ("data", "synth", "--like", name, "--out", tree, *size)
        trained = ("--tasks", task, "--task-size", "tiny", "--out", f"tasks-{name}")
        yield (*run, "--datasets", name, "--data-root", "tasks-data", *trained)
    trained = ("--tasks", "detection,segmentation", "--task-size", "tiny", "--out", "tasks-msrs")
    yield (*run, "--datasets", "msrs", "--data-root", "real", *trained)
    runs = [f"yolov8-n-msrs-seed{seed}" for seed in SEEDS]
    for seed, folder in zip(SEEDS, runs, strict=True):
        options = ("--size", "tiny", "--cfg-options", f"train.seed={seed}", "--resume", "--out", folder)
        yield ("train", "yolov8-n", "--dataset", "msrs", "--data-root", "real", *options)
    frozen = [word for folder in runs for word in ("--frozen", folder)]
    for name in ("m3fd", "llvip"):
        given = ("--tasks", "detection", *frozen, "--out", f"tasks-{name}-real")
        yield (*run, "--datasets", name, "--data-root", "real", *given)


def vt5000_tables() -> Iterator[Command]:
    """A saliency network that learned from generated scenes alone, on the real triples of VT5000 that are at hand."""
    size = ("--train", 192, "--test", 24, "--size", "192x256", "--seed", 7)
    yield ("data", "synth", "--like", "vt5000", "--out", "saliency-data/VT5000", *size)
    options = ("--size", "tiny", "--cfg-options", "limit=none", "--resume", "--out", SALIENCY)
    yield ("train", "ctdnet-18", "--dataset", "vt5000", "--data-root", "saliency-data", *options)
    run = ("eval", "--methods", SALIENCY_METHODS, "--datasets", "vt5000", "--data-root", "real", "--jobs", 1)
    yield (*run, "--tasks", "saliency", "--frozen", SALIENCY, "--out", "tasks-vt5000-real")


def coco_tables() -> Iterator[Command]:
    """A detector trained on COCO, and so on nothing of any entry: MSRS with its boxes, samples of M3FD and LLVIP."""
    run = ("eval", "--methods", COCO_METHODS, "--data-root", "real", "--datasets", "msrs,m3fd,llvip", "--metrics", "en")
    yield (*run, "--tasks", "detection", "--frozen", "yolox-nano", "--out", "tasks-coco")


def fold_tables() -> Iterator[Command]:
    """That detector trained on each entry's pictures of MSRS, in six folds."""
    run = ("eval", "--methods", FOLDED, "--data-root", "real", "--datasets", "msrs", "--metrics", "en", "--jobs", 1)
    folds = ("--tasks", "detection", "--task-from", "yolox-nano", "--folds", 6, "--task-size", "finetune", "--seeds", 1)
    yield (*run, *folds, "--out", "folds")


def robustness_tables() -> Iterator[Command]:
    """What corrupted pairs cost eight methods, on the 60 pairs of MSRS that are tested with boxes."""
    corrupted = [word for kind in KINDS for word in ("--corrupt", kind)]
    run = ("eval", "--methods", ROBUST, "--data-root", "real", "--datasets", "msrs", "--split", "boxes-test")
    frozen = ("--tasks", "detection", "--frozen", "yolox-nano", "--jobs", 1)
    yield (*run, "--metrics", "mi,qabf", *corrupted, *frozen, "--out", "robustness")


def method_tables() -> Iterator[Command]:
    """Every method that runs here, under two evaluators' variants, where pairs are few; the quicker on all of MSRS."""
    for name in ("vifb", "tno", "fmb", "llvip", "m3fd"):
        for profile in ("tdfusion", "cddfuse"):
            run = ("eval", "--all", "--data-root", "real", "--datasets", name)
            yield (*run, "--profile", profile, "--out", "methods")
    run = ("eval", "--methods", ON_MSRS, "--data-root", "real", "--datasets", "msrs", "--out", "methods-msrs")
    yield (*run, "--profile", "cddfuse")
    yield (*run, "--tasks", "detection", "--frozen", "yolox-nano")


STEPS = {
    "main": main_tables,
    "scenes": scenes_tables,
    "tno": tno_tables,
    "pictures": picture_tables,
    "tasks": task_tables,
    "vt5000": vt5000_tables,
    "coco": coco_tables,
    "folds": fold_tables,
    "robustness": robustness_tables,
    "methods": method_tables,
}


def done(command: Command) -> bool:
    """Whether a command that does not go on by itself has made what it makes."""
    out = Path(str(command[command.index("--out") + 1]))
    marks = {"data": "fusionbench-origin.json", "train": "weights.safetensors"}
    path = out / marks.get(str(command[0]), "")
    if command[0] == "data":
        return path.is_file() and '"unfinished": true' not in path.read_text()
    return command[0] == "train" and path.is_file()


def run(command: Command) -> None:
    """Run a command line of ours; its failure ends the script."""
    words = [str(word) for word in command]
    began = time.perf_counter()
    code = subprocess.run([sys.executable, "-m", "fusionbench", *words]).returncode
    print(f"{time.perf_counter() - began:.0f} s, exit code {code}: fusionbench {' '.join(words)}", flush=True)
    if code:
        sys.exit(code)


def enter(work: Path, **links: Path) -> None:
    """Make the working folder, with links to what is given, and go there."""
    work.mkdir(parents=True, exist_ok=True)
    os.chdir(work)
    for name, target in links.items():
        Path(name).unlink(missing_ok=True)
        Path(name).symlink_to(target)
    os.environ |= {"FUSIONBENCH_CACHE": str(work / "cache"), "OMP_NUM_THREADS": "1"}


def check() -> tuple[str, int]:
    """What `fusionbench leaderboard --check` prints with the networks that were trained here, and its exit code."""
    words = ["leaderboard", "--check", "--data-root=real", "--images-root=fused", "--networks=.", "--out=check"]
    found = subprocess.run([sys.executable, "-m", "fusionbench", *words], stdout=subprocess.PIPE, text=True)
    return found.stdout, found.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--images", type=Path, required=True, help="folder of other programs' pictures")
    parser.add_argument("--weights", type=Path, required=True, help="folder of released checkpoints")
    parser.add_argument("--work", type=Path, required=True, help="keeps everything that is made")
    parser.add_argument("--only", default=",".join(STEPS), help=f"of {','.join(STEPS)}")
    parser.add_argument("--publish", action="store_true", help="copy the tables into leaderboards/ and check them")
    asked = parser.parse_args()
    weights = asked.weights.resolve()
    enter(asked.work.resolve(), real=asked.data.resolve(), fused=asked.images.resolve())
    run(("weights", "find", weights))
    for step in asked.only.split(","):
        for command in STEPS[step]():
            if not done(command):
                run(command)
    if asked.publish:
        publish.publish(Path.cwd())
        listed, code = check()
        publish.write_check(listed)
        sys.exit(code)


if __name__ == "__main__":
    main()
