"""All methods on the same data: every recipe trained on the same generated pairs, as many of them, then scored.

python benchmarks/same_data.py --data DIR [--weights DIR] --work build/same [--publish]

One dataset is drawn with masks, boxes and salient objects, so that every recipe finds the labels that it learns from.
Each method that the registry has a recipe of, a plugin's too (`FUSIONBENCH_PLUGINS`), is trained at size `tiny` by
`fusionbench train --pairs`: settings of length alone are changed, so that every method sees the same number of pairs;
a stage that needs an earlier one's weights shares that number with it, and a task's network that it needs is trained
before, by as many. A recipe that needs what is not at hand is named with what it says. A killed run goes on where it
was; a new plugin adds its row. DIR of --data holds TNO, VIFB and MSRS, that of --weights whatever checkpoints of the
authors there are, of which the first that a card lists stands beside.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import publish
import same_data_jobs
import same_data_lessons
import tables
from same_data_jobs import NAME, Job, jobs

from fusionbench.environment import apply
from fusionbench.plugins.cards import card
from fusionbench.plugins.trainable import training
from fusionbench.plugins.weights import installed
from fusionbench.training.recipe import Recipe

PAIRS, TRAIN, TEST, SIZE, SEED = 288, 24, 24, "128x160", 7
BESIDE = ("average", "maximum")  # what no training needs
SCORED = {  # what is scored on, and how much of it
    "scenes": ("--datasets", "msrs", "--data-root", "scenes"),
    "tno": ("--datasets", "tno", "--data-root", "real"),
    "vifb": ("--datasets", "vifb", "--data-root", "real"),
    "msrs": ("--datasets", "msrs", "--data-root", "real", "--split", "boxes-test", "--limit", "20"),
}
CARD = """\
kind = "dataset"
name = "same"
title = "Scenes with every label"
summary = "generated pairs with masks, boxes and salient objects"
object = "Dataset"
version = "1"
folders = ["SAME"]
ignore_index = 255

[layout]
ir = "{split}/ir"
vis = "{split}/vi"
mask = "{split}/Segmentation_labels"
boxes = "{split}/detection_labels"
saliency = "{split}/saliency"

[[splits]]
name = "train"

[[splits]]
name = "test"

[protocols.same-fusion]
version = 1
split = "test"
colour = "grey"
output = "released"
profile = "default"
metrics = ["en"]
"""


def dataset_card() -> str:
    """The dataset's card: classes and objects as in the layout of MSRS, and every recipe may learn from it."""
    base = card("dataset", "msrs").path.read_text(encoding="utf-8")
    classes = base[base.index("[classes]") : base.index("[protocols")]
    scenes = base[base.index("[scenes]") :].replace("[scenes]\n", "[scenes]\nsaliency = true\n", 1)
    rules = {t.name: "msrs" if "msrs" in t.datasets else t.datasets[0] for t in same_data_jobs.recipes()}
    learnt = "".join(f'\n[[training]]\nrecipe = "{name}"\nlike = "{like}"\n' for name, like in rules.items())
    return f"{CARD}\n{classes}{learnt}\n{scenes}"


def prepare(weights: Path | None) -> None:
    """The dataset, its card, held-out pairs in the layout of MSRS, and the authors' checkpoints."""
    folder = Path("plugins").resolve()
    folder.mkdir(exist_ok=True)
    (folder / f"{NAME}.py").write_text('from fusionbench.data import Dataset\n\n__all__ = ["Dataset"]\n')
    (folder / f"{NAME}.toml").write_text(dataset_card(), encoding="utf-8")
    further = os.environ.get("FUSIONBENCH_PLUGINS", "")
    os.environ["FUSIONBENCH_PLUGINS"] = os.pathsep.join([*filter(None, [further]), str(folder)])
    apply()
    size = ("--size", SIZE, "--seed", SEED)
    for words in (
        ("data", "synth", "--like", NAME, "--train", TRAIN, "--test", 0, *size, "--out", "data/SAME"),
        ("data", "synth", "--like", "msrs", "--train", TRAIN, "--test", TEST, *size, "--out", "scenes/MSRS"),
    ):
        if not tables.done(words):
            tables.run(words)
    if weights:
        tables.run(("weights", "find", weights))


# ---------------------------------------------------------------- training


def train(job: Job) -> None:
    """Train, or go on; what each session took is kept beside the run, and why there is no run where there is none."""
    said = job.folder.parent / f"{job.folder.name}.stderr"
    said.parent.mkdir(exist_ok=True)
    began = time.perf_counter()
    with said.open("w") as file:
        process = subprocess.Popen([sys.executable, "-m", "fusionbench", *job.command()], stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
    code = process.returncode = os.waitstatus_to_exitcode(status)
    text = said.read_text(encoding="utf-8", errors="replace")
    facts: dict[str, object] = {"seconds": round(time.perf_counter() - began, 1), "code": code}
    facts["processor"] = round(usage.ru_utime + usage.ru_stime, 1)
    if found := re.search(r"sees (\d+), with (.*)", text):
        facts |= {"pairs": int(found[1]), "lengths": found[2]}
    if code:
        facts["why"] = next((line for line in text.splitlines() if line.startswith("error")), f"exit code {code}")
    print(f"{job.name} {job.stage}: {facts}", flush=True)
    with (said.parent / f"{job.folder.name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        sys.exit(f"{job.name} {job.stage}: stopped by signal {number}; the same command goes on")


def sessions(job: Job) -> list[dict[str, Any]]:
    """What :func:`train` kept of a run."""
    path = job.folder.parent / f"{job.folder.name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def logged(job: Job) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (job.folder / "log.jsonl").read_text().splitlines()]


def shown(value: float) -> str:
    """Three digits that count."""
    return f"{value:.3g}"


def row(job: Job) -> str:
    """A line of the table of runs."""
    own, log = sessions(job), logged(job)
    means = [line["mean_loss"] for line in log if "mean_loss" in line]
    steps = max(line["step"] for line in log if "step" in line)
    chosen = training(job.name, job.stage or None)
    recipe = chosen.make()
    assert isinstance(recipe, Recipe)
    first = recipe.presets.lengths[0]
    settings = json.loads((job.folder / "config.json").read_text())
    published = getattr(recipe.presets.choose([chosen.datasets[0]], network=chosen.network), first)
    seconds, processor = (sum(line[key] for line in own) for key in ("seconds", "processor"))
    length = f"{first} {settings[first]} of {published}"
    name = f"{job.name}, frozen in others" if job.network else f"{job.name}[{job.entry}]"
    cells = [name, own[-1]["pairs"], steps, length, f"{processor:.0f}", f"{seconds:.0f}"]
    return f"| {' | '.join(map(str, [*cells, shown(means[0]), shown(means[-1])]))} |"


def runs(every: Sequence[Job]) -> str:
    """All runs as a table, and what was not trained and why."""
    lines = ["| weights | pairs seen | steps | length, of that published | processor s | s | first loss | last loss |"]
    lines += ["|---|--:|--:|---|--:|--:|--:|--:|"]
    lines += [row(job) for job in every if job.done]
    machine = json.loads((next(j for j in every if j.done).folder / "sessions.jsonl").read_text().splitlines()[0])
    hardware, torch = machine["hardware"], machine["libraries"]["torch"]
    where = f"One thread of {hardware['cpu']}, {hardware['cores']} cores shared with other work"
    losses = "Losses: means of the first and the last epoch, of other terms where a recipe has stages or rounds."
    lines += ["", f"{where}; torch {torch}, seed 0. {losses}", ""]
    missing = [(job, sessions(job)) for job in every if not job.done]
    for job, own in missing:
        why = str(own[-1].get("why", "not finished") if own else "not begun").removeprefix("error: ")
        lines.append(f"- Not trained: {job.name}{f', stage {job.stage}' if job.stage else ''}: {why}.")
    return "\n".join(lines)


def keep_log(job: Job, folder: Path) -> None:
    """A run's log, short: how it was made, the mean of every epoch, and about thirty of its steps."""
    first = json.loads((job.folder / "sessions.jsonl").read_text().splitlines()[0])
    facts = {key: first[key] for key in ("command", "started", "python", "libraries", "hardware", "seed")}
    own, log = sessions(job), logged(job)
    facts |= {key: round(sum(line[key] for line in own), 1) for key in ("seconds", "processor")}
    facts |= {"sessions": len(own), "pairs": own[-1]["pairs"], "lengths": own[-1]["lengths"]}
    every = max(1, len(log) // 30)
    kept = [line for n, line in enumerate(log) if n % every == 0 or "mean_loss" in line]
    text = "".join(json.dumps({k: rounded(v) for k, v in line.items()}) + "\n" for line in (facts, *kept))
    (folder / f"{job.name}-{job.entry.replace(NAME, 'tiny', 1)}.jsonl").write_text(text, encoding="utf-8")


def rounded(value: object) -> object:
    """Floats in six digits that count."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


# ---------------------------------------------------------------- scores


def entries(every: Sequence[Job]) -> list[str]:
    """What is scored: rules that learn nothing, the authors' weights that are at hand, and what was trained here."""
    own = [job for job in every if job.row and job.done]
    found = list(BESIDE)
    for name in dict.fromkeys(job.name for job in own):
        facts = card("method", name).facts
        here = {weights.name for weights in installed(name, warn=False) if weights.listed}
        listed = [weights.name for weights in facts.weights if weights.name in here]
        found += [f"{name}[{listed[0]}]"] if listed else []
    return [*found, *(f"{job.name}[{job.entry}]" for job in own)]


def score(names: Sequence[str]) -> None:
    """Held-out scenes, TNO, VIFB and a part of MSRS; a page of each with intervals."""
    for label, words in SCORED.items():
        tables.run(("eval", "--methods", ",".join(names), *words, "--out", f"scores-{label}", "--jobs", "1"))
        for page in sorted(Path(f"scores-{label}/tables").glob("*.json")):
            if not page.name.endswith(".provenance.json"):
                tables.run(("leaderboard", "--out", f"scores-{label}", "--ci", "-o", page.with_suffix(".md")))


def put(every: Sequence[Job]) -> None:
    """Copy tables and logs into leaderboards/, and bring the pages up to date."""
    boards, logs = publish.BOARDS / "same-data", publish.BOARDS / "training"
    for folder in (boards, logs):
        folder.mkdir(exist_ok=True)
    for label in SCORED:
        publish.copy(Path(f"scores-{label}/tables"), boards)
    for job in every:
        if job.done:
            keep_log(job, logs)
    page = boards / "README.md"
    text = publish.between(page.read_text(), "runs", runs(every))
    page.write_text(publish.between(text, "lessons", same_data_lessons.text(boards)))
    publish.write_pages()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of TNO, VIFB and MSRS")
    parser.add_argument("--weights", type=Path, help="folder of released checkpoints; without it none stand beside")
    parser.add_argument("--work", type=Path, required=True, help="keeps everything that is made")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="that every method sees")
    parser.add_argument("--publish", action="store_true", help="copy tables and logs into leaderboards/")
    asked = parser.parse_args()
    weights, data = asked.weights and asked.weights.resolve(), asked.data.resolve()
    tables.enter(asked.work.resolve(), real=data)
    prepare(weights)
    every = jobs(asked.pairs)
    for job in every:
        if job.ready and not job.done:
            train(job)
    score(entries(every))
    text = runs(every)
    Path("runs.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    if asked.publish:
        put(every)


if __name__ == "__main__":
    main()
