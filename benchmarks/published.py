"""leaderboards/published.csv from the reference material: what papers print, in columns that can be compared.

    python benchmarks/published.py            # compares the committed file with what the reference material gives
    python benchmarks/published.py --write    # writes it

Rows stay out whose collector flagged them: cells that character recognition shifted, values whose origin is ambiguous,
values that look like misprints. What a note says in words (variant, pairs, network, retrained or frozen, percent)
becomes a column; the note stays as it is.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections.abc import Iterable
from pathlib import Path

REPO = Path(__file__).parents[1]
TARGET = REPO / "leaderboards/published.csv"
COLUMNS = (
    *("method", "dataset", "metric", "value", "unit", "variant", "split", "images", "network", "training", "input"),
    *("source", "table", "second_hand", "protocol_note"),
)
FLAGGED = {"shifted": "OCR-shifted", "of ambiguous origin": "AMBIGUOUS", "likely misprints": "SUSPECT"}
SECOND_HAND = re.compile(r"not checked against the PDF|\bvia\b|transcribed")
TDFUSION, CLDYN, PTFUSE, MOA = "arXiv:2412.03240", "arXiv:2604.08924", "PTFuse", "TC-MoA"
TASKS = ("mIoU", "AP50", "AP50_95", "mF", "Em")
NETWORKS = {
    "SegFormer (bubbliiiing/segformer-pytorch)": "SegFormer",
    "YOLOv8 (bubbliiiing/yolov8-pytorch)": "YOLOv8",
    "SegFormer-B3": "SegFormer-B3",
    "SegFormer mit-b2": "SegFormer-B2",
    "YOLOv5s": "YOLOv5-s",
    "YOLOv8m": "YOLOv8-m",
    "CTDNet-18": "CTDNet-18",
    "YOLOv11": "YOLOv11",
    "YOLOv5": "YOLOv5-s",  # CLDyN's table over detectors; elsewhere it says YOLOv5s
    "DETR": "DETR",
}
SEAFUSION = {
    **{"EN": "6.652", "SD": "41.843", "SF": "11.106", "MI": "2.794", "SCD": "1.685", "VIF": "0.969"},
    **{"Qabf": "0.675", "SSIM": "0.993"},
}
ELSEWHERE = {"Qabf": "; printed elsewhere as 0.68", "SSIM": "; printed elsewhere as 0.99"}


def rows(reference: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """The rows that are kept, in their columns, and SeAFusion's."""
    kept = [structured(row) for row in reference if not flag(row)]
    for metric, value in SEAFUSION.items():
        row = dict.fromkeys(COLUMNS, "")
        row |= {"method": "SeAFusion", "dataset": "MSRS", "metric": metric, "value": value, "variant": "cddfuse"}
        row |= {"split": "test", "images": "361", "second_hand": "yes"}
        row["source"] = "row for SeAFusion as this project was given it; the paper it is from was not named"
        row["protocol_note"] = f"under CDDFuse's evaluator{ELSEWHERE.get(metric, '')}"
        kept.append(row)
    return kept


def flag(row: dict[str, str]) -> str:
    """Why a row stays out, or ""."""
    return next((why for why, word in FLAGGED.items() if word in row["protocol_note"]), "")


def structured(row: dict[str, str]) -> dict[str, str]:
    """One row of the reference material in our columns."""
    note, source, metric = row["protocol_note"], row["source"], row["metric"]
    return {
        "method": row["method"],
        "dataset": "" if row["dataset"] == "-" else row["dataset"],
        "metric": metric,
        "value": row["value"],
        "unit": "percent" if "percent" in note else "",
        "variant": variant(source, metric, note),
        **split(source, note),
        "network": network(metric, note),
        "training": training(source, row["method"], metric, note),
        "input": "768x1024" if "1024x768 input" in note else "",
        "source": source,
        "table": table(source, note),
        "second_hand": "yes" if SECOND_HAND.search(source + note) else "no",
        "protocol_note": note,
    }


def variant(source: str, metric: str, note: str) -> str:
    """Profile or variant of the evaluator, where the source or its released code says it; | between two that may be."""
    if "variant=tdfusion" in note or (source.startswith(TDFUSION) and ("Evaluator.py" in note or metric == "mIoU")):
        return "tdfusion"
    if "variant=sum" in note:
        return "cddfuse|ivif_zoo"  # either sums over the sources
    if "uint8-saturated" in note:
        return "tang-uint8"
    if source.startswith(TDFUSION) and metric == "AP50":
        return "coco"
    if metric == "mF" and "mean F-beta" in note:
        return "mean"
    return ""


def split(source: str, note: str) -> dict[str, str]:
    """Name of the split, and how many images it has, where they are said."""
    pairs = re.match(r"(\d+) (test )?pairs", note)
    name = "test" if (pairs and pairs[2]) or "LLVIP test" in note else ""
    if "own M3FD/LLVIP split files" in note:
        name = "lists of its own"
    return {"split": name, "images": pairs[1] if pairs else ""}


def network(metric: str, note: str) -> str:
    """The task network, as far as it is named."""
    if metric not in TASKS:
        return ""
    return next((name for words, name in NETWORKS.items() if words in note), "")


def training(source: str, method: str, metric: str, note: str) -> str:
    """Whether the task network was retrained on fused pictures."""
    if "retrained per method" in note or "task-network retraining group" in note:
        return "retrained"
    if "not retrained" in note or "task nets frozen" in note or "frozen RSC" in note or "before compensation" in note:
        return "frozen"
    if source.startswith(CLDYN) and metric in TASKS and not note.startswith("ablation"):
        return {"CLDyN": "frozen", "IRFS": "retrained", "TIMFusion": "retrained"}.get(method, "")
    return ""


def table(source: str, note: str) -> str:
    """Which table of the source, where that is known."""
    if named := re.search(r"Table \d+", f"{source} {note}"):
        return named[0]
    if "ablation" in note:
        return "ablation"
    if "cross-detector" in note:
        return "detectors"
    if source.startswith(TDFUSION) and "transcribed" in source:
        return "main results"
    return "tasks" if source.startswith(CLDYN) and "transcribed" in source else ""


def text(every: Iterable[dict[str, str]]) -> str:
    """As CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(every)
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, default=REPO.parent / "shared/reference/published.csv")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with given.reference.open(encoding="utf-8", newline="") as file:
        reference = list(csv.DictReader(file))
    made = text(rows(reference))
    out = [flag(row) for row in reference if flag(row)]
    print(f"{len(reference)} rows; left out: " + ", ".join(f"{out.count(why)} {why}" for why in FLAGGED))
    print(f"{len(rows(reference))} rows, {len(SEAFUSION)} of them SeAFusion's on MSRS")
    if given.write:
        TARGET.write_text(made, encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != made:
        sys.exit(f"{TARGET.relative_to(REPO)} is another; --write writes it")


if __name__ == "__main__":
    main()
