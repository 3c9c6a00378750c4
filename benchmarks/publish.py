"""Copies tables of a run into leaderboards/ and brings the two READMEs up to date with them.

python benchmarks/publish.py results/tables [...]     # benchmarks/tables.py makes all of them and calls this
python benchmarks/publish.py --extend results leaderboards/methods/NAME.json [...]     # with further rows
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from fusionbench.report.claims import read_claims
from fusionbench.report.extending import extended
from fusionbench.report.writing import write_tables
from fusionbench.results.store import Store

REPO = Path(__file__).parents[1]
BOARDS = REPO / "leaderboards"
FOLDERS = ("", "methods", "pictures", "same-data", "folds", "robustness")  # without tasks, which has a page of its own
SHOWN = "msrs-fusion@v1"  # the table in the README


def between(text: str, name: str, body: str) -> str:
    """Replace what stands between the two marks of a name."""
    begin, end = f"<!-- {name}: begins -->", f"<!-- {name}: ends -->"
    head, _, rest = text.partition(begin)
    return head + begin + "\n" + body.strip() + "\n" + end + rest.partition(end)[2]


def rows() -> str:
    """One line per table; those of tasks have a page of their own."""
    lines = ["| table | images | what it is |", "|---|---|---|"]
    for path in [p for folder in FOLDERS for p in sorted((BOARDS / folder).glob("*.json"))]:
        if path.name.endswith(".provenance.json"):
            continue
        table = json.loads(path.read_text())
        expected = table["expected"]
        images = f"{table['images']} of {expected}" if expected else str(table["images"])
        what = f"{len(table['rows'])} entries, {len(table['metrics'])} columns; {table['caption'].partition(':')[0]}"
        what += ", generated" if "Synthetic" in table["caption"] else ""
        name = path.relative_to(BOARDS).with_suffix("")
        lines.append(f"| [{name}]({name}.md) | {images} | {what} |")
    return "\n".join(lines)


def copy(tables: Path, boards: Path, pattern: str = "*") -> None:
    """Copy the tables of a run, with their provenance and the pages of tasks."""
    boards.mkdir(exist_ok=True)
    for path in sorted(tables.glob(pattern)):
        if re.search(r"\.(md|tex|csv|json)$", path.name):
            shutil.copyfile(path, boards / path.name)


def copy_log(run: Path, path: Path) -> None:
    """Every twentieth line of a training log."""
    path.write_text("".join((run / "log.jsonl").read_text().splitlines(keepends=True)[::20]))


def copy_logs(runs: Path, logs: Path) -> None:
    """The training logs of task networks, named without the hash of the run."""
    for path in sorted(runs.glob("*/log.jsonl")):
        copy_log(path.parent, logs / f"{path.parent.name.rpartition('-')[0]}.jsonl")


def publish(work: Path) -> None:
    """Bring leaderboards/ up to date with what benchmarks/tables.py made in a folder."""
    for name in ("main", "variants", "scenes"):
        copy(work / name / "tables", BOARDS)
    copy(work / "tno/tables", BOARDS, "*+profile=*")
    for name in ("methods", "methods-msrs"):
        copy(work / name / "tables", BOARDS / "methods")
    for name in ("pictures", "folds", "robustness"):
        copy(work / name / "tables", BOARDS / name)
    for folder in sorted(work.glob("tasks-*")):
        copy(folder / "tables", BOARDS / "tasks")
        copy_logs(folder / "tasks", BOARDS / "tasks/logs")
    for run in sorted(work.glob("ctdnet-*")):
        copy_log(run, BOARDS / "tasks/logs" / f"{run.name}.jsonl")
    write_pages()


def write_check(listed: str) -> None:
    """What `fusionbench leaderboard --check` printed, into the page of the tables."""
    page = BOARDS / "README.md"
    page.write_text(between(page.read_text(), "check", listed))


def write_pages() -> None:
    """The list of tables, and the table in the README."""
    page = BOARDS / "README.md"
    page.write_text(between(page.read_text(), "tables", rows()))
    readme = REPO / "README.md"
    readme.write_text(between(readme.read_text(), SHOWN, (BOARDS / f"{SHOWN}.md").read_text()))


def extend(results: Path, path: Path) -> None:
    """Write a committed table anew, with the rows of a store besides."""
    there = read_claims(path).facts.board
    with Store(results, create=False) as store, tempfile.TemporaryDirectory() as scratch:
        same = [
            b for b in store.boards() if (b.dataset, b.split, b.output) == (there.dataset, there.split, there.output)
        ]
        if not same:
            raise SystemExit(f"{results}: nothing of {there.dataset} {there.split}, output rule {there.output}")
        written = write_tables(Path(scratch), [extended(store, same[0], path)], store)
        if path.name not in {made.name for made in written}:
            raise SystemExit(f"{path}: with these rows it would be {written[0].name}")
        copy(Path(scratch, "tables"), path.parent)


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["--extend"]:
        if len(words) < 3:
            raise SystemExit(__doc__)
        for path in words[2:]:
            extend(Path(words[1]), Path(path))
    else:
        for folder in map(Path, words):
            copy(folder, BOARDS)
    write_pages()


if __name__ == "__main__":
    main()
