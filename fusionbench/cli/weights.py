"""``fusionbench weights``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from fusionbench.cli.options import as_json, names
from fusionbench.cli.spelling import note, say
from fusionbench.cli.words import Group
from fusionbench.errors import WeightsError
from fusionbench.naming import matches, nearest
from fusionbench.plugins.cards import card, cards
from fusionbench.plugins.records import NetworkWeightFacts


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint that is here, or that a card knows of."""

    method: str
    name: str
    here: bool
    sha256: str
    trained_on: str
    file: str = ""
    url: str = ""


@click.group("weights", cls=Group)
def weights_command() -> None:
    """Released checkpoints: kept as safetensors in the user's cache, verified before every use."""


@weights_command.command("add")
@click.argument("method", metavar="METHOD|NETWORK", shell_complete=names("method"))
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--name", help="Short name used in entry ids [the card's name for this file, else the file's].")
@click.option("--trained-on", help="What it was trained on, for files the card does not list.")
def add(method: str, files: tuple[Path, ...], name: str | None, trained_on: str | None) -> None:
    """Add a checkpoint. It is read as tensors only (weights_only=True) and must load strictly.

    Several FILEs are those of one checkpoint that its authors released in parts. A network of a task (yolox-nano) is
    one that others trained on classes of their own: a checkpoint of mmdetection, or an ONNX file; it then goes by its
    name in `eval --frozen`.
    """
    from fusionbench.plugins import weights

    if network := _network(method):
        from fusionbench.evaluation import known_networks

        if len(files) != 1:
            raise WeightsError(f"{files[1]}: a checkpoint of {network} is one file")
        kept = known_networks.add(network, files[0], name, trained_on)
        say(f"{kept.id} is ready: sha256 {kept.sha256[:12]}...; trained on {kept.trained_on}")
        return
    added = weights.add(method, files, name, trained_on)
    method = added.method
    known = "as its authors released it" if added.listed else "not a file the card lists"
    say(f"{method}[{added.name}] is ready: sha256 {added.sha256[:12]}..., {known}; trained on {added.trained_on}")


def _network(name: str) -> str | None:
    """The network of a task that is meant, where it is no method."""
    tasks = [network for entry in cards("task").values() for network in entry.facts.networks]
    found = matches(name, tasks)
    return found[0] if len(found) == 1 and not matches(name, cards("method")) else None


@weights_command.command("find")
@click.argument("folder", type=click.Path(path_type=Path))
def find(folder: Path) -> None:
    """Add every checkpoint below FOLDER that a card lists; files are known by their SHA-256, not by their names."""
    from fusionbench.evaluation import known_networks
    from fusionbench.plugins import weights
    from fusionbench.plugins.released import found
    from fusionbench.tasks.openmmlab import MissingExtra

    every = list(cards("method").values())
    rows = found([*every, *cards("task").values()], folder)
    for entry, listed, files in rows:
        if isinstance(listed, NetworkWeightFacts):
            name = listed.network
            here = any((w.network, w.sha256) == (name, listed.sha256) for w in known_networks.installed())
            if not here:
                try:
                    known_networks.add(name, files[0])
                except MissingExtra as missing:
                    note(f"{name}[{listed.name}]: {missing}")
                    continue
        else:
            name = entry.name
            here = any(w.sha256 == listed.sha256 for w in weights.installed(name))
            if not here:
                weights.add(name, files)
        say(f"{name}[{listed.name}] {'was here' if here else 'is ready'}: {files[0]}")
    if not rows:
        raise WeightsError(f"{folder}: none of the checkpoints that `fusionbench weights list` shows is below it")


@weights_command.command("list")
@as_json
def list_weights(json_: bool) -> None:
    """What is here, and what the cards know of."""
    from fusionbench.plugins.weights import hint, installed

    rows: list[Checkpoint] = []
    for method, entry in cards("method").items():
        usable = installed(method)
        for listed in entry.facts.weights:
            called = [w.name for w in usable if w.sha256 == listed.sha256]  # a file is known by its hash
            rows += [
                Checkpoint(
                    method=method,
                    name=name,
                    here=bool(called),
                    sha256=listed.sha256,
                    trained_on=listed.trained_on,
                    file=listed.file,
                    url=listed.url,
                )
                for name in called or [listed.name]
            ]
        known = {listed.sha256 for listed in entry.facts.weights}
        rows += [
            Checkpoint(method=method, name=w.name, here=True, sha256=w.sha256, trained_on=w.trained_on)
            for w in usable
            if w.sha256 not in known
        ]
        if entry.facts.requires_weights and not usable and not json_:
            note(f"{method}: none here; {hint(entry)}")
    rows += _networks()
    if json_:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1))
        return
    for row in rows:
        state = "here    " if row.here else "not here"
        say(f"{row.method}[{row.name}]  {state}  {row.sha256[:12]}  {row.trained_on}")


def _networks() -> list[Checkpoint]:
    """Checkpoints of tasks' networks: those that cards list, then the others that are here."""
    from fusionbench.evaluation import known_networks

    here, listed = known_networks.installed(), known_networks.listed()
    rows = [
        Checkpoint(
            method=w.network,
            name=w.name,
            here=any((k.network, k.sha256) == (w.network, w.sha256) for k in here),
            sha256=w.sha256,
            trained_on=w.trained_on,
            file=w.file,
            url=w.url,
        )
        for w in listed
    ]
    known = {(w.network, w.sha256) for w in listed}
    return rows + [
        Checkpoint(method=k.network, name=k.name, here=True, sha256=k.sha256, trained_on=k.trained_on)
        for k in here
        if (k.network, k.sha256) not in known
    ]


@weights_command.command("remove")
@click.argument("method", metavar="METHOD|NETWORK", shell_complete=names("method"))
@click.argument("name")
def remove(method: str, name: str) -> None:
    """Remove a checkpoint from the cache."""
    from fusionbench.plugins.weights import broken, installed

    if network := _network(method):
        from fusionbench.evaluation import known_networks

        known_networks.remove(network, name)
        say(f"removed {network}[{name}]")
        return
    method = card("method", method).name
    for record in [*(w.path.with_name(f"{w.name}.json") for w in installed(method, warn=False)), *broken(method)]:
        if record.stem == name and record.is_file():
            try:
                record.with_suffix(".safetensors").unlink(missing_ok=True)
                record.unlink()
            except OSError as error:
                raise WeightsError(f"{record}: cannot be removed ({error.strerror})") from None
            say(f"removed {method}[{name}]")
            return
    near = nearest(name, [w.name for w in installed(method, warn=False)])  # removing takes the name as it is
    meant = f"did you mean {', '.join(near)}? " if near else ""
    raise WeightsError(f"{method} has no weights {name!r} here; {meant}`fusionbench weights list` shows what there is")
