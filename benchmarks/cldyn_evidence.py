"""Does CLDyN's closed loop help its tasks? With and without its parts, on generated scenes or given data.

    python benchmarks/cldyn_evidence.py --out DIR [--seeds 3] [--jobs 2]        # again after a stop: it goes on

One fusion network and one network per task, on visible images at the size of the loop, are trained (or given: --vfn,
--network TASK=RUN_FOLDER), then stage rsc for each variant and seed, each in its own folder under DIR/runs: skipped
when finished, resumed when not. Measured on the test splits, with the task networks frozen, of the plain fused image
and of the one after the loop: the task's own loss, the share of images on which the loop made it worse, and the task's
main score. Before them stands the visible image, which is what the task networks were trained on: a fused image is new
to them, and part of what the loop mends is that.
Further: a task that was left out of
training; a task network that the compensation never saw; what more turns of the loop change.
Numbers are means and sample standard deviations over seeds. Scenes are drawn and the networks small: this says
something about the procedure, nothing about published scores. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from fusionbench.data import Dataset, open_dataset
from fusionbench.data.synth import synth
from fusionbench.methods.cldyn import checkpoint
from fusionbench.methods.cldyn.loop import ClosedLoop, task_image, task_loss
from fusionbench.plugins.registry import resolve
from fusionbench.runtime.allocator import keep_memory
from fusionbench.tasks.loading import load_network
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.trained import WEIGHTS, facts_of

TASKS = {
    "detection": ("yolov5-tiny", "m3fd"),
    "segmentation": ("segformer-tiny", "fmb"),
    "saliency": ("ctdnet-tiny", "vt5000"),
}
UNSEEN = {"detection": "yolov8-tiny"}
VARIANTS = {
    "full": [],
    "no penalty": ["penalty=0"],
    "no closed loop": ["closed_loop=False"],
    "released solver": ["solver=released"],
    **{f"without {task}": [f"leave_out={task}"] for task in TASKS},
}
TURNS = 4
SCENES = (128, 160)  # height and width of generated pairs


class Evidence:
    """Paths, data and runs of one call."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.out, self.jobs, self.size = options.out, options.jobs, options.size
        self.given = dict(text.split("=", 1) for text in options.network)
        self.unseen = dict(text.split("=", 1) for text in options.unseen)
        self.vfn = options.vfn or str(self.out / "vfn")
        for path in [*self.given.values(), *self.unseen.values(), *([options.vfn] if options.vfn else [])]:
            if not (Path(path) / WEIGHTS).is_file():
                raise SystemExit(f"{path}: no {WEIGHTS} here; give the folder of a finished run")
        self.seeds = list(range(options.seeds))
        self.variants = options.variants.split(",")
        self.more = options.cfg_options
        self.data = {name: str(self.out / "data" / name) for _, name in TASKS.values()}
        self.data |= dict(text.split("=", 1) for text in options.data)
        for number, (name, folder) in enumerate(self.data.items()):
            if not Path(folder).exists():
                synth(name, Path(folder), options.train, options.test, SCENES, seed=number)

    def train(self, name: str, folder: str | Path, datasets: Sequence[str], *settings: str, stage: str = "") -> str:
        """Run ``fusionbench train`` to its end, unless it has been; the last line it said.

        Raises:
            SystemExit: it failed.
        """
        if (Path(folder) / WEIGHTS).is_file():
            return "done before"
        command = [sys.executable, "-m", "fusionbench", "train", name, "--out", str(folder)]
        command += ["--datasets", ",".join(f"{d}={self.data[d]}" for d in datasets)]
        command += [*(["--stage", stage, "--as", Path(folder).name] if stage else [])]
        command += [*(["--size", self.size] if self.size else []), *(["--resume"] if Path(folder).exists() else [])]
        command += ["--cfg-options", "picture_every=0", *settings]
        environment = {"OMP_NUM_THREADS": "1", **os.environ, "FUSIONBENCH_CACHE": str(self.out / "cache")}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        said = done.stderr.strip().splitlines()[-1:] or [""]
        print(f"{Path(folder).name}: {said[0]}", file=sys.stderr, flush=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command[2:5])} failed; start again to go on")
        return said[0]

    def at_size(self) -> list[str]:
        """The size at which the loop shows images to the task networks; generated scenes are left as they are."""
        return [f"resize=({SCENES[0]},{SCENES[1]})"] if self.size == "tiny" else []

    def network(self, task: str) -> str:
        return self.given.get(task, str(self.out / "networks" / task))

    def run(self, variant: str, seed: int) -> Path:
        return self.out / "runs" / f"{variant.replace(' ', '-')}-{seed}"

    def make(self) -> None:
        """Train what is not there yet."""
        with ThreadPoolExecutor(self.jobs) as pool:
            first = []
            if not (Path(self.vfn) / WEIGHTS).is_file():
                first.append(pool.submit(self.train, "cldyn", self.vfn, list(self.data), stage="vfn"))
            for task, (name, dataset) in TASKS.items():
                if task not in self.given:
                    first.append(pool.submit(self.train, name, self.network(task), [dataset], *self.at_size()))
            for task, name in UNSEEN.items():
                if task not in self.unseen:
                    self.unseen[task] = str(self.out / "networks" / f"unseen-{task}")
                    first.append(pool.submit(self.train, name, self.unseen[task], [TASKS[task][1]], *self.at_size()))
            for one in first:
                one.result()
            given = [f"vfn={self.vfn}", "validate=0", *self.more]
            for task in TASKS:
                given += [f"{task}_weights={self.network(task)}"]
                given += [f"{task}_network={facts_of(Path(self.network(task)))['name']}"]
            rest = [
                pool.submit(
                    self.train,
                    "cldyn",
                    self.run(variant, seed),
                    list(self.data),
                    *given,
                    *VARIANTS[variant],
                    f"seed={seed}",
                    stage="rsc",
                )
                for seed in self.seeds
                for variant in self.variants
            ]
            for one in rest:
                one.result()

    # ------------------------------------------------------------ measuring

    def held(self, task: str, size: Any) -> tuple[Dataset, list[Batch]]:
        """The test pairs of a task's dataset, one by one, with targets."""
        name = TASKS[task][1]
        dataset, kind = open_dataset(name, self.data[name], exact=True), resolve("task", task)()
        augment = Augment(None if size is None else (size[0], size[1]), flip=0)
        split = TrainingSplit(dataset, dataset.task_splits(kind.needs)[1], augment, [kind.needs], kind.target)
        return dataset, [split.batch([i], 0, 0) for i in range(len(split))]

    def measured(self, variant: str, seed: int) -> dict[str, Any]:
        """What a run does to every task, kept in a file once measured."""
        file = self.out / "scores" / f"{self.run(variant, seed).name}.json"
        if file.is_file():
            return json.loads(file.read_text())
        from safetensors.torch import load_file

        folder = self.run(variant, seed)
        config = facts_of(folder)["config"]
        parts = checkpoint.unpack(load_file(folder / WEIGHTS))
        assert parts.rsc is not None
        loop = ClosedLoop(parts.vfn, parts.rsc, config["closed_loop"])
        found: dict[str, Any] = {}
        for task in TASKS:
            found[task] = self.task(loop, task, load_network(Path(self.network(task)))[0], config)
            if task in self.unseen and variant == "full":
                net, facts = load_network(Path(self.unseen[task]))
                found[f"{task}, {facts['name']} (unseen)"] = self.task(loop, task, net, config)
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(found, indent=1))
        return found

    @torch.no_grad()
    def task(self, loop: ClosedLoop, task: str, network: Any, config: dict[str, Any]) -> dict[str, Any]:
        """Losses before and after, share of images that got worse, main scores, changes turn by turn."""
        kind = resolve("task", task)()
        dataset, pairs = self.held(task, config["resize"])
        column = kind.card.facts.columns[0][0]
        scores = [kind.scores(kind.classes(dataset), dataset.ignore_index) for _ in range(3)]
        visible: list[float] = []
        rows: list[list[float]] = []
        changes: list[list[float]] = []
        for one in pairs:
            fused = loop.run(network, one.ir, one.vis, TURNS)
            for tally, image in zip(scores[:2], fused, strict=False):
                tally.update(network.predict(task_image(image, one.vis))[0], one.targets[0])
            visible.append(float(task_loss(network, one.vis, one.targets)))
            scores[2].update(network.predict(one.vis)[0], one.targets[0])
            rows.append([float(task_loss(network, task_image(f, one.vis), one.targets)) for f in fused[:2]])
            changes.append([float((b - a).abs().mean()) for a, b in pairwise(fused)])
        before, after = zip(*rows, strict=True)
        return {
            "visible": statistics.mean(visible),
            "before": statistics.mean(before),
            "after": statistics.mean(after),
            "worse": statistics.mean(a > b for b, a in rows),
            "scores": [tally.compute()[column] for tally in scores],
            "changes": [statistics.mean(c) for c in zip(*changes, strict=True)],
        }


# ---------------------------------------------------------------- tables


def spread(values: Sequence[float], scale: float = 1.0, digits: int = 4) -> str:
    middle = f"{statistics.mean(values) * scale:.{digits}f}"
    return middle if len(values) < 2 else f"{middle} ± {statistics.stdev(values) * scale:.{digits}f}"


def row(title: str, seen: Sequence[dict[str, Any]]) -> str:
    cells = [spread([s[key] for s in seen]) for key in ("before", "after")]
    cells += [spread([s["worse"] for s in seen], 100, 0)]
    cells += [spread([s["scores"][i] for s in seen], 100, 2) for i in range(2)]
    return f"| {title} | {' | '.join(cells)} |"


def report(evidence: Evidence) -> None:
    every = {v: [evidence.measured(v, s) for s in evidence.seeds] for v in evidence.variants}
    head = "| {} | loss before | after | % of images worse | {} before | after |\n|---|--:|--:|--:|--:|--:|"
    for task in TASKS:
        title = resolve("task", task)().card.facts.columns[0][1]
        seen = next(iter(every.values()))[0][task]
        print(
            f"\n{task}, test pairs of {TASKS[task][1]}, {len(evidence.seeds)} seed(s). Visible images: loss "
            f"{seen['visible']:.4f}, {title} {seen['scores'][2] * 100:.2f}\n\n{head.format('run', title)}"
        )
        for variant, runs in every.items():
            print(row(variant, [one[task] for one in runs]))
        for name in [name for name in every.get("full", [{}])[0] if name.startswith(f"{task},")]:
            print(row(f"full, {name.partition(', ')[2]}", [one[name] for one in every["full"]]))
    if "full" in every:
        print("\nMean absolute change of the fused luma from turn to turn of the loop (full)\n")
        print(f"| task | {' | '.join(f'{i} to {i + 1}' for i in range(TURNS))} |\n|---|{'--:|' * TURNS}")
        for task in TASKS:
            turns = zip(*(one[task]["changes"] for one in every["full"]), strict=True)
            print(f"| {task} | {' | '.join(spread(values, 1, 5) for values in turns)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--size", default="tiny", help="of the recipes; empty: as published")
    parser.add_argument("--train", type=int, default=48, help="scenes of each layout")
    parser.add_argument("--test", type=int, default=24, help="scenes of each layout")
    parser.add_argument("--variants", default=",".join(VARIANTS), help=f"of: {', '.join(VARIANTS)}")
    parser.add_argument("--data", nargs="*", default=[], metavar="NAME=FOLDER", help="instead of generated scenes")
    parser.add_argument("--vfn", help="a trained fusion network")
    parser.add_argument("--network", nargs="*", default=[], metavar="TASK=RUN", help="trained task networks")
    parser.add_argument("--unseen", nargs="*", default=[], metavar="TASK=RUN", help="others, only to be measured with")
    parser.add_argument("--cfg-options", nargs="*", default=[], help="change settings of every run of stage rsc")
    options = parser.parse_args()
    if unknown := set(options.variants.split(",")) - VARIANTS.keys():
        parser.error(f"no variant {', '.join(unknown)}")
    torch.set_num_threads(1)
    keep_memory()
    evidence = Evidence(options)
    evidence.make()
    report(evidence)


if __name__ == "__main__":
    main()
