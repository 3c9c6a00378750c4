"""``fusionbench weights``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fusionbench.cli.options import as_json, names
from fusionbench.cli.spelling import note
from fusionbench.errors import WeightsError
from fusionbench.plugins.cards import cards


@click.group("weights")
def weights_command() -> None:
    """Released checkpoints: kept as safetensors in the user's cache, verified before every use."""


@weights_command.command("add")
@click.argument("method", shell_complete=names("method"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Short name used in entry ids [the card's name for this file, else the file's].")
@click.option("--trained-on", help="What it was trained on, for files the card does not list.")
def add(method: str, file: Path, name: str | None, trained_on: str | None) -> None:
    """Add a checkpoint. It is read as tensors only (weights_only=True) and must load strictly."""
    from fusionbench.plugins import weights

    added = weights.add(method, file, name, trained_on)
    known = "as its authors released it" if added.listed else "not a file the card lists"
    click.echo(
        f"{method}[{added.name}] is ready: sha256 {added.sha256[:12]}..., {known}; trained on {added.trained_on}"
    )


@weights_command.command("list")
@as_json
def list_weights(json_: bool) -> None:
    """What is here, and what the cards know of."""
    from fusionbench.plugins.weights import hint, installed

    rows: list[dict[str, str | bool]] = []
    for method, entry in cards("method").items():
        here = installed(method)
        listed = entry.facts.weights
        for known in listed:
            called = [w.name for w in here if w.sha256 == known.sha256]  # a file is known by its hash
            facts = {"sha256": known.sha256, "trained_on": known.trained_on, "file": known.file, "url": known.url}
            rows += [{"method": method, "name": n, "here": bool(called), **facts} for n in called or [known.name]]
        rows += [
            {
                "method": method,
                "name": w.name,
                "here": True,
                "sha256": w.sha256,
                "trained_on": w.trained_on,
                "file": "",
                "url": "",
            }
            for w in here
            if w.sha256 not in {known.sha256 for known in listed}
        ]
        if entry.facts.requires_weights and not here and not json_:
            note(f"{method}: none here; {hint(entry)}")
    if json_:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        state = "here    " if row["here"] else "not here"
        click.echo(f"{row['method']}[{row['name']}]  {state}  {row['sha256'][:12]}  {row['trained_on']}")


@weights_command.command("remove")
@click.argument("method", shell_complete=names("method"))
@click.argument("name")
def remove(method: str, name: str) -> None:
    """Remove a checkpoint from the cache."""
    from fusionbench.plugins.weights import broken, installed

    for record in [*(w.path.with_name(f"{w.name}.json") for w in installed(method, warn=False)), *broken(method)]:
        if record.stem == name and record.is_file():
            try:
                record.with_suffix(".safetensors").unlink(missing_ok=True)
                record.unlink()
            except OSError as error:
                raise WeightsError(f"{record}: cannot be removed ({error.strerror})") from None
            click.echo(f"removed {method}[{name}]")
            return
    raise WeightsError(f"{method} has no weights {name!r} here; `fusionbench weights list` shows what there is")
