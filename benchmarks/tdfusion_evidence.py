"""Does TDFusion's learned loss help its task? Learned against the paper's five ablations, on generated scenes.

    python benchmarks/tdfusion_evidence.py --out DIR [--seeds 3] [--jobs 2]        # again after a stop: it goes on

For each layout (FMB: segmentation, M3FD: detection) and seed a T is first trained on the average of the sources. From
it one run per ablation, of the size `tiny` with the changes in SETTINGS, trains F, G and T together. Every run has its
own folder under DIR/runs and is skipped when finished, resumed when not. Then all of them are scored on the tree's test
split; nothing more is trained:

* own: the T that was trained along with the F;
* frozen: the same fused images under the T of every run of the other seeds, of all ablations, and their mean: the same
  judges for each row of a seed, none of which saw this F (all but those of `average` know pictures that an F made).
  Beside it their mean loss, which moves where a score is still stuck.

By day and in the dark as the tree's origin file says (dark: dusk and night). Numbers are means and sample standard
deviations over seeds, in percent. The second table asks whether the weight maps of G depend on the task: both tasks' G
look at the same test images at full size, and the distance between tasks (and their scenes, which differ) stands beside
that between two seeds of one task.
Scenes are drawn, runs last minutes: this says something about the procedure, nothing about the published scores.
Prints Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusionbench.data import Dataset, open_dataset
from fusionbench.data.dataset import DARK
from fusionbench.data.synth import synth
from fusionbench.methods.refusion.modules import LossProposal
from fusionbench.methods.refusion.network import ReFusionNet
from fusionbench.methods.tdfusion.recipe import TDFusionRecipe
from fusionbench.methods.tdfusion.recipe_pairs import lumas, made_smaller
from fusionbench.methods.tdfusion.recipe_settings import ABLATIONS, PRESETS, TDFusionSettings
from fusionbench.runtime.allocator import keep_memory
from fusionbench.tasks.recipe import at_size
from fusionbench.tasks.task import task_of
from fusionbench.training.loop import train
from fusionbench.training.options import RunOptions
from fusionbench.training.trained import WEIGHTS

LAYOUTS = {"fmb": "segmentation", "m3fd": "detection"}
SIZE = (128, 160)
PARTS = ("all", "day", "dark")
LEARNED = "learned"
KINDS = (LEARNED, *ABLATIONS)
SETTINGS = ("meta_steps=40", "decay_every=3")


@dataclass(frozen=True)
class Run:
    """One training."""

    layout: str
    kind: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.layout}-{self.kind}-{self.seed}"

    def folder(self, out: Path) -> Path:
        return out / "runs" / self.name

    def finished(self, out: Path) -> bool:
        return (self.folder(out) / "finished").is_file()


def settings(run: Run, out: Path, options: Sequence[str]) -> TDFusionSettings:
    begin = f"trained={first_network(run, out)}"
    ablation = "none" if run.kind == LEARNED else run.kind
    given = [f"ablation={ablation}", f"seed={run.seed}", "tensorboard=false", "picture_every=0"]
    return PRESETS.choose([run.layout], size="tiny", options=[*given, begin, *SETTINGS, *options])


def first_network(run: Run, out: Path) -> Path:
    """The folder of the T that runs of this layout and seed begin with."""
    return out / "networks" / f"{run.layout}-{run.seed}"


def train_first(run: Run, out: Path, options: Sequence[str]) -> None:
    """Train it: one channel, at the size that T sees, on averages."""
    folder, config = first_network(run, out), settings(run, out, options)
    if (folder / WEIGHTS).is_file():
        return
    size = ",".join(map(str, config.task_size))
    command = [sys.executable, "-m", "fusionbench", "train", config.network, "--on", "average", "--size", "tiny"]
    command += ["--datasets", f"{run.layout}={out / 'data' / run.layout}", "--out", str(folder)]
    command += ["--resume"] if folder.exists() else []
    command += ["--cfg-options", "channels=1", f"resize=({size})", f"seed={run.seed}", "picture_every=0"]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def tree(out: Path, layout: str) -> Dataset:
    return open_dataset(layout, out / "data" / layout, exact=True)


def child(run: Run, out: Path, options: Sequence[str]) -> None:
    """Train one run, or go on with it."""
    torch.set_num_threads(1)
    keep_memory()
    made = TDFusionRecipe()
    made.datasets = {run.layout: tree(out, run.layout)}
    folder = run.folder(out)
    how = RunOptions(quiet=True, note=lambda text: print(text, file=sys.stderr))
    if train(made, settings(run, out, options), folder, resume=folder.exists(), options=how).finished:
        (folder / "finished").touch()


def train_all(runs: Sequence[Run], out: Path, jobs: int, options: Sequence[str]) -> None:
    waiting = [run for run in runs if not run.finished(out)]

    def one(run: Run) -> None:
        what = ["--run", run.layout, run.kind, str(run.seed)]
        command = [sys.executable, __file__, "--out", str(out), *what, "--cfg-options", *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        said = "done" if not done.returncode else done.stderr.strip().splitlines()[-1]
        print(f"{run.name}: {said}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        firsts = {(run.layout, run.seed): run for run in waiting}
        list(pool.map(lambda run: train_first(run, out, options), firsts.values()))
        list(pool.map(one, waiting))


# ---------------------------------------------------------------- scores


class Trained:
    """The three networks of a finished run."""

    def __init__(self, run: Run, out: Path, options: Sequence[str]) -> None:
        held = torch.load(run.folder(out) / "last.pt", weights_only=True)["state"]
        config = settings(run, out, options)
        self.kind, self.size = run.kind, config.task_size
        self.fusion, self.proposal = ReFusionNet(), LossProposal()
        self.network = task_of(config.network).build(config.network, tree(out, run.layout), 1)
        for part, name in ((self.fusion, "fusion"), (self.proposal, "proposal"), (self.network, "task")):
            part.load_state_dict(held[name])
            part.eval().requires_grad_(False)

    @torch.no_grad()
    def fuse(self, a: Tensor, b: Tensor) -> Tensor:
        if self.kind == "average":
            return (self.proposal(a, b) * torch.cat((a, b), 1)).sum(1, keepdim=True)
        return self.fusion(a, b)


def score(layout: str, seeds: Sequence[int], out: Path, options: Sequence[str]) -> list[dict[str, dict[str, float]]]:
    """By seed and ablation: main score of its own T on each part, and score and loss of the other seeds' T on all."""
    file = out / "scores" / f"{layout}-{len(seeds)}.json"
    if file.is_file():
        return json.loads(file.read_text())
    trained = {(s, a): Trained(Run(layout, a, s), out, options) for s in seeds for a in KINDS}
    size = trained[seeds[0], LEARNED].size
    dataset, task = tree(out, layout), task_of(settings(Run(layout, LEARNED, 0), out, options)["network"])
    dark = {i for i, condition in dataset.origin.conditions["test"].items() if condition in DARK}
    column = task.card.facts.columns[0][0]

    def tally() -> Any:
        return task.scores(task.classes(dataset), dataset.ignore_index)

    own = {key: {part: tally() for part in PARTS} for key in trained}
    others = {(mine, judge): tally() for mine in trained for judge in trained if mine[0] != judge[0]}
    losses: dict[tuple[int, str], list[float]] = {key: [] for key in trained}
    for ident in dataset.ids("test"):
        sample = dataset.read("test", ident)
        seen = made_smaller(sample, size)
        pair, target, target_seen = lumas([seen]), task.target(sample), task.target(seen)
        labels = (sample.ir.shape[1], sample.ir.shape[2])
        for mine, run in trained.items():
            image = run.fuse(*pair)
            for judge, other in trained.items():
                if mine[0] == judge[0] and mine != judge:
                    continue
                found = at_size(other.network.predict(image)[0], size, labels)
                parts = ("all", "dark" if ident in dark else "day")
                for one in [own[mine][p] for p in parts] if mine == judge else [others[mine, judge]]:
                    one.update(found, target)
                if mine != judge:
                    losses[mine].append(float(other.network.loss(image, [target_seen])))
    result = [
        {
            a: {part: own[s, a][part].compute()[column] for part in PARTS}
            | {
                "frozen": mean([one.compute()[column] for (mine, _), one in others.items() if mine == (s, a)]),
                "loss": mean(losses[s, a]),
            }
            for a in KINDS
        }
        for s in seeds
    ]
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result, indent=1))
    return result


def mean(values: Sequence[float]) -> float:
    """NaN of nothing, as of the other seeds where there is one only."""
    return statistics.mean(values) if values else float("nan")


@torch.no_grad()
def weight_maps(seeds: Sequence[int], out: Path, options: Sequence[str]) -> list[str]:
    """The rows of the second table."""
    pairs = []
    for layout in LAYOUTS:
        dataset = tree(out, layout)
        dark = dataset.origin.conditions["test"]
        for ident in dataset.ids("test"):
            pairs.append((dark[ident] in DARK, lumas([dataset.pair("test", ident)])))
    maps: dict[tuple[str, int], list[Tensor]] = {}
    for layout, seed in itertools.product(LAYOUTS, seeds):
        proposal = Trained(Run(layout, LEARNED, seed), out, options).proposal
        maps[layout, seed] = [proposal(*pair)[0, 0] for _, pair in pairs]

    def mean_weight(layout: str, night: bool) -> str:
        rows = [
            [float(m.mean()) for (d, _), m in zip(pairs, maps[layout, s], strict=True) if d == night] for s in seeds
        ]
        return spread([statistics.mean(row) for row in rows], 1)

    def apart(keys: Iterable[tuple[tuple[str, int], tuple[str, int]]]) -> str:
        found = [
            statistics.mean(float((m - n).abs().mean()) for m, n in zip(maps[k], maps[j], strict=True)) for k, j in keys
        ]
        return spread(found, 1)

    rows = [
        f"| w_a (infrared) of the {task} G | {mean_weight(layout, False)} | {mean_weight(layout, True)} |"
        for layout, task in LAYOUTS.items()
    ]
    one, two = LAYOUTS
    across = apart(((one, s), (two, s)) for s in seeds)
    rows.append(f"\nMean distance of w_a at a pixel, between tasks and their scenes (one seed): {across}.")
    for layout, task in LAYOUTS.items():
        if len(seeds) > 1:
            within = apart(((layout, s), (layout, t)) for s, t in itertools.combinations(seeds, 2))
            rows.append(f"Between two seeds, {task}: {within}.")
    return rows


def spread(values: Sequence[float], scale: float = 100.0) -> str:
    middle = statistics.mean(values) * scale
    digits = 2 if scale > 1 else 3
    if len(values) < 2:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ± {statistics.stdev(values) * scale:.{digits}f}"


def report(seeds: Sequence[int], out: Path, options: Sequence[str]) -> None:
    for layout, task in LAYOUTS.items():
        scores = score(layout, seeds, out, options)
        origin = tree(out, layout).origin
        name = task_of(settings(Run(layout, LEARNED, 0), out, options)["network"]).card.facts.columns[0][1]
        print(f"\n{task}, {name}, {origin['counts']['test']} scenes like {layout}, {len(seeds)} seeds\n")
        print("| run | own T | day | dark | frozen T | loss of it |\n|---|--:|--:|--:|--:|--:|")
        for kind in KINDS:
            cells = [spread([s[kind][key] for s in scores]) for key in (*PARTS, "frozen")]
            cells.append(spread([s[kind]["loss"] for s in scores], 1))
            print(f"| {kind} | {' | '.join(cells)} |")
    print("\n| weights of the learned loss | day | dark |\n|---|--:|--:|")
    print("\n".join(weight_maps(seeds, out, options)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--train", type=int, default=64, help="scenes of each layout")
    parser.add_argument("--test", type=int, default=48, help="scenes of each layout")
    parser.add_argument("--cfg-options", nargs="*", default=[], help="change settings of every run, the same each time")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        layout, kind, seed = options.run
        child(Run(layout, kind, int(seed)), options.out, options.cfg_options)
        return
    torch.set_num_threads(1)
    for layout in LAYOUTS:
        if not (options.out / "data" / layout).exists():
            synth(layout, options.out / "data" / layout, options.train, options.test, SIZE, seed=0)
    seeds = list(range(options.seeds))
    runs = [Run(layout, a, seed) for seed, layout, a in itertools.product(seeds, LAYOUTS, KINDS)]
    train_all(runs, options.out, options.jobs, options.cfg_options)
    if left := [run.name for run in runs if not run.finished(options.out)]:
        sys.exit(f"not finished: {', '.join(left)}; start again to go on")
    report(seeds, options.out, options.cfg_options)


if __name__ == "__main__":
    main()
