"""``fusionbench doctor``."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from fusionbench.cli.data import state_of
from fusionbench.cli.findings import Finding
from fusionbench.cli.gpu_check import gpu
from fusionbench.cli.options import as_json, data_root, out
from fusionbench.cli.spelling import say
from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.plugins.cards import KINDS, cards
from fusionbench.results.provenance import LIBRARIES, OPTIONAL, commit, hardware, libraries, version


@click.command("doctor")
@data_root
@out
@click.option("--gpu", "gpu_", is_flag=True, help="Also compute known values, and every metric, on the GPU.")
@as_json
def doctor_command(data_root: Path | None, out: Path, gpu_: bool, json_: bool) -> None:
    """Check environment, GPU, data and weights, and how to mend them. Exit code 1 when something must be mended."""
    findings = [*_software(), *_machine(), _folder(out), *_plugins(), *_data(data_root), *_weights()]
    findings += gpu() if gpu_ else []
    if json_:
        click.echo(json.dumps([f.to_dict() for f in findings], indent=1))
    else:
        for finding in findings:
            say(finding.text())
    sys.exit(1 if any(f.state == "bad" for f in findings) else 0)


def _software() -> Iterator[Finding]:
    at_commit = commit()
    yield Finding("ok", "fusionbench", version() + (f", commit {at_commit}" if at_commit else ""))
    yield Finding("ok", "python", platform.python_version())
    installed = libraries()
    for name in LIBRARIES:
        if name in installed:
            yield Finding("ok", name, installed[name])
        else:
            yield Finding("bad", name, "absent", f"pip install {name}")
    for name in OPTIONAL:
        if name in installed:
            yield Finding("ok", name, installed[name])
        else:
            fix = 'pip install "ivif-fusionbench[tasks]", for task networks and training'
            yield Finding("note", name, "absent", fix)


def _machine() -> Iterator[Finding]:
    machine = hardware()
    yield Finding("ok", "processor", f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB")
    if machine.gpus:
        yield Finding("ok", "GPU", ", ".join(machine.gpus))
    else:
        none = "none that torch can use; everything runs on the processor"
        yield Finding("note", "GPU", none, "for a GPU, install the CUDA build of torch (leave constraints.txt out)")


def _folder(out: Path) -> Finding:
    parent = next(p for p in [out, *out.absolute().parents] if p.exists())
    what = f"results in {out}"
    if parent.is_dir() and os.access(parent, os.W_OK):
        return Finding("ok", what, f"{shutil.disk_usage(parent).free / 2**30:.1f} GiB free")
    why = "cannot be written" if parent.is_dir() else "is no folder"
    return Finding("bad", what, f"{parent} {why}", "choose another directory with --out")


def _plugins() -> list[Finding]:
    return [Finding("ok", f"{k}s", ", ".join(cards(k)) or "none") for k in KINDS]


def _data(root: Path | None) -> Iterator[Finding]:
    from fusionbench.data import open_spec
    from fusionbench.data.opening import data_root as resolved

    empty = True
    for name in cards("dataset"):
        try:
            dataset = open_spec(name, root)
        except FusionbenchError:
            if problem := state_of(name, root).problem:
                empty = False
                yield _bad(f"data {name}", problem)
            continue
        empty = False
        counts = ", ".join(f"{s} {len(dataset.ids(s))}" for s in dataset.splits())
        yield Finding("ok", f"data {name}", f"{counts} ({dataset.root})")
    if empty:
        fix = "set FUSIONBENCH_DATA, or: fusionbench data synth --like msrs --out data/MSRS"
        yield Finding("note", "data", f"nothing under {resolved(root)}", fix)


def _weights() -> Iterator[Finding]:
    for name, entry in cards("method").items():
        if entry.facts.requires_weights:
            try:
                yield from _weights_of(name)
            except WeightsError as error:
                yield _bad(f"weights of {name}", str(error))


def _weights_of(name: str) -> Iterator[Finding]:
    from fusionbench.plugins.weights import broken, hint, installed, verify

    usable, damaged = installed(name, warn=False), broken(name)
    for record, why in damaged.items():
        yield _bad(f"weights {name}[{record.stem}]", f"{record}: {why}")
    if not usable and not damaged:
        yield Finding("note", f"weights of {name}", "none here", hint(cards("method")[name]))
    for weights in usable:
        what = f"weights {name}[{weights.name}]"
        try:
            verify(weights)
            yield Finding("ok", what, f"sha256 {weights.sha256[:12]}..., trained on {weights.trained_on}")
        except WeightsError as error:
            yield _bad(what, str(error))


def _bad(what: str, error: str) -> Finding:
    """An error whose remedy stands behind a semicolon."""
    found, _, fix = error.partition("; ")
    return Finding("bad", what, found, fix)
