"""``fusionbench doctor``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from fusionbench.cli.options import as_json, data_root, out
from fusionbench.plugins.cards import cards


@click.command("doctor")
@data_root
@out
@as_json
def doctor_command(data_root: Path | None, out: Path, json_: bool) -> None:
    """Check environment, GPU, data and weights, and how to mend them. Exit code 1 when something must be mended."""
    rows = [*_environment(out), *_plugins(), *_data(data_root), *_weights()]
    bad = any(state == "bad" for state, *_ in rows)
    if json_:
        click.echo(json.dumps([{"state": s, "what": w, "found": f, "fix": x} for s, w, f, x in rows], indent=1))
    else:
        for state, what, found, fix in rows:
            click.echo(f"{state:<4}  {what}: {found}" + (f"\n      fix: {fix}" if fix else ""))
    sys.exit(1 if bad else 0)


Row = tuple[str, str, str, str]  # ok | note | bad, what, found, fix


def _environment(out: Path) -> list[Row]:
    import os
    import platform
    import shutil

    from fusionbench.results.provenance import OPTIONAL, commit, hardware, libraries, version

    rows: list[Row] = [
        ("ok", "fusionbench", f"{version()}" + (f", commit {commit()}" if commit() else ""), ""),
        ("ok", "python", platform.python_version(), ""),
    ]
    for name, found in libraries().items():
        fix = f"pip install {name}" if found == "absent" else ""
        rows.append(("bad" if fix else "ok", name, found, fix))
    for name in (n for n in OPTIONAL if n not in libraries()):
        rows.append(("note", name, "absent", 'pip install "ivif-fusionbench[tasks]", for task networks and training'))
    facts = hardware()
    rows.append(("ok", "processor", f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB", ""))
    gpus = ", ".join(facts["gpus"])
    rows.append(
        ("ok", "GPU", gpus, "")
        if gpus
        else (
            "note",
            "GPU",
            "none that torch can use; everything runs on the processor",
            "for a GPU, install the CUDA build of torch (leave constraints.txt out)",
        )
    )
    parent = next(p for p in [out, *out.absolute().parents] if p.exists())
    folder = parent.is_dir()
    writable = folder and os.access(parent, os.W_OK)
    free = shutil.disk_usage(parent).free / 2**30
    rows.append(
        (
            "ok" if writable else "bad",
            f"results in {out}",
            f"{free:.1f} GiB free" if writable else f"{parent} {'cannot be written' if folder else 'is no folder'}",
            "" if writable else "choose another directory with --out",
        )
    )
    return rows


def _plugins() -> list[Row]:
    from fusionbench.plugins.cards import KINDS

    return [("ok", f"{k}s", ", ".join(cards(k)) or "none", "") for k in KINDS]


def _data(root: Path | None) -> list[Row]:
    from fusionbench.data import open_spec
    from fusionbench.data.opening import data_root as resolved
    from fusionbench.errors import FusionbenchError

    rows: list[Row] = []
    for name in cards("dataset"):
        try:
            dataset = open_spec(name, root)
        except FusionbenchError:
            continue
        counts = ", ".join(f"{s} {len(dataset.ids(s))}" for s in dataset.splits())
        rows.append(("ok", f"data {name}", f"{counts} ({dataset.root})", ""))
    if not rows:
        rows.append(
            (
                "note",
                "data",
                f"nothing under {resolved(root)}",
                "set FUSIONBENCH_DATA, or: fusionbench data synth --like msrs --out data/MSRS",
            )
        )
    return rows


def _weights() -> list[Row]:
    from fusionbench.errors import WeightsError
    from fusionbench.plugins.weights import broken, hint, installed, verify

    rows: list[Row] = []
    for name, entry in cards("method").items():
        if not entry.data.get("requires_weights"):
            continue
        try:
            here, bad = installed(name, warn=False), broken(name)
        except WeightsError as error:
            what, _, fix = str(error).partition("; ")
            rows.append(("bad", f"weights of {name}", what, fix))
            continue
        for record, why in bad.items():
            what, _, fix = why.partition("; ")
            rows.append(("bad", f"weights {name}[{record.stem}]", f"{record}: {what}", fix))
        if not here and not bad:
            rows.append(("note", f"weights of {name}", "none here", hint(entry)))
        for w in here:
            try:
                verify(w)
                rows.append(
                    ("ok", f"weights {name}[{w.name}]", f"sha256 {w.sha256[:12]}..., trained on {w.trained_on}", "")
                )
            except WeightsError as error:
                what, _, fix = str(error).partition("; ")
                rows.append(("bad", f"weights {name}[{w.name}]", what, fix))
    return rows
