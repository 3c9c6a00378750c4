"""Makes every committed table again, from nothing, in one go; a killed run goes on where it was.

python benchmarks/tables.py --data DIR --images DIR --refusion ReFusion_IVIF.pth --work build/tables
python benchmarks/tables.py ... --publish           # copies them into leaderboards/, updates the READMEs, checks them
python benchmarks/tables.py ... --only main,tno     # some of the steps

DIR of --data holds MSRS, TNO, M3FD, LLVIP, FMB and VIFB; that of --images NAME/TNO for the four programs below.
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

from fusionbench.plugins.cards import cards

METHODS = "visible,infrared,average,maximum,laplacian,gff,refusion[ivif]"
TASK_METHODS = "visible,infrared,average,refusion[ivif]"
REAL = "msrs,tno,m3fd,llvip,fmb,vifb"
PROGRAMS = ("DenseFuse", "RFN-Nest", "SeAFusion", "U2Fusion")
SCENES = {"msrs": "MSRS", "fmb": "FMB", "m3fd": "M3FD", "llvip": "LLVIP", "vt5000": "VT5000"}
TASKS = {"fmb": "segmentation", "vt5000": "saliency", "m3fd": "detection"}
SEEDS = (0, 1, 2)
Command = tuple[object, ...]


def main_tables(asked: argparse.Namespace) -> Iterator[Command]:
    """Six datasets under their protocols, MSRS under two evaluators' variants, and every variant on 24 pairs of it."""
    run = ("eval", "--methods", METHODS, "--data-root", asked.data)
    yield (*run, "--datasets", REAL, "--out", asked.work / "main")
    for profile in ("tdfusion", "cddfuse"):
        yield (*run, "--datasets", "msrs", "--profile", profile, "--out", asked.work / "main")
    every = ",".join(f"{name}@all" for name in cards("metric") if name != "fmi")  # FMI takes minutes a picture
    yield (*run, "--datasets", "msrs", "--limit", 24, "--metrics", every, "--out", asked.work / "variants")


def scenes_tables(asked: argparse.Namespace) -> Iterator[Command]:
    """24 generated pairs in each layout."""
    for name, folder in SCENES.items():
        yield ("data", "synth", "--like", name, "--test", 24, "--out", asked.work / "scenes-data" / folder)
    run = ("eval", "--methods", METHODS, "--data-root", asked.work / "scenes-data", "--out", asked.work / "scenes")
    yield (*run, "--datasets", ",".join(SCENES))


def tno_tables(asked: argparse.Namespace) -> Iterator[Command]:
    """Other programs' pictures under other evaluators' variants."""
    images = [f"--images={name}={asked.images / name / 'TNO'}" for name in PROGRAMS]
    for profile in ("tdfusion", "cddfuse", "tang", "tang-uint8", "ivif_zoo"):
        yield (
            "eval",
            *images,
            "--datasets=tno",
            "--data-root",
            asked.data,
            "--profile",
            profile,
            "--out",
            asked.work / "tno",
        )


def task_tables(asked: argparse.Namespace) -> Iterator[Command]:
    """Task networks: on generated scenes, on MSRS, and those of MSRS on samples of M3FD and LLVIP."""
    run = ("eval", "--methods", TASK_METHODS)
    for name, task in TASKS.items():
        tree = asked.work / "tasks-data" / SCENES[name]
        size = ("--train", 96, "--test", 48, "--size", "128x160", "--seed", 7)
        yield ("data", "synth", "--like", name, "--out", tree, *size)
        trained = ("--tasks", task, "--task-size", "tiny", "--out", asked.work / f"tasks-{name}")
        yield (*run, "--datasets", name, "--data-root", tree.parent, *trained)
    trained = ("--tasks", "detection,segmentation", "--task-size", "tiny", "--out", asked.work / "tasks-msrs")
    yield (*run, "--datasets", "msrs", "--data-root", asked.data, *trained)
    runs = [asked.work / f"yolov8-n-msrs-seed{seed}" for seed in SEEDS]
    for seed, folder in zip(SEEDS, runs, strict=True):
        options = ("--size", "tiny", "--cfg-options", f"train.seed={seed}", "--resume", "--out", folder)
        yield ("train", "yolov8-n", "--dataset", "msrs", "--data-root", asked.data, *options)
    frozen = [word for folder in runs for word in ("--frozen", folder)]
    for name in ("m3fd", "llvip"):
        given = ("--tasks", "detection", *frozen, "--out", asked.work / f"tasks-{name}-real")
        yield (*run, "--datasets", name, "--data-root", asked.data, *given)


STEPS = {"main": main_tables, "scenes": scenes_tables, "tno": tno_tables, "tasks": task_tables}


def done(command: Command) -> bool:
    """Whether a command that does not go on by itself has made what it makes."""
    out = Path(str(command[command.index("--out") + 1]))
    marks = {"data": "fusionbench-origin.json", "train": "weights.safetensors"}
    path = out / marks.get(str(command[0]), "")
    if command[0] == "data":
        return path.is_file() and '"unfinished": true' not in path.read_text()
    return command[0] == "train" and path.is_file()


def run(command: Command, settings: dict[str, str]) -> None:
    """Run a command line of ours; its failure ends the script."""
    words = [str(word) for word in command]
    began = time.perf_counter()
    code = subprocess.run([sys.executable, "-m", "fusionbench", *words], env={**os.environ, **settings}).returncode
    print(f"{time.perf_counter() - began:.0f} s, exit code {code}: fusionbench {' '.join(words)}", flush=True)
    if code:
        sys.exit(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--images", type=Path, required=True, help="folder of other programs' pictures")
    parser.add_argument("--refusion", type=Path, required=True, help="ReFusion_IVIF.pth")
    parser.add_argument("--work", type=Path, required=True, help="keeps everything that is made")
    parser.add_argument("--only", default=",".join(STEPS), help=f"of {','.join(STEPS)}")
    parser.add_argument("--publish", action="store_true", help="copy the tables into leaderboards/")
    asked = parser.parse_args()
    for name in ("data", "images", "refusion", "work"):
        setattr(asked, name, getattr(asked, name).resolve())
    settings = {"FUSIONBENCH_CACHE": str(asked.work / "cache"), "OMP_NUM_THREADS": "1"}
    run(("weights", "add", "refusion", asked.refusion), settings)
    for step in asked.only.split(","):
        for command in STEPS[step](asked):
            if not done(command):
                run(command, settings)
    check = ("leaderboard", "--check", "--data-root", asked.data, "--images-root", asked.images)
    if asked.publish:
        publish.publish(asked.work)
        networks = ("--networks", asked.work, "--out", asked.work / "check")
        words = [str(word) for word in (sys.executable, "-m", "fusionbench", *check, *networks)]
        found = subprocess.run(words, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)
        publish.write_check(found.stdout)
        sys.exit(found.returncode)


if __name__ == "__main__":
    main()
